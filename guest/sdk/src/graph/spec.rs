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

/// Whether we have windows of this kind: rows and columns of numbers with a point, channels first.
pub(crate) fn is_ours(spec: &PoolSpec, input: &TypedFact) -> bool {
    is_of_images(spec) && is_of_floats(input)
}

/// Whether windows lie on rows and columns, channels first.
pub(crate) fn is_of_images(spec: &PoolSpec) -> bool {
    spec.rank() == 2 && !spec.data_format.c_is_last()
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
        let [rows, columns] = axes.as_slice() else {
            bail!("a window of two dimensions on images of {}", axes.len());
        };
        let window = Window {
            size: pair(&spec.kernel_shape)?,
            strides: pair(&spec.strides())?,
            dilations: pair(&spec.dilations())?,
        };
        let before = [rows.pad_before, columns.pad_before];
        let output = [rows.convoluted, columns.convoluted];
        Ok(Self {
            count: input.n().copied().unwrap_or(1),
            geometry: Geometry::new(window, pair(input.hw_dims())?, before, output),
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

fn pair(values: &[usize]) -> TractResult<[usize; 2]> {
    <[usize; 2]>::try_from(values).map_err(|_| format_err!("{values:?} is no pair"))
}
