//! Convolutions as products, whose columns are gathered eight pixels at a time.

use super::Quantized;
use super::dot::{COLUMNS, add_products};
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
        let images = with_border(geometry, image);
        let places = pairs_of_places(geometry, channels);
        let mut columns = vec![[[0; 2]; COLUMNS]; self.shape.pairs()];
        let size = channels * geometry.padded_pixels();
        for pixel in (0..pixels).step_by(COLUMNS) {
            let panel = Panel::at(geometry, pixel);
            for group in 0..groups {
                let Some(image) = images.get(group * size..) else {
                    break;
                };
                let mut store = |row: usize, values: &[F::Output; COLUMNS]| {
                    let channel = output.get_mut(row * pixels + pixel..(row + 1) * pixels);
                    store(values, channel.unwrap_or_default());
                };
                if rows == 1 {
                    let sums = self.row(group, &panel, image, &places);
                    store(group, &finish.finish(group, sums));
                    continue;
                }
                if panel.gather(image, &places, &mut columns).is_none() {
                    break;
                }
                let end = (group + 1) * rows;
                self.multiply(group, &columns, finish, |row, tile| {
                    (row..end)
                        .zip(&tile)
                        .for_each(|(row, values)| store(row, values));
                });
            }
        }
        Ok(())
    }

    /// The sums of a group that has one row.
    fn row(
        &self,
        group: usize,
        panel: &Panel,
        image: &[i16],
        places: &[[usize; 2]],
    ) -> [i32; COLUMNS] {
        let zero = self.zeros.get(group).copied().unwrap_or_default();
        let mut sums = [0; COLUMNS];
        for ([row, ..], places) in self.rows(group).iter().zip(places) {
            if let Some(columns) = panel.pairs(image, *places) {
                let row = row.map(|weight| i16::from(weight).wrapping_sub(zero as i16));
                add_products(&mut sums, row, &columns);
            }
        }
        sums
    }
}

/// As many as there is room for.
#[inline(always)]
fn store<T: Copy>(values: &[T; COLUMNS], to: &mut [T]) {
    match to.first_chunk_mut() {
        Some(whole) => *whole = *values,
        None => to
            .iter_mut()
            .zip(values)
            .for_each(|(to, value)| *to = *value),
    }
}

/// All channels of an image, each with a border of zeros.
fn with_border<N: Copy + Into<i16>>(geometry: &Geometry, image: Quantized<'_, N>) -> Vec<i16> {
    let (input, padded) = (geometry.input_pixels().max(1), geometry.padded_pixels());
    let mut bordered = vec![0; image.values.len() / input * padded + BEYOND];
    let channels = image.values.chunks_exact(input);
    for (channel, bordered) in channels.zip(bordered.chunks_exact_mut(padded)) {
        geometry.pad_with(channel, geometry.padded[1], bordered, image.centred());
    }
    bordered
}

/// How far the numbers of a column are from the first, two at a time. An odd one is its own
/// neighbour, whose weight is zero.
fn pairs_of_places(geometry: &Geometry, channels: usize) -> Vec<[usize; 2]> {
    let window: Vec<usize> = geometry.places().collect();
    let channels = (0..channels).map(|channel| channel * geometry.padded_pixels());
    let places: Vec<usize> = channels
        .flat_map(|channel| window.iter().map(move |place| channel + place))
        .collect();
    let (pairs, odd) = places.as_chunks::<2>();
    let odd = odd.iter().map(|last| [*last; 2]);
    pairs.iter().copied().chain(odd).collect()
}
