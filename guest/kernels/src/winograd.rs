//! Convolutions of 3 x 3 with 16 multiplications for each 2 x 2 pixels of the output, where 36 would
//! be done.
//!
//! Winograd's minimal filtering F(2 x 2, 3 x 3), as in Lavin and Gray, "Fast Algorithms for Convolutional
//! Neural Networks", <https://arxiv.org/abs/1509.09308>, equations 8 to 12:
//!
//! ```text
//! y = At [ (G g Gt) * (Bt d B) ] A
//! ```
//!
//! A patch `d` is 4 x 4 pixels of the image and a filter `g` has 3 x 3; both become 16 numbers. Summed
//! over the channels, their products are 16 products of matrices: a filter's numbers times those of
//! many patches. Patches overlap by two pixels. Filters are transformed at each call, which costs little
//! on images that are not tiny; kept in a model they would take 16 numbers for 9.
#![allow(
    unsafe_code,
    reason = "products work on addresses, which stay within what the caller checked"
)]

use crate::columns::PIXELS as PATCHES;
use crate::convolution::{Filter, ROWS};
use crate::finish::{Finish, bounded, load_some, store_some};
use crate::inner;
use crate::lanes::{LANES, Lanes};
use crate::window::Geometry;

/// Numbers of a patch, and of a filter that is transformed.
const NUMBERS: usize = 16;
/// Numbers of patches that are in the second cache together: 256 KiB.
const NUMBERS_IN_CACHE: usize = 1 << 16;
/// With fewer pixels transforming the filter costs more than what is saved.
const LEAST_PIXELS: usize = 128;
/// With fewer channels transforming the image does.
const LEAST_CHANNELS: usize = 16;

/// Whether this is the faster way.
pub(crate) fn is_faster(filter: &Filter, geometry: &Geometry) -> bool {
    let window = &geometry.window;
    window.size == [3, 3]
        && window.strides == [1, 1]
        && window.dilations == [1, 1]
        && filter.channels.min(filter.rows) >= LEAST_CHANNELS
        && geometry.output_pixels() >= LEAST_PIXELS
}

/// One group of a convolution.
pub(crate) struct Winograd<'a> {
    filter: &'a Filter,
    geometry: &'a Geometry,
    /// Patches of a row, in whole vectors, and rows of patches.
    patches: [usize; 2],
    /// A row of a channel with its border and with room for the last patches of a row.
    width: usize,
    /// The image's channels with their borders.
    image: Vec<f32>,
    /// For each four rows of the filter, number of a patch and channel: the four rows' numbers.
    numbers: Vec<f32>,
}

impl<'a> Winograd<'a> {
    /// Prepares one group: its packed filter and its image.
    pub(crate) fn new(
        filter: &'a Filter,
        geometry: &'a Geometry,
        packed: &[f32],
        image: &[f32],
    ) -> Self {
        let [rows, columns] = geometry.output;
        let patches = [
            rows.div_ceil(2),
            columns.div_ceil(2).next_multiple_of(LANES),
        ];
        let [height, width] = [patches[0] * 2 + 2, patches[1] * 2 + 2];
        let mut bordered = vec![0.0; filter.channels * height * width];
        let images = image.chunks_exact(geometry.input_pixels());
        for (image, to) in images.zip(bordered.chunks_exact_mut(height * width)) {
            geometry.pad_to(image, width, to);
        }
        Self {
            filter,
            geometry,
            patches,
            width,
            image: bordered,
            numbers: transformed(filter, packed),
        }
    }

    /// Computes the group's channels of the output, the first of which is `channel`.
    pub(crate) fn run(&self, channel: usize, finish: &Finish<'_>, output: &mut [f32]) {
        let channels = self.filter.channels;
        let in_cache = NUMBERS_IN_CACHE / (channels * NUMBERS);
        let in_cache = (in_cache / PATCHES).max(1) * PATCHES;
        let all = self.patches[0] * self.patches[1];
        let mut patches = vec![0.0; in_cache * channels * NUMBERS];
        for first in (0..all).step_by(in_cache) {
            let panels = all.min(first + in_cache) - first;
            let panels = panels.div_ceil(PATCHES);
            for half in 0..panels * 2 {
                let patch = first + half * LANES;
                if patch < all {
                    self.transform(patch, half, &mut patches);
                }
            }
            self.products(channel, first, panels, &patches, finish, output);
        }
    }

    /// Row and column of a patch, in pixels of the output.
    fn place(&self, patch: usize) -> [usize; 2] {
        [patch / self.patches[1] * 2, patch % self.patches[1] * 2]
    }

    /// Writes the numbers of four patches: for each panel of eight and each number, all channels.
    fn transform(&self, patch: usize, half: usize, patches: &mut [f32]) {
        let [row, column] = self.place(patch);
        let channels = self.filter.channels;
        let size = channels * PATCHES;
        let panel = half / 2 * NUMBERS * size + half % 2 * LANES;
        let height = self.patches[0] * 2 + 2;
        let from = row * self.width + column;
        for channel in 0..channels {
            // SAFETY: four patches are ten pixels of four rows of the channel; the panel has a vector for each number and channel.
            unsafe {
                let from = self
                    .image
                    .as_ptr()
                    .add(channel * height * self.width + from);
                let to = patches.as_mut_ptr().add(panel + channel * PATCHES);
                let line = |row: usize| pixels(from.add(row * self.width));
                let (a, b, c, d) = (line(0), line(1), line(2), line(3));
                let mut number = 0;
                for line in [
                    each(a, c, Lanes::sub),
                    each(b, c, Lanes::add),
                    each(c, b, Lanes::sub),
                    each(b, d, Lanes::sub),
                ] {
                    let [a, b, c, d] = line;
                    for sum in [a.sub(c), b.add(c), c.sub(b), b.sub(d)] {
                        sum.store(to.add(number * size));
                        number += 1;
                    }
                }
            }
        }
    }

    fn products(
        &self,
        channel: usize,
        first: usize,
        panels: usize,
        patches: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) {
        let channels = self.filter.channels;
        let size = channels * PATCHES;
        let mut sums = Sums([0.0; NUMBERS * ROWS * PATCHES]);
        for (product, filter) in self
            .numbers
            .chunks_exact(NUMBERS * channels * ROWS)
            .enumerate()
        {
            let row = product * ROWS;
            for panel in 0..panels {
                sums.0 = [0.0; NUMBERS * ROWS * PATCHES];
                for number in 0..NUMBERS {
                    // SAFETY: a number has all channels of four rows in the filter and of eight
                    // patches in the panel, and a tile in the sums.
                    unsafe {
                        let filter = filter.as_ptr().add(number * channels * ROWS);
                        let patches = patches.as_ptr().add((panel * NUMBERS + number) * size);
                        let sums = sums.0.as_mut_ptr().add(number * ROWS * PATCHES);
                        inner::gemm_4x8_4(channels, filter, patches, sums);
                    }
                }
                let patch = first + panel * PATCHES;
                for of_tile in 0..ROWS.min(self.filter.rows - row) {
                    let channel = channel + row + of_tile;
                    for half in [0, LANES] {
                        let numbers = sums.0.get(of_tile * PATCHES + half..).unwrap_or_default();
                        self.finish(channel, patch + half, numbers, finish, output);
                    }
                }
            }
        }
    }

    /// Writes the pixels of four patches of one channel.
    #[inline(always)]
    fn finish(
        &self,
        channel: usize,
        patch: usize,
        numbers: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) {
        let [height, width] = self.geometry.output;
        let [row, column] = self.place(patch);
        let bias = Lanes::splat(finish.bias_of(channel));
        let lines = lines_of(numbers, bias);
        for (row, line) in (row..height).zip(lines) {
            let at = (channel * height + row) * width + column;
            for (half, pixels) in line.into_iter().enumerate() {
                let at = at + half * LANES;
                let count = width.saturating_sub(column + half * LANES);
                if count == 0 {
                    continue;
                }
                // SAFETY: so many pixels of the row are left, in the output and so in the addend.
                unsafe {
                    let sum = match finish.addend {
                        Some(addend) => pixels.add(load_some(addend.as_ptr().add(at), count)),
                        None => pixels,
                    };
                    let to = output.as_mut_ptr().add(at);
                    store_some(bounded(sum, finish.bounds()), to, count);
                }
            }
        }
    }
}

/// Sums over the channels: for each number four rows of eight patches.
#[repr(C, align(16))]
struct Sums([f32; NUMBERS * ROWS * PATCHES]);

/// Four patches' pixels of one row: those in the first column of each, in the second, and so on.
///
/// # Safety
/// There are ten.
#[inline(always)]
unsafe fn pixels(from: *const f32) -> [Lanes; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let at = |at: usize| Lanes::load(from.add(at));
        [
            Lanes::even_odd(at(0), at(3)),
            Lanes::even_odd(at(1), at(4)),
            Lanes::even_odd(at(2), at(5)),
            Lanes::even_odd(at(3), at(6)),
        ]
    }
}

#[inline(always)]
fn each(a: [Lanes; 4], b: [Lanes; 4], op: impl Fn(Lanes, Lanes) -> Lanes) -> [Lanes; 4] {
    [
        op(a[0], b[0]),
        op(a[1], b[1]),
        op(a[2], b[2]),
        op(a[3], b[3]),
    ]
}

/// Two rows of eight pixels from the numbers of four patches, which are a tile apart from another.
#[inline(always)]
fn lines_of(numbers: &[f32], bias: Lanes) -> [[Lanes; 2]; 2] {
    // SAFETY: the last number is 15 tiles behind the first; a tile has what is behind it.
    let number = |number: usize| unsafe {
        Lanes::load(numbers.as_ptr().wrapping_add(number * ROWS * PATCHES))
    };
    let column = |column: usize| {
        let [a, b, c, d] = [
            number(column),
            number(4 + column),
            number(8 + column),
            number(12 + column),
        ];
        let inner = b.add(c);
        [a.add(inner), b.sub(c).sub(d)]
    };
    let ([a, e], [b, f]) = (column(0), column(1));
    let ([c, g], [d, h]) = (column(2), column(3));
    let line = |a: Lanes, b: Lanes, c: Lanes, d: Lanes| {
        let left = a.add(b).add(c).add(bias);
        Lanes::zip(left, b.sub(c).sub(d).add(bias))
    };
    [line(a, b, c, d), line(e, f, g, h)]
}

/// The filter's numbers, see [`Winograd::numbers`].
fn transformed(filter: &Filter, packed: &[f32]) -> Vec<f32> {
    let channels = filter.channels;
    let mut numbers = vec![0.0; filter.products() * ROWS * channels * NUMBERS];
    for product in 0..filter.products() {
        for channel in 0..channels {
            let from = filter.place(product, channel);
            let to = (product * NUMBERS * channels + channel) * ROWS;
            // SAFETY: nine vectors of a channel's filters are behind its place, and each number has
            // a vector for each channel.
            unsafe {
                let from = packed.as_ptr().add(from);
                let to = numbers.as_mut_ptr().add(to);
                let g = |place: usize| Lanes::load(from.add(place * ROWS));
                let mut number = 0;
                let (a, b, c) = (
                    quarter(g(0), g(3), g(6)),
                    quarter(g(1), g(4), g(7)),
                    quarter(g(2), g(5), g(8)),
                );
                for ((a, b), c) in a.into_iter().zip(b).zip(c) {
                    for value in quarter(a, b, c) {
                        value.store(to.add(number * channels * ROWS));
                        number += 1;
                    }
                }
            }
        }
    }
    numbers
}

/// `G g` for one line of a filter.
#[inline(always)]
fn quarter(a: Lanes, b: Lanes, c: Lanes) -> [Lanes; 4] {
    let half = Lanes::splat(0.5);
    let outer = a.add(c);
    [a, outer.add(b).mul(half), outer.sub(b).mul(half), c]
}
