//! Convolutions as products, whose columns are gathered eight pixels at a time.

use super::Quantized;
use super::dot::{COLUMNS, ROWS};
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
        for group in 0..groups {
            let image = group * channels * geometry.padded_pixels();
            let Some(image) = images.get(image..) else {
                break;
            };
            for pixel in (0..pixels).step_by(COLUMNS) {
                let panel = Panel::at(geometry, pixel);
                if panel.gather(image, &places, &mut columns).is_none() {
                    break;
                }
                self.multiply(group, &columns, finish, |row, tile| {
                    let rows = ROWS.min((group + 1) * rows - row);
                    let channels = output.chunks_exact_mut(pixels).skip(row).take(rows);
                    for (channel, values) in channels.zip(tile) {
                        store(&values, channel.get_mut(pixel..).unwrap_or_default());
                    }
                });
            }
        }
        Ok(())
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
