//! Convolutions as products: a filter times columns that are gathered while they are in the cache.
//!
//! ```text
//! for each 128 pixels of the output
//!     for each 256 places of the window (of all channels)
//!         gather the columns: 128 KiB, for the second cache
//!         for each 16 rows of the filter: 16 KiB, for the first cache
//!             for each 8 pixels: 8 KiB
//!                 four products of 4 x 8
//! ```
#![allow(
    unsafe_code,
    reason = "products work on addresses, which stay within what `Shape` checks"
)]

use crate::columns::{PIXELS, Panel};
use crate::finish::{Finish, bounded};
use crate::inner;
use crate::lanes::{LANES, Lanes};
use crate::size::WrongSize;
use crate::window::Geometry;
use crate::winograd::{self, Winograd};

/// Rows of a product.
pub(crate) const ROWS: usize = LANES;
/// Products whose part of the filter is in the first cache together.
const PRODUCTS_IN_CACHE: usize = 4;
const DEPTH_IN_CACHE: usize = 256;
const PANELS_IN_CACHE: usize = 16;

/// The sizes of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Parts of the channels that know nothing of each other.
    pub groups: usize,
    /// Channels of the output in a group.
    pub rows: usize,
    /// Channels of the input in a group.
    pub channels: usize,
    /// Places of the window.
    pub places: usize,
}

impl Filter {
    /// Numbers in a column of the matrix.
    fn depth(&self) -> usize {
        self.channels * self.places
    }

    pub(crate) fn products(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Numbers of a packed filter.
    pub fn packed_len(&self) -> usize {
        self.groups * self.products() * ROWS * self.depth()
    }

    /// Channels of which all places are done at once: equal parts, so that none is very short.
    fn channels_at_once(&self) -> usize {
        let parts = self.depth().div_ceil(DEPTH_IN_CACHE).max(1);
        self.channels.div_ceil(parts).max(1)
    }

    /// Steps of the depth that are done at once.
    fn steps(&self) -> usize {
        self.channels_at_once() * self.places.max(1)
    }

    /// Where the numbers of a channel begin, for the four rows of a product, in a packed group.
    pub(crate) fn place(&self, product: usize, channel: usize) -> usize {
        let at_once = self.channels_at_once();
        let first = channel / at_once * at_once;
        let in_part = at_once.min(self.channels - first);
        let before = first * self.products() + product * in_part + channel - first;
        before * self.places * ROWS
    }

    /// Packs a filter, which is row by row: for each group, part of the depth and four rows the
    /// numbers in the order in which a product reads them. Rows that are missing are zeros.
    pub fn pack(&self, filter: &[f32]) -> Vec<f32> {
        let mut packed = Vec::with_capacity(self.packed_len());
        let depth = self.depth();
        for group in filter.chunks_exact((self.rows * depth).max(1)) {
            for first in (0..depth).step_by(self.steps()) {
                let last = depth.min(first + self.steps());
                for row in (0..self.products() * ROWS).step_by(ROWS) {
                    for step in first..last {
                        let number = |row: usize| group.get(row * depth + step).copied();
                        packed.extend((row..row + ROWS).map(|row| number(row).unwrap_or_default()));
                    }
                }
            }
        }
        packed
    }

    /// The convolution of one image: `output = finish(packed * image)`, with channels, rows and
    /// columns in this order.
    ///
    /// # Errors
    /// A slice is not as long as the filter and the geometry say.
    pub fn convolve(
        &self,
        packed: &[f32],
        geometry: &Geometry,
        image: &[f32],
        finish: &Finish<'_>,
        output: &mut [f32],
    ) -> Result<(), WrongSize> {
        let (channels, rows) = (self.groups * self.channels, self.groups * self.rows);
        let output_len = rows * geometry.output_pixels();
        WrongSize::check("filter", packed.len(), self.packed_len())?;
        WrongSize::check("image", image.len(), channels * geometry.input_pixels())?;
        WrongSize::check("output", output.len(), output_len)?;
        if let Some(addend) = finish.addend {
            WrongSize::check("addend", addend.len(), output_len)?;
        }
        let [rows, columns] = geometry.window.size;
        WrongSize::check("window", rows * columns, self.places)?;
        if output_len == 0 {
            return Ok(());
        }
        let packed = packed.chunks_exact((packed.len() / self.groups).max(1));
        if winograd::is_faster(self, geometry) {
            let images = image.chunks_exact(self.channels * geometry.input_pixels());
            for (group, (packed, image)) in packed.zip(images).enumerate() {
                let group = group * self.rows;
                Winograd::new(self, geometry, packed, image).run(group, finish, output);
            }
            return Ok(());
        }
        let bordered = geometry.has_border().then(|| with_border(geometry, image));
        let work = Work {
            filter: self,
            geometry,
            finish,
            places: self.all_places(geometry),
        };
        let image = bordered.as_deref().unwrap_or(image);
        let images = image.chunks_exact(self.channels * geometry.padded_pixels());
        for (group, (packed, image)) in packed.zip(images).enumerate() {
            work.group(group, packed, image, output);
        }
        Ok(())
    }

    /// How far each number of a column is from the first, in an image with its border.
    fn all_places(&self, geometry: &Geometry) -> Vec<usize> {
        let channels = (0..self.channels).map(|channel| channel * geometry.padded_pixels());
        let places: Vec<usize> = geometry.distances().collect();
        channels
            .flat_map(|channel| places.iter().map(move |place| channel + place))
            .collect()
    }
}

/// All channels of an image, each with a border of zeros.
fn with_border(geometry: &Geometry, image: &[f32]) -> Vec<f32> {
    let (input, padded) = (geometry.input_pixels(), geometry.padded_pixels());
    let channels = image.len() / input.max(1);
    let mut bordered = vec![0.0; channels * padded];
    let images = image.chunks_exact(input.max(1));
    for (image, bordered) in images.zip(bordered.chunks_exact_mut(padded)) {
        geometry.pad(image, bordered);
    }
    bordered
}

/// A convolution whose sizes have been checked.
struct Work<'a> {
    filter: &'a Filter,
    geometry: &'a Geometry,
    finish: &'a Finish<'a>,
    places: Vec<usize>,
}

/// A part of the depth.
struct Part<'a> {
    /// Where each number of a column is.
    places: &'a [usize],
    /// The filter's numbers.
    filter: &'a [f32],
    is_first: bool,
    is_last: bool,
}

impl Work<'_> {
    fn group(&self, group: usize, filter: &[f32], image: &[f32], output: &mut [f32]) {
        let (steps, pixels) = (self.filter.steps(), self.geometry.output_pixels());
        let per_step = self.filter.products() * ROWS;
        let parts = self.places.len().div_ceil(steps);
        let mut columns = vec![0.0; steps * PANELS_IN_CACHE * PIXELS];
        for first in (0..pixels).step_by(PANELS_IN_CACHE * PIXELS) {
            let last = pixels.min(first + PANELS_IN_CACHE * PIXELS);
            let firsts = (first..last).step_by(PIXELS);
            let panels: Vec<_> = firsts.map(|at| Panel::at(self.geometry, at)).collect();
            let filters = filter.chunks(steps * per_step);
            for (index, (places, filter)) in self.places.chunks(steps).zip(filters).enumerate() {
                let part = Part {
                    places,
                    filter,
                    is_first: index == 0,
                    is_last: index + 1 == parts,
                };
                gather(&panels, image, places, &mut columns);
                self.products(group, first, &part, &columns, output);
            }
        }
    }

    /// All products of a part of the depth with the pixels from `first` on.
    fn products(
        &self,
        group: usize,
        first: usize,
        part: &Part<'_>,
        columns: &[f32],
        output: &mut [f32],
    ) {
        let (steps, pixels) = (part.places.len(), self.geometry.output_pixels());
        let products = self.filter.products();
        for in_cache in (0..products).step_by(PRODUCTS_IN_CACHE) {
            let until = products.min(in_cache + PRODUCTS_IN_CACHE);
            let panels = columns.chunks_exact(steps * PIXELS);
            for (pixel, panel) in (first..pixels).step_by(PIXELS).zip(panels) {
                for product in in_cache..until {
                    let row = product * ROWS;
                    let tile = Tile {
                        channel: group * self.filter.rows + row,
                        rows: ROWS.min(self.filter.rows - row),
                        pixel,
                        pixels: PIXELS.min(pixels - pixel),
                    };
                    let Some(filter) = part.filter.get(row * steps..(row + ROWS) * steps) else {
                        return;
                    };
                    self.product(&tile, part, filter, panel, output);
                }
            }
        }
    }

    #[inline(always)]
    fn product(
        &self,
        tile: &Tile,
        part: &Part<'_>,
        filter: &[f32],
        columns: &[f32],
        output: &mut [f32],
    ) {
        let pixels = self.geometry.output_pixels();
        let at = tile.channel * pixels + tile.pixel;
        let output = output.as_mut_ptr().wrapping_add(at);
        let mut sums = Sums([0.0; ROWS * PIXELS]);
        // SAFETY: filter and columns have `steps` rows of four and of eight; the tile lies within
        // the output, and so within the addend.
        unsafe {
            match part.is_first {
                true => sums.begin(self.finish, tile),
                false => sums.load(output, pixels, tile),
            }
            let (steps, sum) = (part.places.len(), sums.0.as_mut_ptr());
            inner::gemm_4x8_4(steps, filter.as_ptr(), columns.as_ptr(), sum);
            if part.is_last {
                if let Some(addend) = self.finish.addend {
                    sums.add(addend.as_ptr().wrapping_add(at), pixels, tile);
                }
                sums.bound(self.finish.bounds());
            }
            sums.store(output, pixels, tile);
        }
    }
}

fn gather(panels: &[Panel], image: &[f32], places: &[usize], columns: &mut [f32]) {
    let rows = columns.chunks_exact_mut(places.len() * PIXELS);
    for (panel, rows) in panels.iter().zip(rows) {
        // SAFETY: the geometry's places are within the image with its border, and there is a row of
        // columns for each.
        unsafe { panel.gather(image.as_ptr(), places, rows.as_mut_ptr()) };
    }
}

/// Where a product's result goes.
struct Tile {
    channel: usize,
    rows: usize,
    pixel: usize,
    pixels: usize,
}

impl Tile {
    fn is_whole(&self) -> bool {
        self.rows == ROWS && self.pixels == PIXELS
    }
}

/// The result of a product, four rows of eight.
#[repr(C, align(16))]
struct Sums([f32; ROWS * PIXELS]);

impl Sums {
    /// A vector, and how far it is from the tile's first number in memory whose rows are so far from
    /// one another.
    #[inline(always)]
    fn vectors(&mut self, stride: usize) -> impl Iterator<Item = (*mut f32, usize)> {
        let sums = self.0.as_mut_ptr();
        (0..ROWS * 2).map(move |at| {
            let (row, half) = (at / 2, at % 2 * LANES);
            (sums.wrapping_add(at * LANES), row * stride + half)
        })
    }

    /// Each channel begins with its bias.
    #[inline(always)]
    fn begin(&mut self, finish: &Finish<'_>, tile: &Tile) {
        for (row, sums) in self.0.as_chunks_mut::<PIXELS>().0.iter_mut().enumerate() {
            *sums = [finish.bias_of(tile.channel + row); PIXELS];
        }
    }

    /// # Safety
    /// The tile is at `from`, with rows so far from one another.
    #[inline(always)]
    unsafe fn load(&mut self, from: *const f32, stride: usize, tile: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { self.add(from, stride, tile) };
    }

    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn add(&mut self, from: *const f32, stride: usize, tile: &Tile) {
        // SAFETY: the caller's promise; of a tile that is not whole only what there is.
        unsafe {
            if tile.is_whole() {
                for (sum, place) in self.vectors(stride) {
                    let other = Lanes::load(from.add(place));
                    Lanes::load(sum).add(other).store(sum);
                }
                return;
            }
            for (row, sums) in self.0.as_chunks_mut::<PIXELS>().0.iter_mut().enumerate() {
                if row < tile.rows {
                    for (pixel, sum) in sums.iter_mut().take(tile.pixels).enumerate() {
                        *sum += *from.add(row * stride + pixel);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn bound(&mut self, bounds: [Lanes; 2]) {
        for (sum, _) in self.vectors(0) {
            // SAFETY: vectors of this tile.
            unsafe { bounded(Lanes::load(sum), bounds).store(sum) };
        }
    }

    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn store(&mut self, to: *mut f32, stride: usize, tile: &Tile) {
        // SAFETY: the caller's promise; of a tile that is not whole only what there is.
        unsafe {
            if tile.is_whole() {
                for (sum, place) in self.vectors(stride) {
                    Lanes::load(sum).store(to.add(place));
                }
                return;
            }
            for (row, sums) in self.0.as_chunks::<PIXELS>().0.iter().enumerate() {
                if row < tile.rows {
                    let to = to.add(row * stride);
                    to.copy_from_nonoverlapping(sums.as_ptr(), tile.pixels);
                }
            }
        }
    }
}
