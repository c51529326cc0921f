//! A graph's operators in their order, and what becomes of their tensors.

use glovebox_onnx::{Graph, LoadError};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::order::build_flush_list;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

/// A graph, ready to run on inputs of some shapes.
pub(super) struct Plan {
    /// What runs, and its tensors.
    pub(super) graph: Graph,
    /// The operators in their order, without inputs and constants.
    pub(super) steps: Vec<Step>,
}

/// One operator.
pub(super) struct Step {
    /// Its node.
    pub(super) node: usize,
    /// The nodes whose tensors nobody needs after it.
    pub(super) last_of: Vec<usize>,
    /// What it gives, in bytes; none if that is known only when it has run, or when the sizes of
    /// inputs are.
    pub(super) bytes: Option<u64>,
}

impl Plan {
    /// # Errors
    /// The graph has no inputs: its outputs would be constants.
    pub(super) fn new(graph: Graph) -> Result<Self, LoadError> {
        if graph.inputs.is_empty() {
            return Err(LoadError::Model("the graph has no inputs".into()));
        }
        let model = graph.plan.model();
        let order = graph.plan.order_without_consts();
        let needed = |node: &TypedNode| !node.op_is::<Const>();
        let flushed = build_flush_list(model, order, model.output_outlets()?, needed);
        let operators = order.iter().zip(flushed);
        let operators = operators.filter(|(node, _)| !model.node(**node).op_is::<TypedSource>());
        let steps = operators.map(|(node, last_of)| Step {
            node: *node,
            last_of: last_of.to_vec(),
            bytes: exact_bytes(model.node(*node)),
        });
        Ok(Self {
            steps: steps.collect(),
            graph,
        })
    }
}

/// What a node always gives, in bytes.
fn exact_bytes(node: &TypedNode) -> Option<u64> {
    let has_text = |output: &Outlet<TypedFact>| output.fact.datum_type == DatumType::String;
    match node.outputs.iter().any(has_text) {
        true => None,
        false => bytes(node, &SymbolValues::default()),
    }
}

/// What a node gives, in bytes, with these sizes of what is open; none if others are open too.
pub(super) fn bytes(node: &TypedNode, sizes: &SymbolValues) -> Option<u64> {
    let sizes = node.outputs.iter().map(|output| {
        let bytes = output.fact.mem_size().eval(sizes).as_i64()?;
        u64::try_from(bytes).ok()
    });
    sizes.sum()
}

/// What a tensor takes, in bytes.
pub(super) fn tensor_bytes(tensor: &Tensor) -> u64 {
    let elements = tensor.volume() as u64;
    let plain = elements.saturating_mul(tensor.datum_type().size_of() as u64);
    if tensor.is_plain() {
        return plain.saturating_add(text_bytes(tensor));
    }
    // What kernels have made ready for themselves.
    let exotic = tensor.exotic_fact().ok().flatten();
    let exotic = exotic.and_then(|fact| u64::try_from(fact.mem_size().as_i64()?).ok());
    exotic.unwrap_or(plain)
}

/// What strings take beside their places in the tensor.
fn text_bytes(tensor: &Tensor) -> u64 {
    if tensor.datum_type() != DatumType::String {
        return 0;
    }
    let texts = tensor.to_plain_array_view::<String>();
    texts.map_or(0, |texts| texts.iter().map(|text| text.len() as u64).sum())
}
