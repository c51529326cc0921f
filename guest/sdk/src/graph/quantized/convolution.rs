//! Convolutions of quantised images.

use glovebox_kernels::{FinishSums, Geometry, Quantized, Shape, Weights, WrongSize};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PoolSpec};

use super::Adopted;
use super::finished::{Finished, Sums};
use super::parameters::Parameters;
use crate::graph::spec::{Images, is_of_images};

/// A convolution of integers with constant weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QuantizedConvolution {
    spec: PoolSpec,
    shape: Shape,
    zeros: Arc<Tensor>,
    finished: Finished,
}

impl QuantizedConvolution {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(conv: &Conv, inputs: &[TypedFact]) -> TractResult<Option<Adopted>> {
        let (spec, Some(to)) = (&conv.pool_spec, conv.q_params) else {
            return Ok(None);
        };
        if !is_of_images(spec) || conv.kernel_fmt != KernelFormat::OIHW {
            return Ok(None);
        }
        let Some(parameters) = Parameters::of(inputs, spec.output_channels, to)? else {
            return Ok(None);
        };
        let channels = spec.input_channels / conv.group;
        let shape = Shape {
            groups: conv.group,
            rows: spec.output_channels / conv.group,
            depth: channels * spec.kernel_shape.iter().product::<usize>(),
        };
        Ok(Some(Adopted {
            weights: parameters.packed(&shape, &parameters.weights),
            op: Box::new(Self {
                spec: spec.clone(),
                shape,
                zeros: tensor1(&parameters.zeros).into_arc_tensor(),
                finished: parameters.finished,
            }),
        }))
    }
}

impl Op for QuantizedConvolution {
    fn name(&self) -> StaticName {
        "GloveboxQuantizedConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.spec.info())
    }

    op_as_typed_op!();
}

/// The sums of all images.
struct OfImages<'a, N> {
    weights: Weights<'a>,
    geometry: &'a Geometry,
    images: Quantized<'a, N>,
    count: usize,
}

impl<N: Copy + Into<i16>> Sums for OfImages<'_, N> {
    fn store<F: FinishSums>(&self, finish: &F, output: &mut [F::Output]) -> Result<(), WrongSize> {
        let of = |all: usize| (all / self.count.max(1)).max(1);
        let outputs = output.len();
        let images = self
            .images
            .values
            .chunks_exact(of(self.images.values.len()));
        for (values, output) in images.zip(output.chunks_exact_mut(of(outputs))) {
            let image = Quantized {
                values,
                ..self.images
            };
            self.weights
                .convolve(self.geometry, image, finish, output)?;
        }
        Ok(())
    }
}

impl EvalOp for QuantizedConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, zero, weights) = args_3!(inputs);
        let images = Images::new(&self.spec, input.shape())?;
        let (weights, zeros) = (weights.try_as_plain_ram()?, self.zeros.try_as_plain_ram()?);
        let weights = Weights {
            shape: &self.shape,
            packed: weights.as_slice()?,
            zeros: zeros.as_slice()?,
        };
        let zero = zero.cast_to_scalar::<i16>()?;
        let plain = input.try_as_plain_ram()?;
        let (count, geometry) = (images.count, &images.geometry);
        let (shape, rows) = (&images.output_shape, self.spec.output_channels);
        let output = match input.datum_type() {
            DatumType::I8 => {
                let values = plain.as_slice::<i8>()?;
                let images = Quantized { values, zero };
                let sums = OfImages {
                    weights,
                    geometry,
                    images,
                    count,
                };
                self.finished.tensor(shape, rows, None, &sums)?
            }
            _ => {
                let values = plain.as_slice::<u8>()?;
                let images = Quantized { values, zero };
                let sums = OfImages {
                    weights,
                    geometry,
                    images,
                    count,
                };
                self.finished.tensor(shape, rows, None, &sums)?
            }
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for QuantizedConvolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut facts = self
            .spec
            .output_facts(inputs.get(..1).unwrap_or_default())?;
        for fact in &mut facts {
            fact.datum_type = self.finished.datum_type();
        }
        Ok(facts)
    }

    as_op!();
}
