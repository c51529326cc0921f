//! Convolutions in which each channel sees one channel of the image.
//!
//! Numbers with a point hold whole numbers up to 2^24 exactly, so such a window's sum is computed with
//! them, as those of other images are.

#![allow(
    unsafe_code,
    reason = "compilers make vectors of a loop over addresses"
)]

use super::Quantized;
use super::dot::COLUMNS;
use super::eight::whole;
use super::finish::Finish;
use super::weights::{Shape, Weights};
use crate::inner::sweep_sum;
use crate::sweep::{Sweep, UNBOUNDED};
use crate::window::Geometry;

/// Products of differences of two integers of eight bits, of which a sum has no more than 2^24.
const PLACES: usize = (1 << 24) / (255 * 255);

impl Weights<'_> {
    /// Whether each channel of the output sees one of the image, whose sums are exact.
    pub(super) fn is_depthwise(&self) -> bool {
        let Shape { rows, depth, .. } = *self.shape;
        rows == 1 && depth <= PLACES
    }

    /// The convolution of an image whose size has been checked, if each channel sees one.
    pub(super) fn convolve_depthwise<N: Copy + Into<i16>, F: Finish>(
        &self,
        geometry: &Geometry,
        image: Quantized<'_, N>,
        finish: &F,
        output: &mut [F::Output],
    ) {
        let pixels = geometry.output_pixels();
        let mut sweep = Sweep::new(geometry, sweep_sum, 0.0);
        let mut channel = vec![0.0; geometry.input_pixels()];
        let mut sums = vec![0.0; pixels.next_multiple_of(COLUMNS)];
        let images = image.values.chunks_exact(geometry.input_pixels().max(1));
        for (row, (values, output)) in images.zip(output.chunks_exact_mut(pixels)).enumerate() {
            widen(values, image.zero, &mut channel);
            sweep.fill(&channel);
            sweep.weigh(self.row(row));
            sweep.fold(0.0, UNBOUNDED);
            sweep.write(sums.get_mut(..pixels).unwrap_or_default());
            finish_row(row, &sums, finish, output);
        }
    }

    /// The numbers of the one row of a group.
    fn row(&self, group: usize) -> impl Iterator<Item = f32> {
        let zero = self.zeros.get(group).copied().unwrap_or_default();
        let pairs = self.rows(group).iter().flat_map(|[pair, ..]| pair);
        pairs.map(move |weight| i32::from(*weight).wrapping_sub(zero) as f32)
    }
}

/// How far integers are from the zero point.
fn widen<N: Copy + Into<i16>>(values: &[N], zero: i16, numbers: &mut [f32]) {
    let count = values.len().min(numbers.len());
    let (from, to) = (values.as_ptr(), numbers.as_mut_ptr());
    for at in 0..count {
        // SAFETY: both have so many.
        unsafe { *to.add(at) = f32::from((*from.add(at)).into().wrapping_sub(zero)) };
    }
}

/// What is made of the sums of a row, of which there are whole columns.
fn finish_row<F: Finish>(row: usize, sums: &[f32], finish: &F, output: &mut [F::Output]) {
    let mut at = 0;
    while let (Some(sums), Some(rest)) = (some(sums, at), output.get_mut(at..)) {
        let values = finish.finish(row, whole(sums));
        match rest.first_chunk_mut() {
            Some(to) => *to = values,
            None => {
                for (to, value) in rest.iter_mut().zip(&values) {
                    *to = *value;
                }
                return;
            }
        }
        at += COLUMNS;
    }
}

fn some(sums: &[f32], at: usize) -> Option<&[f32; COLUMNS]> {
    sums.get(at..)?.first_chunk()
}
