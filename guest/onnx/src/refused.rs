//! What is refused before tract sees it: operators that it does not know or would misread, datatypes
//! that tensors cannot have, weights in other files.

use std::collections::BTreeSet;

use tract_onnx::Onnx;
use tract_onnx::pb::{self, tensor_proto::DataLocation};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::prelude::tract_itertools::Itertools;

use crate::error::LoadError;
use crate::misread::{Surroundings, is_supported, name};

/// Whose operators tract knows, by name alone: another domain's operator of the same name is
/// another operator.
const STANDARD_DOMAINS: [&str; 3] = ["", "ai.onnx", "ai.onnx.ml"];

/// The domain of ONNX Runtime's own operators. Of those that have the name of one of ONNX, only these
/// mean the same.
const CONTRIBUTED_DOMAIN: &str = "com.microsoft";
const CONTRIBUTED: [&str; 15] = [
    "BiasGelu",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuantizeLinear",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Refuses operators that tract does not know or would misread, all at once.
pub(crate) fn check_operators(onnx: &Onnx, proto: &pb::ModelProto) -> Result<(), LoadError> {
    let surroundings = Surroundings::of(proto);
    let mut unknown = BTreeSet::new();
    if let Some(graph) = &proto.graph {
        visit_nodes(graph, &mut |node| {
            if !is_known(onnx, node) {
                unknown.insert(describe(node, ""));
            } else if let Some(what) = surroundings.misread(node) {
                unknown.insert(describe(node, &format!(" with {what}")));
            }
        });
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LoadError::UnsupportedOperator(format!(
        "unsupported operator {}",
        unknown.iter().join(", ")
    )))
}

fn is_known(onnx: &Onnx, node: &pb::NodeProto) -> bool {
    let is_standard = STANDARD_DOMAINS.contains(&node.domain.as_str());
    let is_contributed = node.domain == CONTRIBUTED_DOMAIN;
    let is_ours = is_standard || is_contributed && CONTRIBUTED.contains(&&*node.op_type);
    is_ours && onnx.op_register.0.contains_key(&node.op_type)
}

/// Refuses inputs that are no tensors, and datatypes that tensors cannot have.
pub(crate) fn check_datatypes(proto: &pb::ModelProto) -> Result<(), LoadError> {
    let Some(graph) = &proto.graph else {
        return Ok(());
    };
    // The description of the format here has no other types.
    let is_other =
        |input: &&pb::ValueInfoProto| input.r#type.as_ref().is_some_and(|of| of.value.is_none());
    if let Some(other) = graph.input.iter().find(is_other) {
        return Err(LoadError::Model(format!(
            "input {:?} is a sequence, an optional or a map, which is not supported",
            other.name
        )));
    }
    let values = graph.input.iter().chain(&graph.output);
    let values = values.filter_map(|value| {
        let pb::type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
        Some((&value.name, tensor.elem_type))
    });
    let weights = graph.initializer.iter();
    let weights = weights.map(|tensor| (&tensor.name, tensor.data_type));
    match values
        .chain(weights)
        .find(|(_, datatype)| !is_supported(*datatype))
    {
        None => Ok(()),
        Some((tensor, datatype)) => Err(LoadError::Model(format!(
            "tensor {tensor:?} has datatype {}, which is not supported",
            name(datatype)
        ))),
    }
}

/// A node's operator, and where it is.
fn describe(node: &pb::NodeProto, what: &str) -> String {
    let domain = if node.domain.is_empty() {
        String::new()
    } else {
        format!("{}.", node.domain)
    };
    let name = match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => format!("the node that makes {output:?}"),
        (name, _) => format!("node {name:?}"),
    };
    format!("{domain}{}{what} ({name})", node.op_type)
}

/// Calls `visit` for the nodes of a graph and of the graphs inside its nodes.
fn visit_nodes(graph: &pb::GraphProto, visit: &mut impl FnMut(&pb::NodeProto)) {
    for node in &graph.node {
        visit(node);
        for inner in node
            .attribute
            .iter()
            .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
        {
            visit_nodes(inner, visit);
        }
    }
}

/// Refuses what only training does: where it is certain that nothing is dropped, nothing is left of
/// the node.
pub(crate) fn check_training(model: &TypedModel) -> Result<(), LoadError> {
    let dropout = model
        .nodes()
        .iter()
        .find(|node| node.op.name() == "Dropout");
    match dropout {
        None => Ok(()),
        Some(node) => Err(LoadError::UnsupportedOperator(format!(
            "unsupported operator Dropout in training mode (node {:?})",
            node.name
        ))),
    }
}

/// Refuses weights that are kept in other files: a packed model holds all it needs.
pub(crate) fn check_data(proto: &pb::ModelProto) -> Result<(), LoadError> {
    let external =
        |tensor: &&pb::TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    let initializers = proto.graph.iter().flat_map(|graph| &graph.initializer);
    let Some(tensor) = initializers.into_iter().find(external) else {
        return Ok(());
    };
    let location = tensor
        .external_data
        .iter()
        .find(|entry| entry.key == "location");
    Err(LoadError::ExternalData(format!(
        "missing external data: the weights {:?} are in another file ({:?}); save the model as one file, \
         in Python: onnx.save(onnx.load(\"model.onnx\"), \"single.onnx\")",
        tensor.name,
        location.map_or("", |entry| &entry.value),
    )))
}

/// Refuses tensors that come from nowhere.
pub(crate) fn check_inputs(proto: &pb::ModelProto, unresolved: &[String]) -> Result<(), LoadError> {
    let Some(missing) = unresolved.first() else {
        return Ok(());
    };
    let nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    let user = nodes.into_iter().find(|node| node.input.contains(missing));
    let user = user.map(|node| describe(node, "")).unwrap_or_default();
    Err(LoadError::Model(format!(
        "{user} takes {missing:?}, which is no input, no weights and no node's output"
    )))
}
