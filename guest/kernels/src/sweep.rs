//! Windows that see one channel at a time: depthwise convolutions and pooling by maximum.
#![allow(
    unsafe_code,
    reason = "reads an image at places that its geometry names"
)]

use std::marker::PhantomData;

use crate::finish::{Finish, bounded, load_some, store_some};
use crate::lanes::{LANES, Lanes};
use crate::size::WrongSize;
use crate::window::Geometry;

/// Pixels that are done at once.
const PIXELS: usize = 2 * LANES;
/// Vectors that are done at once where windows lie side by side. Their sums fit into registers, and
/// a tap is read once for all of them.
const RUN: usize = 8;

/// A place of a window: how far it is from the first, and its number in the filter.
struct Tap {
    place: usize,
    weight: f32,
}

/// What is done with a window's numbers.
trait Fold {
    /// What is around an image.
    const BORDER: f32;

    /// What a channel of the output begins with.
    fn begin(finish: &Finish<'_>, channel: usize) -> f32;

    fn step(sum: Lanes, value: Lanes, weight: f32) -> Lanes;
}

struct Sum;

impl Fold for Sum {
    const BORDER: f32 = 0.0;

    fn begin(finish: &Finish<'_>, channel: usize) -> f32 {
        finish.bias_of(channel)
    }

    #[inline(always)]
    fn step(sum: Lanes, value: Lanes, weight: f32) -> Lanes {
        sum.add_product(value, Lanes::splat(weight))
    }
}

struct Max;

impl Fold for Max {
    const BORDER: f32 = f32::NEG_INFINITY;

    fn begin(_: &Finish<'_>, _: usize) -> f32 {
        Self::BORDER
    }

    #[inline(always)]
    fn step(sum: Lanes, value: Lanes, _: f32) -> Lanes {
        sum.max(value)
    }
}

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
    let mut sweep = Sweep::<Sum>::new(geometry, finish);
    let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1) * multiple);
    let filters = filter.chunks_exact(places.max(1) * multiple);
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    for (channel, ((image, filter), output)) in images.zip(filters).zip(outputs).enumerate() {
        sweep.enter(image);
        let filters = filter.chunks_exact(places.max(1));
        let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1));
        for (index, (filter, output)) in filters.zip(outputs).enumerate() {
            for (tap, weight) in sweep.taps.iter_mut().zip(filter) {
                tap.weight = *weight;
            }
            sweep.leave(channel * multiple + index, output);
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
    let mut sweep = Sweep::<Max>::new(geometry, &Finish::NONE);
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1));
    for (channel, (image, output)) in images.zip(outputs).enumerate() {
        sweep.enter(image);
        sweep.leave(channel, output);
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
    let mut sweep = Sweep::<Sum>::new(geometry, &Finish::NONE);
    let all = sweep.taps.len();
    for tap in &mut sweep.taps {
        tap.weight = 1.0;
    }
    let pixels = 0..geometry.output_pixels();
    let factor = |pixel| match counts_border {
        true => (all as f32).recip(),
        false => (geometry.seen(pixel).max(1) as f32).recip(),
    };
    let factors: Vec<f32> = pixels.map(factor).collect();
    let images = image.chunks_exact(geometry.input_pixels().max(1));
    let outputs = output.chunks_exact_mut(geometry.output_pixels().max(1));
    for (channel, (image, output)) in images.zip(outputs).enumerate() {
        sweep.enter(image);
        sweep.leave(channel, output);
        for (sum, factor) in output.iter_mut().zip(&factors) {
            *sum *= factor;
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

/// One channel with its border at a time.
struct Sweep<'a, F> {
    geometry: &'a Geometry,
    finish: &'a Finish<'a>,
    taps: Vec<Tap>,
    image: Vec<f32>,
    /// What windows see that lie side by side, and across the ends of rows.
    run: Vec<f32>,
    fold: PhantomData<F>,
}

impl<'a, F: Fold> Sweep<'a, F> {
    fn new(geometry: &'a Geometry, finish: &'a Finish<'a>) -> Self {
        let tap = |place| Tap { place, weight: 0.0 };
        // Vectors reach over the end of the last row; what they read there is not used.
        let beyond = RUN * LANES + PIXELS * geometry.window.strides[1];
        let mut sweep = Self {
            geometry,
            finish,
            taps: geometry.places().map(tap).collect(),
            image: vec![F::BORDER; geometry.padded_pixels() + beyond],
            run: Vec::new(),
            fold: PhantomData,
        };
        if sweep.is_run() {
            let windows = geometry.padded_pixels();
            sweep.run = vec![0.0; windows.next_multiple_of(RUN * LANES)];
        }
        sweep
    }

    /// Whether a window begins at each place of the image.
    fn is_run(&self) -> bool {
        self.geometry.window.strides == [1, 1]
    }

    /// Takes a channel of an image.
    fn enter(&mut self, image: &[f32]) {
        self.geometry.pad(image, &mut self.image);
    }

    /// Writes a channel of the output.
    fn leave(&mut self, channel: usize, output: &mut [f32]) {
        if self.is_run() {
            self.fill_run(channel, output.len());
            return self.cut_run(channel, output);
        }
        match self.geometry.window.strides[1] {
            1 => self.rows::<1>(channel, output),
            2 => self.rows::<2>(channel, output),
            _ => self.rows::<0>(channel, output),
        }
    }

    /// Sees the image as one long row. Windows across the ends of its rows are seen for nothing, which
    /// costs less than to begin anew with each row.
    fn fill_run(&mut self, channel: usize, pixels: usize) {
        let begin = Lanes::splat(F::begin(self.finish, channel));
        let windows = self.geometry.place(pixels.saturating_sub(1)) + 1;
        let blocks = self.run.chunks_exact_mut(RUN * LANES);
        let blocks = blocks.take(windows.div_ceil(RUN * LANES)).enumerate();
        let nine = <&[Tap; 9]>::try_from(self.taps.as_slice());
        for (block, sums) in blocks {
            let image = self.image.as_ptr().wrapping_add(block * RUN * LANES);
            // SAFETY: the last window ends with the image, and behind that are as many numbers as a
            // block has.
            unsafe {
                match nine {
                    // Of known length, so that no loop is left of it.
                    Ok(taps) => fold_run::<F>(begin, image, taps, sums),
                    Err(_) => fold_run::<F>(begin, image, &self.taps, sums),
                }
            }
        }
    }

    /// Takes what belongs to the output.
    fn cut_run(&self, channel: usize, output: &mut [f32]) {
        let [rows, columns] = self.geometry.output;
        let bounds = self.finish.bounds();
        for (row, output) in output.chunks_exact_mut(columns).enumerate() {
            let sums = self.run.get(self.geometry.place(row * columns)..);
            let Some(sums) = sums.and_then(|sums| sums.get(..columns)) else {
                return;
            };
            let at = (channel * rows + row) * columns;
            let addend = self.finish.addend.and_then(|addend| addend.get(at..));
            for column in (0..columns).step_by(LANES) {
                let left = columns - column;
                // SAFETY: so many numbers are left of the row, here and in the addend.
                unsafe {
                    let mut sum = load_some(sums.as_ptr().add(column), left);
                    if let Some(addend) = addend {
                        sum = sum.add(load_some(addend.as_ptr().add(column), left));
                    }
                    store_some(bounded(sum, bounds), output.as_mut_ptr().add(column), left);
                }
            }
        }
    }

    /// `STRIDE` is how far windows are from each other in a row; 0 if that is not known.
    fn rows<const STRIDE: usize>(&self, channel: usize, output: &mut [f32]) {
        let [_, columns] = self.geometry.output;
        let begin = Lanes::splat(F::begin(self.finish, channel));
        let addend = self.finish.addend.map(|addend| addend.as_ptr());
        let bounds = self.finish.bounds();
        for (row, output) in output.chunks_exact_mut(columns).enumerate() {
            for column in (0..columns).step_by(PIXELS) {
                let at = (channel * self.geometry.output[0] + row) * columns + column;
                let vectors =
                    self.windows::<STRIDE>(begin, self.geometry.place(row * columns + column));
                for (half, vector) in vectors.into_iter().enumerate() {
                    let column = column + half * LANES;
                    let Some(output) = output.get_mut(column..) else {
                        break;
                    };
                    let sum = match addend {
                        // SAFETY: the addend is of the output's size.
                        Some(addend) => vector
                            .add(unsafe { load_some(addend.add(at + half * LANES), output.len()) }),
                        None => vector,
                    };
                    // SAFETY: there is room for the rest of the row.
                    unsafe {
                        store_some(bounded(sum, bounds), output.as_mut_ptr(), output.len());
                    }
                }
            }
        }
    }

    /// What eight windows see, of which the first begins here.
    #[inline(always)]
    fn windows<const STRIDE: usize>(&self, begin: Lanes, place: usize) -> [Lanes; 2] {
        let image = self.image.as_ptr().wrapping_add(place);
        match <&[Tap; 9]>::try_from(self.taps.as_slice()) {
            // Of known length, so that no loop is left of it.
            Ok(taps) => self.fold::<STRIDE>(begin, image, taps),
            Err(_) => self.fold::<STRIDE>(begin, image, &self.taps),
        }
    }

    #[inline(always)]
    fn fold<'t, const STRIDE: usize>(
        &self,
        begin: Lanes,
        image: *const f32,
        taps: impl IntoIterator<Item = &'t Tap>,
    ) -> [Lanes; 2] {
        let [mut low, mut high] = [begin; 2];
        let stride = self.geometry.window.strides[1];
        for tap in taps {
            // SAFETY: the place is within the image or the room behind it.
            unsafe {
                let from = image.add(tap.place);
                low = F::step(low, every::<STRIDE>(from, stride), tap.weight);
                let from = from.add(LANES * stride);
                high = F::step(high, every::<STRIDE>(from, stride), tap.weight);
            }
        }
        [low, high]
    }
}

/// What windows see that lie side by side, of which the first begins here.
///
/// # Safety
/// Behind each tap are as many numbers as there are `sums`, which are `RUN` vectors.
#[inline(always)]
unsafe fn fold_run<'t, F: Fold>(
    begin: Lanes,
    image: *const f32,
    taps: impl IntoIterator<Item = &'t Tap>,
    sums: &mut [f32],
) {
    let mut vectors = [begin; RUN];
    for tap in taps {
        let from = image.wrapping_add(tap.place);
        for (index, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *vector = F::step(
                *vector,
                unsafe { Lanes::load(from.wrapping_add(index * LANES)) },
                tap.weight,
            );
        }
    }
    for (index, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { vector.store(sums.as_mut_ptr().wrapping_add(index * LANES)) };
    }
}

/// Four numbers, so far from one another.
///
/// # Safety
/// They are there, and `4 * stride` numbers in all.
#[inline(always)]
unsafe fn every<const STRIDE: usize>(from: *const f32, stride: usize) -> Lanes {
    // SAFETY: the caller's promise.
    unsafe {
        match STRIDE {
            1 => Lanes::load(from),
            2 => Lanes::even_odd(Lanes::load(from), Lanes::load(from.add(LANES - 1))),
            _ => Lanes::of([
                *from,
                *from.add(stride),
                *from.add(2 * stride),
                *from.add(3 * stride),
            ]),
        }
    }
}
