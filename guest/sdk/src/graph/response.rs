//! Local response normalisation.

use std::hash::{Hash, Hasher};

use glovebox_kernels::Response;
use tract_onnx::tract_core::internal::*;
use tract_onnx_opl::lrn::Lrn;

use super::spec::{is_of_floats, unwritten};

/// Ours for tract's, which looks up each number by its indices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResponseNormalization(Response);

impl Eq for ResponseNormalization {}

impl Hash for ResponseNormalization {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Response {
            size,
            alpha,
            beta,
            bias,
        } = self.0;
        (size, [alpha, beta, bias].map(f32::to_bits)).hash(state);
    }
}

impl ResponseNormalization {
    /// Ours for tract's, if we have it: channels are the second dimension.
    pub(super) fn adopt(lrn: &Lrn, inputs: &[TypedFact]) -> Option<Self> {
        let input = inputs.first()?;
        let is_ours = is_of_floats(input) && input.rank() > 1;
        is_ours.then(|| {
            Self(Response {
                size: lrn.size.max(1),
                alpha: lrn.alpha,
                beta: lrn.beta,
                bias: lrn.bias,
            })
        })
    }
}

impl Op for ResponseNormalization {
    fn name(&self) -> StaticName {
        "GloveboxResponseNormalization".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ResponseNormalization {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = args_1!(inputs);
        let mut output = unwritten(image.shape())?;
        let (count, channels) = match image.shape() {
            [count, channels, ..] => (*count, *channels),
            _ => bail!("an image without channels"),
        };
        let image = image.try_as_plain_ram()?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let (image, normalized) = (image.as_slice()?, plain.as_slice_mut()?);
        let size = (image.len() / count.max(1)).max(1);
        for (image, normalized) in image.chunks(size).zip(normalized.chunks_mut(size)) {
            self.0.normalize(channels, image, normalized)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for ResponseNormalization {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one image, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    as_op!();
}
