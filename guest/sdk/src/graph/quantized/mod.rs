//! Convolutions and products of integers of eight bits, whose sums are finished as they are stored.
//!
//! Tract has them as an operator with nine inputs, and makes a dozen nodes of each when it optimises.

mod convolution;
mod finished;
mod parameters;
mod product;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;

use convolution::QuantizedConvolution;
use product::QuantizedProduct;

/// An operator of ours, and the packed weights that it takes as an input.
struct Adopted {
    op: Box<dyn TypedOp>,
    weights: Arc<Tensor>,
}

/// What takes the place of a node of tract's, if we have it. Its inputs are the integers, their zero
/// point and the weights. Weights are a node, so that graphs of one model can share them.
pub(super) fn adopted(
    model: &TypedModel,
    node: &TypedNode,
    facts: &[TypedFact],
) -> TractResult<Option<TypedModelPatch>> {
    let adopted = if let Some(conv) = node.op_as::<Conv>() {
        QuantizedConvolution::adopt(conv, facts)?
    } else if let Some(product) = node.op_as::<EinSum>() {
        QuantizedProduct::adopt(product, facts)?
    } else {
        None
    };
    let (Some(Adopted { op, weights }), [input, _, _, zero, ..]) = (adopted, &*node.inputs) else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::new("quantised");
    let mut inputs = patch.taps(model, &[*input, *zero])?;
    inputs.push(patch.add_const(format!("{}.weights", node.name), weights)?);
    let outputs = patch.wire_node(&node.name, op, &inputs)?;
    for output in outputs {
        patch.shunt_outside(model, node.id.into(), output)?;
    }
    Ok(Some(patch))
}
