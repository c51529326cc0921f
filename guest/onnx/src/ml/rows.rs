//! Tensors as rows of features: one of a single dimension is one row.

use tract_onnx::tract_core::internal::*;

use crate::ops::elements::numbers;

/// Rows of features, one behind the other.
pub(super) struct Rows<T> {
    /// How many there are.
    pub(super) count: usize,
    /// How many features each has.
    pub(super) width: usize,
    values: Vec<T>,
}

impl<T: Datum + Copy> Rows<T> {
    /// A tensor's rows, as numbers of this type.
    ///
    /// # Errors
    /// It has no numbers, or no rows.
    pub(super) fn of(tensor: &Tensor) -> TractResult<Self> {
        let (count, width) = sizes(tensor.shape(), 1)?;
        let values = numbers(tensor)?;
        Ok(Self {
            count,
            width,
            values,
        })
    }

    /// The features of a row; none if there is no such row.
    pub(super) fn row(&self, row: usize) -> &[T] {
        let start = row * self.width;
        let row = self.values.get(start..start + self.width);
        row.unwrap_or_default()
    }

    /// All rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[T]> {
        (0..self.count).map(|row| self.row(row))
    }
}

/// How many rows there are in a tensor of this shape, and how many features in each.
///
/// # Errors
/// These are no rows.
pub(super) fn sizes<S: Clone>(shape: &[S], one: S) -> TractResult<(S, S)> {
    match shape {
        [width] => Ok((one, width.clone())),
        [count, width] => Ok((count.clone(), width.clone())),
        _ => bail!("1 or 2 dimensions, not {}", shape.len()),
    }
}

/// The only input.
///
/// # Errors
/// There is another number of them.
pub(super) fn only<T>(inputs: &[T]) -> TractResult<&T> {
    match inputs {
        [input] => Ok(input),
        inputs => bail!("one input, not {}", inputs.len()),
    }
}

/// The only input and how many rows it has, as far as that is known.
///
/// # Errors
/// There is another number of inputs, or these are no rows of numbers that have so many features.
pub(super) fn declared(inputs: &[&TypedFact], width: Option<usize>) -> TractResult<TDim> {
    let input = only(inputs)?;
    ensure!(
        is_number(input.datum_type),
        "{:?} instead of numbers",
        input.datum_type
    );
    let (count, features) = sizes(&input.shape, 1.to_dim())?;
    if let (Some(width), Ok(features)) = (width, features.to_usize()) {
        ensure!(width == features, "{features} features instead of {width}");
    }
    Ok(count)
}

/// Whether features can be of this type.
pub(super) fn is_number(datum_type: DatumType) -> bool {
    datum_type.is_float() || datum_type.is_integer() || datum_type.is_tdim()
}

/// The sum of products. Eight sums side by side: the compiler must not change the order of one.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(l, r)| l * r);
    sums.into_iter().sum::<f32>() + rest.sum::<f32>()
}
