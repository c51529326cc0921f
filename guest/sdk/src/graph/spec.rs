//! The geometry of tract's windows as that of ours.

use glovebox_kernels::{Geometry, Window};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// Images, how many of them, and what a window makes of one.
pub(crate) struct Images {
    pub(crate) count: usize,
    pub(crate) geometry: Geometry,
    pub(crate) output_shape: TVec<usize>,
}

/// Whether we have windows of this kind, on numbers with a point.
pub(crate) fn is_ours(spec: &PoolSpec, input: &TypedFact) -> bool {
    is_of_images(spec) && is_of_floats(input)
}

/// Whether windows lie on rows and columns, or on a series, which is one row; channels first.
pub(crate) fn is_of_images(spec: &PoolSpec) -> bool {
    matches!(spec.rank(), 1 | 2) && !spec.data_format.c_is_last()
}

/// Whether a tensor is of numbers with a point, as they lie in memory.
pub(crate) fn is_of_floats(fact: &TypedFact) -> bool {
    fact.is_plain() && fact.datum_type == f32::datum_type()
}

impl Images {
    /// Images of this shape under the windows of `spec`.
    pub(crate) fn new(spec: &PoolSpec, shape: &[usize]) -> TractResult<Self> {
        let input = spec.data_format.shape(shape)?;
        let axes = spec.computed_padding(input.hw_dims());
        let before: TVec<usize> = axes.iter().map(|axis| axis.pad_before).collect();
        let output: TVec<usize> = axes.iter().map(|axis| axis.convoluted).collect();
        let window = Window {
            size: pair(&spec.kernel_shape, 1)?,
            strides: pair(&spec.strides(), 1)?,
            dilations: pair(&spec.dilations(), 1)?,
        };
        let (input_size, before, output) = (
            pair(input.hw_dims(), 1)?,
            pair(&before, 0)?,
            pair(&output, 1)?,
        );
        Ok(Self {
            count: input.n().copied().unwrap_or(1),
            geometry: Geometry::new(window, input_size, before, output),
            output_shape: spec.output_shape(shape)?.shape,
        })
    }
}

/// A tensor for an operator that writes all of it: zeros would take as long as a simple operator.
#[allow(
    unsafe_code,
    reason = "tract's tensors without values are unsafe to make"
)]
pub(crate) fn unwritten(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: a number with a point may have any bits, and whoever asks for the tensor writes it.
    unsafe { Tensor::uninitialized::<f32>(shape) }
}

/// Values of rows and columns; those of a series are of columns, and its only row has `row`.
fn pair(values: &[usize], row: usize) -> TractResult<[usize; 2]> {
    match *values {
        [columns] => Ok([row, columns]),
        [rows, columns] => Ok([rows, columns]),
        _ => bail!("{values:?} are no rows and columns"),
    }
}
