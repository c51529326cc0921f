//! Softmax of rows.
//!
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html>

use crate::exponential::{LEAST, exp};
use crate::lanes::Lanes;
use crate::size::WrongSize;
use crate::strip::{fold, replace};

/// Numbers of a row that are summed up one after the other, so that the sum of a long row is as exact as
/// that of a short one.
const SUMMED_AT_ONCE: usize = 512;

/// Makes of each row of so many numbers its softmax: `exp(x - largest)` divided by the sum of these. A
/// row with something that is no number, or with nothing but negative infinities, becomes no numbers.
///
/// # Errors
/// The numbers are not whole rows.
pub fn softmax(length: usize, rows: &mut [f32]) -> Result<(), WrongSize> {
    let length = length.max(1);
    WrongSize::check("rows", rows.len(), rows.len() / length * length)?;
    rows.chunks_exact_mut(length).for_each(softmax_row);
    Ok(())
}

fn softmax_row(row: &mut [f32]) {
    let least = Lanes::splat(f32::NEG_INFINITY);
    let [a, b, c, d] = fold(row, f32::NEG_INFINITY, least, |largest, x| largest.max(x));
    let [a, b, c, d] = a.max(b).max(c.max(d)).numbers();
    let largest = Lanes::splat(a.max(b).max(c.max(d)));
    let bound = Lanes::splat(LEAST);
    let mut sum = 0.0;
    for part in row.chunks_mut(SUMMED_AT_ONCE) {
        let mut sums = Lanes::splat(0.0);
        replace(part, f32::NEG_INFINITY, |_, x| {
            let x = x.sub(largest);
            let power = exp(x.max(bound)).unless_less(x, bound);
            sums = sums.add(power);
            power
        });
        sum += sums.total();
    }
    let factor = Lanes::splat(sum.recip());
    replace(row, 0.0, |_, x| x.mul(factor));
}
