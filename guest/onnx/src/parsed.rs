//! A model that is read, and not yet prepared for inputs of any size.

use std::collections::BTreeSet;

use glovebox_protocol::TensorSpec;
use prost::{DecodeError, Message};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use crate::correct::correct;
use crate::error::LoadError;
use crate::functions;
use crate::graph::{Adopt, Graph};
use crate::lower::lower;
use crate::misread::opset;
use crate::ml::{self, ClassNames, is_of_tables, take_off_maps};
use crate::ops;
use crate::refused::{check_data, check_datatypes, check_inputs, check_operators, check_training};
use crate::tensor::datatype;

/// A model that is read, and not yet prepared for inputs of any size.
pub struct Parsed {
    pub(crate) model: InferenceModel,
    adopt: Adopt,
    pub(crate) input_names: Vec<String>,
    output_names: Vec<String>,
    class_names: ClassNames,
    is_of_tables: bool,
}

impl Parsed {
    /// Reads the model in `file`.
    ///
    /// # Errors
    /// What in the file is not ONNX, not supported or not consistent, with the node's name.
    pub fn of(file: &[u8], adopt: Adopt) -> Result<Self, LoadError> {
        Self::of_proto(decode(file)?, file, adopt)
    }

    fn of_proto(mut proto: pb::ModelProto, file: &[u8], adopt: Adopt) -> Result<Self, LoadError> {
        functions::inline(&mut proto, file)?;
        let is_of_tables = proto.graph.as_ref().is_some_and(is_of_tables);
        let graph = proto.graph.as_mut();
        let class_names = graph.map(take_off_maps).unwrap_or_default();
        let opset = opset(&proto);
        proto.graph.iter_mut().for_each(|graph| lower(graph, opset));
        let mut onnx = tract_onnx::onnx();
        ops::register(&mut onnx);
        ml::register(&mut onnx);
        check_operators(&onnx, &proto)?;
        check_datatypes(&proto)?;
        check_data(&proto)?;
        let parsed = onnx.parse(&proto, None)?;
        check_inputs(&proto, &parsed.unresolved_inputs)?;
        let model = parsed.model;
        Ok(Self {
            adopt,
            input_names: name_inputs(&model)?,
            output_names: name_outputs(&model)?,
            class_names,
            is_of_tables,
            model,
        })
    }

    /// A model that is to be prepared for inputs of some sizes, such as rows of one length after the
    /// other. Only what it says of its inputs counts then: the sizes that it names elsewhere are others.
    ///
    /// # Errors
    /// As [`Parsed::of`].
    pub fn of_sized(file: &[u8], adopt: Adopt) -> Result<Self, LoadError> {
        let mut proto = decode(file)?;
        if let Some(graph) = &mut proto.graph {
            graph.value_info.clear();
            graph.output.iter_mut().for_each(forget_shape);
            narrow_sums(graph);
        }
        Self::of_proto(proto, file, adopt)
    }

    /// What it takes, as it declares it; an open dimension is -1.
    ///
    /// # Errors
    /// An input declares no datatype or no shape, or a datatype that the protocol lacks.
    pub fn inputs(&self) -> Result<Vec<TensorSpec>, LoadError> {
        let inputs = self.input_names.iter().enumerate();
        let specs = inputs.map(|(index, name)| {
            let fact = self.model.input_fact(index)?;
            let datatype = fact.datum_type.concretize().and_then(datatype);
            let rank = fact.shape.rank().concretize();
            let (Some(datatype), Some(rank)) = (datatype, rank) else {
                return Err(LoadError::Model(format!(
                    "input {name:?} declares no datatype or no shape"
                )));
            };
            let size = |axis| fact.shape.dim(axis)?.concretize()?.to_i64().ok();
            Ok(TensorSpec {
                name: name.clone(),
                datatype,
                shape: (0..rank as usize)
                    .map(|axis| size(axis).unwrap_or(-1))
                    .collect(),
            })
        });
        specs.collect()
    }

    /// The graph for one row of so many tokens.
    ///
    /// # Errors
    /// As [`Parsed::of`].
    pub fn of_length(&self, length: usize) -> Result<TypedModel, LoadError> {
        let shape: &[usize] = &[1, length];
        self.of_shapes(&vec![shape; self.input_names.len()])
    }

    /// The graph for inputs of these shapes.
    ///
    /// # Errors
    /// As [`Parsed::of`].
    pub fn of_shapes(&self, shapes: &[&[usize]]) -> Result<TypedModel, LoadError> {
        let mut model = self.model.clone();
        for (input, shape) in shapes.iter().enumerate() {
            let fact = model.input_fact(input)?;
            let datum_type = fact.datum_type.concretize().unwrap_or(DatumType::I64);
            model.set_input_fact(input, InferenceFact::dt_shape(datum_type, *shape))?;
        }
        self.optimise(model)
    }

    /// Makes ready to run what was optimised.
    ///
    /// # Errors
    /// As [`Parsed::of`].
    pub fn graph(&self, model: TypedModel) -> Result<Graph, LoadError> {
        let mut graph = Graph::new(model, &self.input_names, &self.output_names)?;
        graph.class_names.clone_from(&self.class_names);
        Ok(graph)
    }

    /// The graph for inputs of all the sizes that it leaves open.
    pub(crate) fn optimised(&self) -> Result<TypedModel, LoadError> {
        self.optimise(self.model.clone())
    }

    fn optimise(&self, model: InferenceModel) -> Result<TypedModel, LoadError> {
        let mut model = model.into_typed()?;
        correct(&mut model)?;
        (self.adopt.before)(&mut model)?;
        let mut model = model.into_optimized()?;
        (self.adopt.after)(&mut model)?;
        check_training(&model)?;
        Ok(model)
    }

    /// Gives each dimension without a name or size a symbol of its own, so that callers choose it. Of
    /// tables, all inputs have the same number of rows.
    pub(crate) fn name_open_dimensions(&mut self) -> Result<(), LoadError> {
        let model = &mut self.model;
        let rows = model.symbols.new_with_prefix("rows");
        let outlets = model.input_outlets()?.to_vec();
        for (input, outlet) in outlets.into_iter().enumerate() {
            let fact = model.input_fact(input)?.clone();
            let (Some(datum_type), Some(rank)) =
                (fact.datum_type.concretize(), fact.shape.rank().concretize())
            else {
                let name = &model.node(outlet.node).name;
                return Err(LoadError::Model(format!(
                    "input {name:?} declares no datatype or no shape"
                )));
            };
            let dimension = |axis| match fact
                .shape
                .dim(axis)
                .and_then(|dimension| dimension.concretize())
            {
                Some(dimension) => dimension,
                None if axis == 0 && self.is_of_tables => rows.clone().into(),
                None => model.symbols.new_with_prefix("open").into(),
            };
            let shape: TVec<TDim> = (0..rank as usize).map(dimension).collect();
            model.set_input_fact(input, InferenceFact::dt_shape(datum_type, shape))?;
        }
        Ok(())
    }
}

fn forget_shape(value: &mut pb::ValueInfoProto) {
    let declared = value
        .r#type
        .as_mut()
        .and_then(|declared| declared.value.as_mut());
    if let Some(pb::type_proto::Value::TensorType(tensor)) = declared {
        tensor.shape = None;
    }
}

/// Sums up as INT32 what is cast to INT64 to be summed up: tract takes the latter for sizes, and has
/// no sums of those. Positions of tokens are made so, and are small.
fn narrow_sums(graph: &mut pb::GraphProto) {
    let cast = |from: &str, to: &str, datatype: pb::tensor_proto::DataType| pb::NodeProto {
        op_type: "Cast".into(),
        name: format!("{to} as {datatype:?}"),
        input: vec![from.into()],
        output: vec![to.into()],
        attribute: vec![pb::AttributeProto {
            name: "to".into(),
            r#type: pb::attribute_proto::AttributeType::Int as i32,
            i: datatype as i64,
            ..Default::default()
        }],
        ..Default::default()
    };
    let is_long = |node: &pb::NodeProto| {
        let to = node
            .attribute
            .iter()
            .find(|attribute| attribute.name == "to");
        node.op_type == "Cast"
            && to.is_some_and(|to| to.i == pb::tensor_proto::DataType::Int64 as i64)
    };
    let casts = graph.node.iter().filter(|node| is_long(node));
    let longs: BTreeSet<String> = casts.flat_map(|node| node.output.clone()).collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        match (node.input.first_mut(), node.output.first_mut()) {
            (Some(input), Some(output)) if node.op_type == "CumSum" && longs.contains(input) => {
                let (long, sums) = (input.clone(), output.clone());
                *input = format!("{sums}/narrow");
                *output = format!("{sums}/sums");
                let before = cast(&long, input, pb::tensor_proto::DataType::Int32);
                let after = cast(output, &sums, pb::tensor_proto::DataType::Int64);
                nodes.extend([before, node, after]);
            }
            _ => nodes.push(node),
        }
    }
    graph.node = nodes;
}

fn decode(file: &[u8]) -> Result<pb::ModelProto, LoadError> {
    let proto = pb::ModelProto::decode(file).map_err(|error| undecoded(&error))?;
    match &proto.graph {
        Some(graph) if !graph.node.is_empty() || !graph.output.is_empty() => Ok(proto),
        _ => Err(LoadError::NotOnnx(
            "not an ONNX model: the file has no graph".into(),
        )),
    }
}

/// How the decoder says that bytes are missing.
const BROKEN_OFF: [&str; 2] = ["buffer underflow", "invalid varint"];

/// Why a file is no model: for one that ends too early, in words for whoever has copied it.
fn undecoded(error: &DecodeError) -> LoadError {
    let error = error.to_string();
    LoadError::NotOnnx(match BROKEN_OFF.iter().any(|end| error.ends_with(end)) {
        true => "not an ONNX model, or only a part of one: the file ends in the middle; copy or \
                 download the whole of it again"
            .into(),
        false => format!("not an ONNX model: {error}"),
    })
}

fn name_inputs(model: &InferenceModel) -> TractResult<Vec<String>> {
    Ok(model
        .input_outlets()?
        .iter()
        .map(|outlet| model.node(outlet.node).name.clone())
        .collect())
}

fn name_outputs(model: &InferenceModel) -> TractResult<Vec<String>> {
    let name = |outlet: &OutletId| match model.outlet_label(*outlet) {
        Some(label) => label.to_owned(),
        None => model.node(outlet.node).name.clone(),
    };
    Ok(model.output_outlets()?.iter().map(name).collect())
}
