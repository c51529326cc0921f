//! Tensors as lists of elements, whatever these are.

use tract_onnx::tract_core::internal::*;

/// A tensor of the elements that `source` has at these places; nothing stands for zero.
///
/// # Errors
/// A place is outside of `source`.
pub(crate) fn take(
    source: &Tensor,
    shape: &[usize],
    mut place: impl FnMut(usize) -> Option<usize>,
) -> TractResult<Tensor> {
    let outside = |at: usize| format_err!("element {at} of {}", source.len());
    if source.datum_type() == DatumType::String {
        let plain = source.try_as_plain_ram()?;
        let texts = plain.as_slice::<String>()?;
        let text = |index| match place(index) {
            Some(at) => texts.get(at).cloned().ok_or_else(|| outside(at)),
            None => Ok(String::new()),
        };
        let count = shape.iter().product();
        let taken: Vec<String> = (0..count).map(text).collect::<TractResult<_>>()?;
        return tensor1(&taken).into_shape(shape);
    }
    let mut taken = Tensor::zero_dt(source.datum_type(), shape)?;
    let size = source.datum_type().size_of();
    let plain = source.try_as_plain_ram()?;
    let bytes = plain.as_bytes();
    let mut elements = taken.as_bytes_mut().chunks_exact_mut(size);
    for (index, element) in elements.by_ref().enumerate() {
        if let Some(at) = place(index) {
            let from = bytes.get(at * size..(at + 1) * size);
            element.copy_from_slice(from.ok_or_else(|| outside(at))?);
        }
    }
    Ok(taken)
}

/// The indices of the element at a place, by a tensor's shape.
pub(super) fn indices(shape: &[usize], place: usize) -> TVec<usize> {
    let mut rest = place;
    let mut indices: TVec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            let size = (*size).max(1);
            let index = rest % size;
            rest /= size;
            index
        })
        .collect();
    indices.reverse();
    indices
}

/// The place of the element with these indices.
pub(super) fn place(shape: &[usize], indices: &[usize]) -> usize {
    let sizes_and_indices = shape.iter().zip(indices);
    sizes_and_indices.fold(0, |place, (size, index)| place * size + index)
}

/// One dimension of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Which one it is.
    pub(super) number: usize,
    pub(super) size: usize,
    /// How far apart neighbours along it are.
    step: usize,
}

impl Axis {
    /// The axis of this number, which counts from the end if it is negative.
    ///
    /// # Errors
    /// There is no such axis.
    pub(super) fn new(number: i64, shape: &[usize]) -> TractResult<Self> {
        let number = axis(number, shape.len())?;
        let mut sizes = shape.iter().skip(number);
        Ok(Self {
            number,
            size: sizes.next().copied().unwrap_or(0),
            step: sizes.product(),
        })
    }

    /// Where along it an element is.
    pub(super) fn index(&self, place: usize) -> usize {
        place / self.step % self.size
    }

    /// The place with another index along it, in a tensor that has another size there.
    pub(super) fn moved(&self, place: usize, index: usize, size: usize) -> usize {
        let (outer, inner) = (place / (self.step * self.size), place % self.step);
        (outer * size + index) * self.step + inner
    }
}

/// A shape with another size for one axis.
pub(crate) fn resized<S: Clone>(shape: &[S], axis: usize, size: S) -> TVec<S> {
    let mut shape: TVec<S> = shape.into();
    if let Some(old) = shape.get_mut(axis) {
        *old = size;
    }
    shape
}

/// The number of an axis; a negative one counts from the end.
///
/// # Errors
/// There is no such axis.
pub(super) fn axis(number: i64, rank: usize) -> TractResult<usize> {
    let counted = if number < 0 {
        number + rank as i64
    } else {
        number
    };
    match usize::try_from(counted) {
        Ok(counted) if counted < rank => Ok(counted),
        _ => bail!("axis {number} of {rank}"),
    }
}

/// The elements as numbers of this type.
///
/// # Errors
/// They are no numbers.
pub(crate) fn numbers<D: Datum>(tensor: &Tensor) -> TractResult<Vec<D>> {
    let cast = tensor.cast_to::<D>()?;
    let plain = cast.try_as_plain_ram()?;
    Ok(plain.as_slice::<D>()?.to_vec())
}

/// The value of an input that must be known when the model is packed.
///
/// # Errors
/// It is not.
pub(super) fn known<D: Datum>(fact: &TypedFact, what: &str) -> TractResult<Vec<D>> {
    match &fact.konst {
        Some(value) => numbers(value),
        None => bail!("{what} must be known when the model is packed"),
    }
}
