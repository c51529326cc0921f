//! What tract would read otherwise than ONNX means it, and must therefore not load.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, ValueInfoProto};

/// What nodes are read by, beside themselves.
pub(crate) struct Surroundings<'a> {
    /// What callers give.
    inputs: HashSet<&'a str>,
    /// Whether one of these has no elements.
    is_empty: bool,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn of(model: &'a ModelProto) -> Self {
        let graph = model.graph.iter();
        let weights: HashSet<&str> = graph
            .clone()
            .flat_map(|graph| &graph.initializer)
            .map(|weights| &*weights.name)
            .collect();
        let inputs = graph.flat_map(|graph| &graph.input);
        let inputs = inputs.filter(|input| !weights.contains(&*input.name));
        Self {
            is_empty: inputs.clone().any(has_no_elements),
            inputs: inputs.map(|input| &*input.name).collect(),
        }
    }

    /// What is not supported about a node, if tract would overlook it.
    pub(crate) fn misread(&self, node: &NodeProto) -> Option<String> {
        let attribute = |name: &str| node.attribute.iter().find(|there| there.name == name);
        let input = |index: usize| node.input.get(index).filter(|name| !name.is_empty());
        let is_asked = |index| input(index).is_some_and(|name| self.inputs.contains(&**name));
        let what = match node.op_type.as_str() {
            "BatchNormalization" if attribute("training_mode").is_some_and(|mode| mode.i != 0) => {
                "training_mode"
            }
            // There, tract begins with the largest finite number.
            "ReduceMax" | "ReduceMin" if self.is_empty => "an input without elements",
            "Slice" if input(3).is_none() && (is_asked(1) || is_asked(2)) => {
                "bounds that are inputs, for all axes"
            }
            "SpaceToDepth" if attribute("mode").is_some_and(|mode| mode.s == b"CRD") => "mode CRD",
            _ => return datatype(attribute("to")?),
        };
        Some(what.to_owned())
    }
}

/// The version of ONNX's own operators that a model is written in.
pub(crate) fn opset(model: &ModelProto) -> i64 {
    let mut imports = model.opset_import.iter();
    let own = imports.find(|import| ["", "ai.onnx"].contains(&&*import.domain));
    own.map_or(i64::MAX, |import| import.version)
}

fn has_no_elements(input: &ValueInfoProto) -> bool {
    let Some(Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|of| of.value.as_ref())
    else {
        return false;
    };
    // Lists of axes may well be empty.
    if tensor.elem_type == DataType::Int64 as i32 {
        return false;
    }
    let sizes = tensor.shape.iter().flat_map(|shape| &shape.dim);
    sizes
        .into_iter()
        .any(|size| matches!(size.value, Some(Size::DimValue(0))))
}

/// A datatype to convert to that does not exist here.
fn datatype(to: &AttributeProto) -> Option<String> {
    let number = i32::try_from(to.i).ok()?;
    (!is_supported(number)).then(|| format!("datatype {}", name(number)))
}

/// Whether tensors of a datatype, as ONNX counts them, can be.
pub(crate) fn is_supported(datatype: i32) -> bool {
    let known = DataType::try_from(datatype);
    known.is_ok_and(|known| {
        !matches!(
            known,
            DataType::Undefined | DataType::Bfloat16 | DataType::Complex64 | DataType::Complex128
        )
    })
}

/// What ONNX calls a datatype.
pub(crate) fn name(datatype: i32) -> String {
    match DataType::try_from(datatype) {
        Ok(known) => known.as_str_name().to_owned(),
        // Later ones than tract's description of the format has.
        Err(_) => format!("number {datatype} of ONNX, of fewer than 16 bits"),
    }
}
