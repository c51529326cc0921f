//! Normalisation of rows.
//!
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html>
#![allow(unsafe_code, reason = "works on addresses within slices")]

use crate::lanes::{LANES, Lanes};
use crate::size::WrongSize;
use crate::strip::{SUMS, fold, replace};

/// Rows with a mean of zero and a variance of one: `(x - mean) / sqrt(variance + epsilon) * scale + bias`.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// What is added to a variance.
    pub epsilon: f32,
    /// A factor for each number of a row.
    pub scale: &'a [f32],
    /// What is added to each number of a row, of as many.
    pub bias: &'a [f32],
}

impl Normalization<'_> {
    /// Normalises each row, which has as many numbers as there are factors.
    ///
    /// # Errors
    /// The numbers are not whole rows, or there are not as many of the bias.
    pub fn normalize(&self, rows: &mut [f32]) -> Result<(), WrongSize> {
        let length = self.scale.len().max(1);
        WrongSize::check("bias", self.bias.len(), self.scale.len())?;
        WrongSize::check("rows", rows.len(), rows.len() / length * length)?;
        let [scale, bias] = [self.scale, self.bias].map(whole_vectors);
        for row in rows.chunks_exact_mut(length) {
            self.row(&scale, &bias, row);
        }
        Ok(())
    }

    /// `scale` and `bias` are whole vectors, as many as the row begins.
    fn row(&self, scale: &[f32], bias: &[f32], row: &mut [f32]) {
        let (length, zero) = (row.len(), Lanes::splat(0.0));
        let sums = fold(row, 0.0, zero, |sum, x| sum.add(x));
        let mean = mean_of(sums, length);
        let center = Lanes::splat(mean);
        // The mean is rounded, and large if all numbers are. What they differ from it is small, and so
        // the mean of that is what was rounded off.
        let sums = fold(row, mean, [zero; 2], |[sum, squares], x| {
            let x = x.sub(center);
            [sum.add(x), squares.add_product(x, x)]
        });
        let [[a, e], [b, f], [c, g], [d, h]] = sums;
        let rest = mean_of([a, b, c, d], length);
        let variance = mean_of([e, f, g, h], length) - rest * rest;
        let factor = (variance.max(0.0) + self.epsilon).sqrt().recip();
        let (rest, factor) = (Lanes::splat(rest), Lanes::splat(factor));
        replace(row, 0.0, |place, x| {
            let normal = x.sub(center).sub(rest).mul(factor);
            // SAFETY: a vector of each begins where one of the row does.
            let (scale, bias) = unsafe {
                (
                    Lanes::load(scale.as_ptr().add(place)),
                    Lanes::load(bias.as_ptr().add(place)),
                )
            };
            bias.add_product(normal, scale)
        });
    }
}

/// The same numbers, and zeros up to the end of a vector.
fn whole_vectors(numbers: &[f32]) -> Vec<f32> {
    let mut whole = numbers.to_vec();
    whole.resize(numbers.len().next_multiple_of(LANES), 0.0);
    whole
}

fn mean_of([a, b, c, d]: [Lanes; SUMS], length: usize) -> f32 {
    a.add(b).add(c.add(d)).total() / length as f32
}
