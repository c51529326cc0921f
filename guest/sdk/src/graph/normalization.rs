//! Normalisation of rows.

use std::hash::{Hash, Hasher};

use glovebox_kernels::Normalization;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::math::{Add, Mul, Sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

use super::spec::is_of_floats;

/// Rows along the last axis with a mean of zero and a variance of one, a factor for each number of a row,
/// and what is added to it: the three inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowNormalization {
    epsilon: f32,
}

impl Eq for RowNormalization {}

impl Hash for RowNormalization {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.epsilon.to_bits().hash(state);
    }
}

/// How far from `1 / length` a factor may be that makes a mean of a sum.
const ROUNDED_OFF: f32 = 1e-6;

impl RowNormalization {
    /// Ours for the operators around `norm`, which divides numbers by what their squares amount to. Tract
    /// makes that of both ways to write a normalisation in ONNX.
    pub(super) fn adopt(
        model: &TypedModel,
        node: &TypedNode,
        norm: &RmsNorm,
    ) -> TractResult<Option<TypedModelPatch>> {
        let [centred] = node.inputs.as_slice() else {
            return Ok(None);
        };
        let fact = model.outlet_fact(*centred)?;
        let is_ours = is_of_floats(fact) && norm.axis + 1 == fact.rank();
        let length = fact.shape.last().and_then(|size| size.to_usize().ok());
        let (true, Some(length)) = (is_ours, length) else {
            return Ok(None);
        };
        let Some(input) = centred_from(model, model.node(centred.node), length)? else {
            return Ok(None);
        };
        let Some((scaled, scale)) = then::<Mul>(model, node, length)? else {
            return Ok(None);
        };
        let Some((last, bias)) = then::<Add>(model, scaled, length)? else {
            return Ok(None);
        };
        let epsilon = norm.eps.cast_to_scalar::<f32>()?;
        let mut patch = TypedModelPatch::new("a normalisation of rows");
        let inputs = patch.taps(model, &[input, scale, bias])?;
        for output in patch.wire_node(&last.name, Self { epsilon }, &inputs)? {
            patch.shunt_outside(model, last.id.into(), output)?;
        }
        Ok(Some(patch))
    }
}

/// Of what this is the difference to the mean of its row, if it is that.
fn centred_from(
    model: &TypedModel,
    node: &TypedNode,
    length: usize,
) -> TractResult<Option<OutletId>> {
    let (true, [input, mean]) = (is::<Sub>(node), node.inputs.as_slice()) else {
        return Ok(None);
    };
    let mean = model.node(mean.node);
    let (true, [one, other]) = (is::<Mul>(mean), mean.inputs.as_slice()) else {
        return Ok(None);
    };
    for (sum, factor) in [(one, other), (other, one)] {
        let factor = match &model.outlet_fact(*factor)?.konst {
            Some(factor) if factor.len() == 1 => factor.cast_to_scalar::<f32>()?,
            _ => continue,
        };
        let sum = model.node(sum.node);
        let is_sum = sum.op_as::<Reduce>().is_some_and(|sum| {
            let axis = model.outlet_fact(*input).map_or(0, TypedFact::rank);
            sum.reducer == Reducer::Sum && matches!(sum.axes.as_slice(), [last] if last + 1 == axis)
        });
        let is_mean = (factor * length as f32 - 1.0).abs() < ROUNDED_OFF;
        if is_sum && is_mean && sum.inputs.as_slice() == [*input] {
            return Ok(Some(*input));
        }
    }
    Ok(None)
}

/// The one operator behind `node`, if it is a `B` with a constant that has a number for each of a row; and
/// that constant.
fn then<'m, B: BinMiniOp>(
    model: &'m TypedModel,
    node: &TypedNode,
    length: usize,
) -> TractResult<Option<(&'m TypedNode, OutletId)>> {
    let Some(next) = model.single_succ(node.id)?.filter(|next| is::<B>(next)) else {
        return Ok(None);
    };
    let shape = &model.outlet_fact(node.id.into())?.shape;
    let Some(other) = next.inputs.iter().find(|input| input.node != node.id) else {
        return Ok(None);
    };
    let fact = model.outlet_fact(*other)?;
    let is_of_row = |constant: &Arc<Tensor>| {
        is_of_floats(fact) && constant.shape().last() == Some(&length) && constant.len() == length
    };
    let is_ours = fact.konst.as_ref().is_some_and(is_of_row)
        && model.outlet_fact(next.id.into())?.shape == *shape;
    Ok(is_ours.then_some((next, *other)))
}

fn is<B: BinMiniOp>(node: &TypedNode) -> bool {
    let op = node.op_as::<TypedBinOp>();
    op.is_some_and(|op| op.0.is::<B>() && op.1.is_none())
}

impl Op for RowNormalization {
    fn name(&self) -> StaticName {
        "GloveboxNormalization".into()
    }

    op_as_typed_op!();
}

impl EvalOp for RowNormalization {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, scale, bias) = args_3!(inputs);
        let normalization = Normalization {
            epsilon: self.epsilon,
            scale: scale.try_as_plain_ram()?.as_slice()?,
            bias: bias.try_as_plain_ram()?.as_slice()?,
        };
        let mut rows = input.into_tensor();
        normalization.normalize(rows.try_as_plain_ram_mut()?.as_slice_mut()?)?;
        Ok(tvec!(rows.into_tvalue()))
    }
}

impl TypedOp for RowNormalization {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, _, _] = inputs else {
            bail!("rows, factors and what is added, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    as_op!();
}
