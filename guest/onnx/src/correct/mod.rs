//! Operators of our own in the place of tract's that compute something else than ONNX says.

mod extreme;
mod resize;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::Reduce;
use tract_onnx_opl::resize::Resize;

use extreme::Extreme;
use resize::ResizeTo;

/// Puts ours in the place of tract's.
pub(crate) fn correct(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(patch) = corrected(model, model.node(id))? {
            patch.apply(model)?;
        }
    }
    Ok(())
}

fn corrected(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    if let Some(resize) = node.op_as::<Resize>() {
        let op = ResizeTo::adopt(resize, &facts(model, node)?);
        let replace = |op| TypedModelPatch::replace_single_op(model, node, &node.inputs, op);
        op.map(replace).transpose()
    } else if let Some(reduce) = node.op_as::<Reduce>() {
        let op = Extreme::adopt(reduce, &facts(model, node)?);
        let replace = |op| TypedModelPatch::replace_single_op(model, node, &node.inputs, op);
        op.map(replace).transpose()
    } else {
        Ok(None)
    }
}

/// What is known of a node's inputs before the graph is optimised, with the values of those that
/// constants alone decide.
///
/// # Errors
/// The graph is not consistent.
pub fn facts(model: &TypedModel, node: &TypedNode) -> TractResult<Vec<TypedFact>> {
    let facts = model.node_input_facts(node.id)?;
    let mut facts: Vec<TypedFact> = facts.into_iter().cloned().collect();
    for (fact, input) in facts.iter_mut().zip(&node.inputs) {
        fact.konst = known(model, *input)?;
    }
    Ok(facts)
}

/// The value of an outlet that is a constant, or computed from constants alone by its node: tract does
/// that only when it optimises.
fn known(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Arc<Tensor>>> {
    let fact = model.outlet_fact(outlet)?;
    if fact.konst.is_some() {
        return Ok(fact.konst.clone());
    }
    let node = model.node(outlet.node);
    let value =
        |input: &OutletId| Some(model.outlet_fact(*input).ok()?.konst.clone()?.into_tvalue());
    let inputs: Option<TVec<TValue>> = node.inputs.iter().map(value).collect();
    let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) else {
        return Ok(None);
    };
    // What depends on an open dimension has no value yet.
    let outputs = node.op.eval_out_of_plan(inputs).ok().flatten();
    let value = outputs.and_then(|outputs| outputs.into_iter().nth(outlet.slot));
    Ok(value.map(TValue::into_arc_tensor))
}
