//! Convolutions as products, whose columns are gathered eight pixels at a time.

use super::Quantized;
use super::dot::{COLUMNS, ColumnPairs};
use super::finish::Finish;
use super::gather::{BEYOND, Panel};
use super::weights::{Shape, Weights};
use crate::size::WrongSize;
use crate::window::Geometry;

impl Weights<'_> {
    /// The convolution of one image, with channels, rows and columns in this order. A row of weights is
    /// that of a channel of the output: for each channel of the image in its group the places of
    /// the window.
    ///
    /// # Errors
    /// A slice is not as long as the weights and the geometry say.
    pub fn convolve<N: Copy + Into<i16>, F: Finish>(
        &self,
        geometry: &Geometry,
        image: Quantized<'_, N>,
        finish: &F,
        output: &mut [F::Output],
    ) -> Result<(), WrongSize> {
        let Shape {
            groups,
            rows,
            depth,
        } = *self.shape;
        let [height, width] = geometry.window.size;
        let channels = depth / (height * width).max(1);
        let pixels = geometry.output_pixels();
        self.check()?;
        WrongSize::check("row of weights", depth, channels * height * width)?;
        let image_len = groups * channels * geometry.input_pixels();
        WrongSize::check("image", image.values.len(), image_len)?;
        WrongSize::check("output", output.len(), groups * rows * pixels)?;
        if output.is_empty() {
            return Ok(());
        }
        if channels == 1 && self.is_depthwise() {
            self.convolve_depthwise(geometry, image, finish, output);
            return Ok(());
        }
        let work = Work {
            weights: self,
            finish,
            pixels,
            places: pairs_of_places(geometry, channels),
        };
        let images = with_border(geometry, image);
        let size = channels * geometry.padded_pixels();
        let mut columns = vec![[[0; 2]; COLUMNS]; self.shape.pairs()];
        for pixel in (0..pixels).step_by(COLUMNS) {
            let panel = Panel::at(geometry, pixel);
            for group in 0..groups {
                let image = images.get(group * size..).unwrap_or_default();
                work.rows(group, (&panel, pixel), image, &mut columns, output);
            }
        }
        Ok(())
    }
}

/// A convolution whose sizes have been checked.
struct Work<'a, F> {
    weights: &'a Weights<'a>,
    finish: &'a F,
    /// Pixels of the output.
    pixels: usize,
    places: Vec<[usize; 2]>,
}

impl<F: Finish> Work<'_, F> {
    /// The rows of a group for the eight pixels of a panel.
    fn rows(
        &self,
        group: usize,
        (panel, pixel): (&Panel, usize),
        image: &[i16],
        columns: &mut [ColumnPairs],
        output: &mut [F::Output],
    ) {
        if panel.gather(image, &self.places, columns).is_none() {
            return;
        }
        let end = (group + 1) * self.weights.shape.rows;
        self.weights
            .multiply(group, columns, self.finish, |row, tile| {
                for (row, values) in (row..end).zip(&tile) {
                    self.store(row, pixel, values, output);
                }
            });
    }

    /// Stores as many values as there are pixels left.
    #[inline(always)]
    fn store(
        &self,
        row: usize,
        pixel: usize,
        values: &[F::Output; COLUMNS],
        output: &mut [F::Output],
    ) {
        let channel = output.get_mut(row * self.pixels + pixel..(row + 1) * self.pixels);
        let to = channel.unwrap_or_default();
        match to.first_chunk_mut() {
            Some(whole) => *whole = *values,
            None => to
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = *value),
        }
    }
}

/// All channels of an image, each with a border of zeros.
fn with_border<N: Copy + Into<i16>>(geometry: &Geometry, image: Quantized<'_, N>) -> Vec<i16> {
    let (input, padded) = (geometry.input_pixels().max(1), geometry.padded_pixels());
    let mut bordered = vec![0; image.values.len() / input * padded + BEYOND];
    let channels = image.values.chunks_exact(input);
    for (channel, bordered) in channels.zip(bordered.chunks_exact_mut(padded)) {
        geometry.pad_with(channel, bordered, image.centred());
    }
    bordered
}

/// How far the numbers of a column are from the first, two at a time. An odd one is its own
/// neighbour, for which no row has a weight.
fn pairs_of_places(geometry: &Geometry, channels: usize) -> Vec<[usize; 2]> {
    let window: Vec<usize> = geometry.distances().collect();
    let channels = (0..channels).map(|channel| channel * geometry.padded_pixels());
    let places: Vec<usize> = channels
        .flat_map(|channel| window.iter().map(move |place| channel + place))
        .collect();
    let (pairs, odd) = places.as_chunks::<2>();
    let odd = odd.iter().map(|last| [*last; 2]);
    pairs.iter().copied().chain(odd).collect()
}
