//! A channel of an image with its border, in parts: one holds every so many rows and columns, as many
//! as a window moves on by. So windows begin at each number of a part, side by side, and so do the
//! numbers that each of their places sees.
#![allow(
    unsafe_code,
    reason = "copies rows between places that a geometry names"
)]

use crate::row::copy;
use crate::window::Geometry;

/// The parts of one channel, one after the other.
pub(crate) struct Parts {
    numbers: Vec<f32>,
    /// Rows and columns of a part.
    size: [usize; 2],
    strides: [usize; 2],
    copies: Vec<Copy>,
    /// How many numbers an image has.
    pixels: usize,
}

/// What of a row of the image lies in one part.
struct Copy {
    from: usize,
    to: usize,
    count: usize,
}

impl Parts {
    /// For images of this geometry, with `border` around them and as many numbers `beyond` their end.
    pub(crate) fn new(geometry: &Geometry, border: f32, beyond: usize) -> Self {
        let strides @ [down, right] = geometry.window.strides;
        let [rows, columns] = geometry.padded;
        let size = [rows.div_ceil(down), columns.div_ceil(right)];
        let mut parts = Self {
            numbers: vec![border; down * right * size[0] * size[1] + beyond],
            size,
            strides,
            copies: Vec::new(),
            pixels: geometry.input_pixels(),
        };
        parts.copies = parts.copies(geometry);
        parts
    }

    fn copies(&self, geometry: &Geometry) -> Vec<Copy> {
        let ([rows, columns], [above, left]) = (geometry.input, geometry.before);
        let right = self.strides[1];
        let of_row = |row: usize| {
            (0..right.min(columns)).map(move |first| Copy {
                from: row * columns + first,
                to: self.place([above + row, left + first]),
                count: (columns - first).div_ceil(right),
            })
        };
        (0..rows).flat_map(of_row).collect()
    }

    /// Columns of a part.
    pub(crate) fn width(&self) -> usize {
        self.size[1]
    }

    /// Where a pixel of the image with its border is.
    pub(crate) fn place(&self, [row, column]: [usize; 2]) -> usize {
        let ([down, right], [rows, columns]) = (self.strides, self.size);
        let part = row % down * right + column % right;
        (part * rows + row / down) * columns + column / right
    }

    /// Takes an image; what is around it stays.
    pub(crate) fn fill(&mut self, image: &[f32]) {
        match self.strides[1] {
            1 => self.copy::<1>(image),
            2 => self.copy::<2>(image),
            _ => self.copy::<0>(image),
        }
    }

    fn copy<const STRIDE: usize>(&mut self, image: &[f32]) {
        if image.len() < self.pixels {
            return;
        }
        let (stride, from, to) = (self.strides[1], image.as_ptr(), self.numbers.as_mut_ptr());
        for copied in &self.copies {
            // SAFETY: the image has as many pixels as the geometry, and the parts have room for all
            // of them and their border.
            unsafe {
                copy::<STRIDE>(
                    from.add(copied.from),
                    stride,
                    to.add(copied.to),
                    copied.count,
                );
            }
        }
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.numbers.as_ptr()
    }
}
