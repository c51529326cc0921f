//! Functions of one number.

use glovebox_kernels::Curve;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::Erf;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, GeluExact, Sigmoid, Silu};

use super::spec::is_of_floats;

/// Ours for tract's, which goes through a tensor several times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Curved(Curve);

impl Curved {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(op: &ElementWiseOp, input: &TypedFact) -> Option<Self> {
        let is_ours = is_of_floats(input) && op.1.is_none();
        let curve = if op.0.is::<Erf>() {
            Curve::Erf
        } else if op.0.is::<GeluExact>() {
            Curve::Gelu
        } else if op.0.is::<Sigmoid>() {
            Curve::Sigmoid
        } else if op.0.is::<Silu>() {
            Curve::Silu
        } else {
            // Tract's fast one has a square in the place of the cube.
            let gelu = op.0.downcast_ref::<GeluApproximate>()?;
            (!gelu.fast_impl).then_some(Curve::GeluTanh)?
        };
        is_ours.then_some(Self(curve))
    }
}

impl Op for Curved {
    fn name(&self) -> StaticName {
        format!("Glovebox{:?}", self.0).into()
    }

    op_as_typed_op!();
}

impl EvalOp for Curved {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut numbers = args_1!(inputs).into_tensor();
        let mut plain = numbers.try_as_plain_ram_mut()?;
        self.0.apply(plain.as_slice_mut()?);
        Ok(tvec!(numbers.into_tvalue()))
    }
}

impl TypedOp for Curved {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    as_op!();
}
