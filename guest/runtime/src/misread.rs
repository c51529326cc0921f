//! What tract would read otherwise than ONNX means it, and must therefore not load.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto};

/// What is not supported about a node, if tract would overlook it.
pub(crate) fn misread(node: &NodeProto, opset: i64) -> Option<String> {
    let attribute = |name: &str| {
        node.attribute
            .iter()
            .find(|attribute| attribute.name == name)
    };
    let number = |name: &str| attribute(name).map(|attribute| attribute.i);
    let what = match node.op_type.as_str() {
        "BatchNormalization" if number("training_mode") == Some(1) => "training",
        // The slopes belong to axis 1, and tract would take them for the last axis.
        "PRelu" if opset < 7 => "before operator set 7",
        "SpaceToDepth" if attribute("mode").is_some_and(|mode| mode.s == b"CRD") => "mode CRD",
        _ => return datatype(attribute("to")?),
    };
    Some(what.to_owned())
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
