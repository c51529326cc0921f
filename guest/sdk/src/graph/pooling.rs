//! Pooling: the largest number under each window, or their mean.

use glovebox_kernels::{pool_max, pool_mean};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{MaxPool, PaddingSpec, PoolSpec, SumPool};

use super::spec::{Images, is_ours, unwritten};

/// One number for what is under each window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pooling {
    spec: PoolSpec,
    by: By,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum By {
    Max,
    Mean { counts_border: bool },
}

impl Pooling {
    /// Ours for tract's, if we have it.
    pub(super) fn of_max(pool: &MaxPool, inputs: &[TypedFact]) -> Option<Self> {
        let by = pool.with_index_outputs.is_none().then_some(By::Max)?;
        Self::new(&pool.pool_spec, by, inputs)
    }

    /// Ours for tract's, if we have it.
    pub(super) fn of_mean(pool: &SumPool, inputs: &[TypedFact]) -> Option<Self> {
        let counts_border = pool.count_include_pad;
        // Places that only rounding up adds count as nothing.
        let rounds_up = matches!(
            pool.pool_spec.padding,
            PaddingSpec::ExplicitOnnxPool(_, _, true)
        );
        let is_ours = pool.normalize && !(counts_border && rounds_up);
        let by = is_ours.then_some(By::Mean { counts_border })?;
        Self::new(&pool.pool_spec, by, inputs)
    }

    fn new(spec: &PoolSpec, by: By, inputs: &[TypedFact]) -> Option<Self> {
        let spec = is_ours(spec, inputs.first()?).then(|| spec.clone())?;
        Some(Self { spec, by })
    }
}

impl Op for Pooling {
    fn name(&self) -> StaticName {
        "GloveboxPooling".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.spec.info())
    }

    op_as_typed_op!();
}

impl EvalOp for Pooling {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = args_1!(inputs);
        let images = Images::new(&self.spec, image.shape())?;
        let mut output = unwritten(&images.output_shape)?;
        // Channels do not know of each other, so images are just more of them.
        let channels = images.count * self.spec.input_channels;
        let image = image.try_as_plain_ram()?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let (geometry, image, pooled) =
            (&images.geometry, image.as_slice()?, plain.as_slice_mut()?);
        match self.by {
            By::Max => pool_max(channels, geometry, image, pooled)?,
            By::Mean { counts_border } => {
                pool_mean(channels, geometry, counts_border, image, pooled)?;
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Pooling {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.spec.output_facts(inputs)
    }

    as_op!();
}
