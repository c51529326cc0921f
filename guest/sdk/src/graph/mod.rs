//! Operators of our own in tract's graph: convolutions, pooling, normalisations, softmax, GELU and
//! products of integers, by `glovebox_kernels`.

mod convolution;
mod curve;
mod normalization;
mod packed;
mod panels;
mod pooling;
mod quantized;
mod response;
mod softmax;
mod spec;

use glovebox_onnx::Adopt;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::matmul::pack::OptMatMulPack;
use tract_onnx::tract_core::ops::nn::{RmsNorm, Softmax};
use tract_onnx_opl::lrn::Lrn;

use convolution::Convolution;
use curve::Curved;
use normalization::RowNormalization;
use panels::Panels;
use pooling::Pooling;
use response::ResponseNormalization;
use softmax::RowSoftmax;

/// What one of our operators takes the place of, if there is one for this node.
type Adoption = fn(&TypedModel, &TypedNode) -> TractResult<Option<TypedModelPatch>>;

/// Puts our operators in the place of tract's where they can do the same. What follows a convolution
/// becomes a part of it when the graph is simplified, and only then does tract find normalisations and
/// GELU in chains of simpler operators.
pub(crate) const ADOPT: Adopt = Adopt {
    before: |model| {
        adopt_each(model, of_images)?;
        model.declutter()?;
        adopt_each(model, of_rows)
    },
    after: |model| {
        adopt_each(model, of_products)?;
        model.compact()
    },
};

fn adopt_each(model: &mut TypedModel, adoption: Adoption) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(patch) = adoption(model, model.node(id))? {
            patch.apply(model)?;
        }
    }
    Ok(())
}

fn of_rows(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let inputs = model.node_input_facts(node.id)?;
    let Some(input) = inputs.first() else {
        return Ok(None);
    };
    let op: Option<Box<dyn TypedOp>> = if let Some(softmax) = node.op_as::<Softmax>() {
        RowSoftmax::adopt(softmax, input).map(Into::into)
    } else if let Some(op) = node.op_as::<ElementWiseOp>() {
        Curved::adopt(op, input).map(Into::into)
    } else if let Some(norm) = node.op_as::<RmsNorm>() {
        return RowNormalization::adopt(model, node, norm);
    } else {
        None
    };
    let replace = |op| TypedModelPatch::replace_single_op(model, node, &node.inputs, op);
    op.map(replace).transpose()
}

/// What tract does before a product shows only when it has optimised the graph.
fn of_products(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(pack) = node.op_as::<OptMatMulPack>() else {
        return Ok(None);
    };
    let replace = |op| TypedModelPatch::replace_single_op(model, node, &node.inputs, op);
    Panels::adopt(model, node, pack)?.map(replace).transpose()
}

fn of_images(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let facts = glovebox_onnx::facts(model, node)?;
    if let Some(patch) = quantized::adopted(model, node, &facts)? {
        return Ok(Some(patch));
    }
    let op: Option<Box<dyn TypedOp>> = if let Some(conv) = node.op_as::<Conv>() {
        Convolution::adopt(conv, &facts)?.map(Into::into)
    } else if let Some(pool) = node.op_as::<MaxPool>() {
        Pooling::of_max(pool, &facts).map(Into::into)
    } else if let Some(pool) = node.op_as::<SumPool>() {
        Pooling::of_mean(pool, &facts).map(Into::into)
    } else if let Some(lrn) = node.op_as::<Lrn>() {
        ResponseNormalization::adopt(lrn, &facts).map(Into::into)
    } else if let Some(op) = node.op_as::<TypedBinOp>() {
        return by_channel(model, node, op, &facts);
    } else {
        None
    };
    // Only the first input: filters are the operator's own.
    let input = node.inputs.get(..1).unwrap_or_default();
    let replace = |op| TypedModelPatch::replace_single_op(model, node, input, op);
    op.map(replace).transpose()
}

/// A product with a number for each channel begins a chain that a convolution of single pixels can take
/// in. Behind a convolution it becomes part of that one.
fn by_channel(
    model: &TypedModel,
    node: &TypedNode,
    op: &TypedBinOp,
    facts: &[TypedFact],
) -> TractResult<Option<TypedModelPatch>> {
    for (slot, input) in node.inputs.iter().enumerate() {
        let image = model.node(input.node);
        let other = facts.get(1 - slot.min(1));
        let is_convolution = image.op_is::<Conv>() || image.op_is::<Convolution>();
        if let (Some(fact), Some(other), false) = (facts.get(slot), other, is_convolution)
            && let Some(op) = Convolution::by_channel(op, fact, other)?
        {
            let input = std::slice::from_ref(input);
            let patch = TypedModelPatch::replace_single_op(model, node, input, op)?;
            return Ok(Some(patch));
        }
    }
    Ok(None)
}
