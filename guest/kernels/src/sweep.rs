//! Windows that see one channel at a time: depthwise convolutions and pooling.
#![allow(
    unsafe_code,
    reason = "reads an image at places that its geometry names"
)]

use std::iter::repeat_n;

use crate::finish::Finish;
use crate::inner::{BLOCK, Run, Sweeping, TAPS, Tap, sweep_max, sweep_sum};
use crate::lanes::{LANES, Lanes};
use crate::parts::Parts;
use crate::row::copy;
use crate::size::WrongSize;
use crate::window::Geometry;

pub(crate) const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// A convolution in which each channel of the output sees one channel of the image: `filter` has the
/// window's numbers for each of `channels`, and an image has `channels / multiple` of them.
///
/// # Errors
/// A slice is not as long as the geometry says.
pub fn convolve_depthwise(
    filter: &[f32],
    channels: usize,
    multiple: usize,
    geometry: &Geometry,
    image: &[f32],
    finish: &Finish<'_>,
    output: &mut [f32],
) -> Result<(), WrongSize> {
    let [rows, columns] = geometry.window.size;
    let places = rows * columns;
    WrongSize::check("filter", filter.len(), channels * places)?;
    let multiple = multiple.max(1);
    check(geometry, channels / multiple, image, channels, output)?;
    if let Some(addend) = finish.addend {
        WrongSize::check("addend", addend.len(), output.len())?;
    }
    let pixels = geometry.output_pixels().max(1);
    // What is added comes before the bounds.
    let bounds = match finish.addend {
        None => [finish.least, finish.most],
        Some(_) => UNBOUNDED,
    };
    let mut sweep = Sweep::new(geometry, sweep_sum, 0.0);
    let outputs = output.chunks_exact_mut(pixels * multiple);
    let filters = filter.chunks_exact(places.max(1) * multiple);
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    for (channel, ((image, filter), output)) in images.zip(filters).zip(outputs).enumerate() {
        sweep.fill(image);
        let filters = filter.chunks_exact(places.max(1));
        let outputs = output.chunks_exact_mut(pixels);
        for (channel, (filter, output)) in (channel * multiple..).zip(filters.zip(outputs)) {
            sweep.weigh(filter.iter().copied());
            sweep.fold(finish.bias_of(channel), bounds);
            sweep.write(output);
        }
    }
    if let Some(addend) = finish.addend {
        for (sum, addend) in output.iter_mut().zip(addend) {
            *sum = finish.bounded(*sum + addend);
        }
    }
    Ok(())
}

/// The largest number that each window sees, for each of `channels`.
///
/// # Errors
/// A slice is not as long as the geometry says.
pub fn pool_max(
    channels: usize,
    geometry: &Geometry,
    image: &[f32],
    output: &mut [f32],
) -> Result<(), WrongSize> {
    check(geometry, channels, image, channels, output)?;
    let mut sweep = Sweep::new(geometry, sweep_max, f32::NEG_INFINITY);
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1));
    for (image, output) in images.zip(outputs) {
        sweep.fill(image);
        sweep.fold(f32::NEG_INFINITY, UNBOUNDED);
        sweep.write(output);
    }
    Ok(())
}

/// The mean of what each window sees of the image, for each of `channels`. With `counts_border`, what
/// lies around the image counts as zeros.
///
/// # Errors
/// A slice is not as long as the geometry says.
pub fn pool_mean(
    channels: usize,
    geometry: &Geometry,
    counts_border: bool,
    image: &[f32],
    output: &mut [f32],
) -> Result<(), WrongSize> {
    check(geometry, channels, image, channels, output)?;
    let mut sweep = Sweep::new(geometry, sweep_sum, 0.0);
    // Where all windows see as much, it is a weight.
    let [rows, columns] = geometry.window.size;
    let weight = ((rows * columns) as f32).recip();
    let factor = |pixel| 1.0 / (weight * geometry.seen(pixel).max(1) as f32);
    let factors: Vec<f32> = match counts_border || !geometry.has_border() {
        true => Vec::new(),
        false => (0..geometry.output_pixels()).map(factor).collect(),
    };
    sweep.weigh(repeat_n(weight, rows * columns));
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1));
    for (image, output) in images.zip(outputs) {
        sweep.fill(image);
        sweep.fold(0.0, UNBOUNDED);
        sweep.write(output);
        for (mean, factor) in output.iter_mut().zip(&factors) {
            *mean *= factor;
        }
    }
    Ok(())
}

fn check(
    geometry: &Geometry,
    channels: usize,
    image: &[f32],
    outputs: usize,
    output: &[f32],
) -> Result<(), WrongSize> {
    WrongSize::check("image", image.len(), channels * geometry.input_pixels())?;
    WrongSize::check("output", output.len(), outputs * geometry.output_pixels())
}

/// One channel at a time. It is seen as one long row: windows across the ends of its rows are seen for
/// nothing, which costs less than to begin anew with each row.
pub(crate) struct Sweep<'a> {
    geometry: &'a Geometry,
    inner: Sweeping,
    taps: Vec<Tap>,
    parts: Parts,
    /// What windows see, one block after the other.
    run: Vec<[f32; BLOCK]>,
}

impl<'a> Sweep<'a> {
    /// For images of this geometry, with `border` around them. All places of a window weigh 1.
    pub(crate) fn new(geometry: &'a Geometry, inner: Sweeping, border: f32) -> Self {
        // The last block reaches over the end; what it reads there is not used.
        let parts = Parts::new(geometry, border, BLOCK);
        let tap = |place| Tap {
            bytes: parts.place(place) * size_of::<f32>(),
            weight: 1.0,
        };
        let taps = geometry.places().map(tap).collect();
        let [rows, columns] = geometry.output;
        let windows = rows.saturating_sub(1) * parts.width() + columns;
        Self {
            geometry,
            inner,
            taps,
            parts,
            run: vec![[0.0; BLOCK]; windows.div_ceil(BLOCK)],
        }
    }

    /// Takes a channel of an image.
    pub(crate) fn fill(&mut self, channel: &[f32]) {
        self.parts.fill(channel);
    }

    /// Takes what the places of a window weigh.
    pub(crate) fn weigh(&mut self, weights: impl IntoIterator<Item = f32>) {
        for (tap, weight) in self.taps.iter_mut().zip(weights) {
            tap.weight = weight;
        }
    }

    /// Sees the channel. All windows begin with a number, and end within bounds.
    pub(crate) fn fold(&mut self, begin: f32, [least, most]: [f32; 2]) {
        // Written as it is read, by vectors: the processor waits for other stores to reach its cache.
        let first = [Lanes::splat(begin); BLOCK / LANES];
        let sums: *mut f32 = self.run.as_mut_ptr().cast();
        let (mut begin, mut begin_step) = (first.as_ptr().cast(), 0);
        let last = self.taps.len().saturating_sub(1) / TAPS;
        for (index, taps) in self.taps.chunks(TAPS).enumerate() {
            let [least, most] = match index == last {
                true => [least, most],
                false => UNBOUNDED,
            };
            let run = Run {
                count: taps.len(),
                taps: taps.as_ptr(),
                image: self.parts.as_ptr(),
                begin,
                begin_step,
                sums,
                blocks: self.run.len(),
                least,
                most,
            };
            // SAFETY: the last window ends with the parts, and behind that are as many numbers as a
            // block has.
            unsafe { (self.inner)(&run) };
            (begin, begin_step) = (sums.cast_const(), size_of_val(&first));
        }
    }

    /// Writes a channel of the output.
    pub(crate) fn write(&self, output: &mut [f32]) {
        let [rows, columns] = self.geometry.output;
        let mut run = self.run.as_ptr().cast::<f32>();
        for output in output.chunks_exact_mut(columns).take(rows) {
            // SAFETY: there are as many rows of windows in the run, and each is as long.
            unsafe { copy::<1>(run, 1, output.as_mut_ptr(), columns) };
            run = run.wrapping_add(self.parts.width());
        }
    }
}
