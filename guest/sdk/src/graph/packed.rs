//! A convolution as it runs, its filter in the order in which it is read.

use glovebox_kernels::{Filter, Finish, Geometry, WrongSize, convolve_depthwise};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

use super::convolution::Bounds;
use super::spec::{Images, unwritten};

/// A convolution with all that is fused with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packed {
    pub(super) spec: PoolSpec,
    pub(super) convolver: Convolver,
    pub(super) bias: Arc<Tensor>,
    pub(super) has_addend: bool,
    pub(super) bounds: Bounds,
}

/// How it is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Convolver {
    /// As a product of matrices.
    Product { filter: Arc<Tensor>, sizes: Filter },
    /// Channel by channel, each giving so many.
    Depthwise {
        filter: Arc<Tensor>,
        multiple: usize,
    },
}

impl Convolver {
    fn run(
        &self,
        channels: usize,
        geometry: &Geometry,
        image: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) -> TractResult<()> {
        let done: Result<(), WrongSize> = match self {
            Self::Product { filter, sizes } => {
                let filter = filter.try_as_plain_ram()?;
                sizes.convolve(filter.as_slice()?, geometry, image, finish, output)
            }
            Self::Depthwise { filter, multiple } => {
                let filter = filter.try_as_plain_ram()?;
                let filter = filter.as_slice()?;
                convolve_depthwise(filter, channels, *multiple, geometry, image, finish, output)
            }
        };
        Ok(done?)
    }
}

impl Op for Packed {
    fn name(&self) -> StaticName {
        "GloveboxPackedConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.spec.info())
    }

    op_as_typed_op!();
}

impl EvalOp for Packed {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = inputs.first().context("a convolution without an input")?;
        let images = Images::new(&self.spec, image.shape())?;
        let mut output = unwritten(&images.output_shape)?;
        let image = image.try_as_plain_ram()?;
        let addend = match inputs.get(1) {
            Some(addend) => Some(addend.try_as_plain_ram()?.as_slice::<f32>()?),
            None => None,
        };
        let bias = self.bias.try_as_plain_ram()?;
        let (count, channels) = (images.count, self.spec.output_channels);
        let mut plain = output.try_as_plain_ram_mut()?;
        let image = part_of(image.as_slice()?, count);
        let output_len = images.geometry.output_pixels() * channels;
        let outputs = plain
            .as_slice_mut::<f32>()?
            .chunks_exact_mut(output_len.max(1));
        for (index, (image, output)) in image.zip(outputs).enumerate() {
            let finish = Finish {
                bias: bias.as_slice()?,
                addend: addend.and_then(|addend| part_of(addend, count).nth(index)),
                least: self.bounds.least,
                most: self.bounds.most,
            };
            self.convolver
                .run(channels, &images.geometry, image, &finish, output)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Each of so many equal parts.
fn part_of(all: &[f32], count: usize) -> std::slice::ChunksExact<'_, f32> {
    all.chunks_exact((all.len() / count.max(1)).max(1))
}

impl TypedOp for Packed {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.spec.output_facts(inputs)
    }

    as_op!();
}
