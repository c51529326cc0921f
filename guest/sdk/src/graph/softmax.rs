//! Softmax of rows.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

use super::spec::is_of_floats;

/// Ours for tract's: of rows along the last axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowSoftmax;

impl RowSoftmax {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(softmax: &Softmax, input: &TypedFact) -> Option<Self> {
        let is_ours = is_of_floats(input)
            && softmax.kind == SoftmaxKind::Softmax
            && softmax.quant_output_dt.is_none()
            && matches!(softmax.axes.as_slice(), [axis] if axis + 1 == input.rank());
        is_ours.then_some(Self)
    }
}

impl Op for RowSoftmax {
    fn name(&self) -> StaticName {
        "GloveboxSoftmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for RowSoftmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut rows = args_1!(inputs).into_tensor();
        let length = rows.shape().last().copied().unwrap_or_default();
        let mut plain = rows.try_as_plain_ram_mut()?;
        glovebox_kernels::softmax(length, plain.as_slice_mut()?)?;
        Ok(tvec!(rows.into_tvalue()))
    }
}

impl TypedOp for RowSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    as_op!();
}
