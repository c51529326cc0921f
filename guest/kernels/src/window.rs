//! Where a window lies on an image: the geometry of convolutions and pooling.
#![allow(unsafe_code, reason = "copies rows that are as long as one another")]

use crate::row::copy;

/// A window that moves over an image; all values are rows, then columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// How many places it has.
    pub size: [usize; 2],
    /// How far it moves from one pixel of the output to the next; at least 1.
    pub strides: [usize; 2],
    /// How far its places are from one another; at least 1.
    pub dilations: [usize; 2],
}

impl Window {
    /// Whether it sees each pixel alone, and all of them.
    fn is_point(&self) -> bool {
        self.size == [1, 1] && self.strides == [1, 1]
    }
}

/// A window on images of one size.
#[derive(Clone, Debug)]
pub struct Geometry {
    pub(crate) window: Window,
    /// Rows and columns of the image.
    pub(crate) input: [usize; 2],
    /// Rows above the image and columns before it that are not there.
    pub(crate) before: [usize; 2],
    /// Rows and columns of the image with all that is around it.
    pub(crate) padded: [usize; 2],
    /// Rows and columns of the output.
    pub(crate) output: [usize; 2],
}

impl Geometry {
    /// The geometry of `window` on images of `input` rows and columns with `before` many of padding
    /// before them, and as many behind them as the output needs.
    pub fn new(window: Window, input: [usize; 2], before: [usize; 2], output: [usize; 2]) -> Self {
        let reach = |axis: usize| {
            let [size, stride, dilation, output] =
                [&window.size, &window.strides, &window.dilations, &output]
                    .map(|values| values.get(axis).copied().unwrap_or_default());
            output.saturating_sub(1) * stride + size.saturating_sub(1) * dilation + 1
        };
        let [rows, columns] = input;
        let padded = [
            reach(0).max(before[0] + rows),
            reach(1).max(before[1] + columns),
        ];
        // Without a border an image is one long row to a window of one place.
        let is_flat = window.is_point() && padded == input;
        let flat = |[rows, columns]: [usize; 2]| match is_flat {
            true => [1, rows * columns],
            false => [rows, columns],
        };
        Self {
            window,
            input: flat(input),
            before,
            padded: flat(padded),
            output: flat(output),
        }
    }

    /// Pixels of an image.
    pub fn input_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Pixels of an output.
    pub fn output_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Pixels of an image with its border.
    pub(crate) fn padded_pixels(&self) -> usize {
        self.padded[0] * self.padded[1]
    }

    /// Whether there is something around the image.
    pub(crate) fn has_border(&self) -> bool {
        self.padded != self.input
    }

    /// Where the window's first place is for a pixel of the output, in the image with its border.
    pub(crate) fn place(&self, pixel: usize) -> usize {
        let [_, columns] = self.output;
        let (row, column) = (pixel / columns, pixel % columns);
        row * self.window.strides[0] * self.padded[1] + column * self.window.strides[1]
    }

    /// How many places of the window are on the image, for a pixel of the output.
    pub(crate) fn seen(&self, pixel: usize) -> usize {
        let [_, columns] = self.output;
        let [row, column] = [pixel / columns, pixel % columns];
        let of = |axis: usize, step: usize| {
            let at = |values: &[usize; 2]| values.get(axis).copied().unwrap_or_default();
            let window = &self.window;
            let first = step * at(&window.strides);
            let image = at(&self.before)..at(&self.before) + at(&self.input);
            let places = (0..at(&window.size)).map(|place| first + place * at(&window.dilations));
            places.filter(|place| image.contains(place)).count()
        };
        of(0, row) * of(1, column)
    }

    /// Row and column of each place of the window, from its first.
    pub(crate) fn places(&self) -> impl Iterator<Item = [usize; 2]> {
        let Window {
            size: [rows, columns],
            dilations: [down, right],
            ..
        } = self.window;
        (0..rows).flat_map(move |row| (0..columns).map(move |column| [row * down, column * right]))
    }

    /// How far each place of the window is from its first, in the image with its border.
    pub(crate) fn distances(&self) -> impl Iterator<Item = usize> {
        let width = self.padded[1];
        self.places().map(move |[row, column]| row * width + column)
    }

    /// Copies an image into `padded`, which is full of what stands around it.
    pub(crate) fn pad(&self, image: &[f32], padded: &mut [f32]) {
        self.pad_to(image, self.padded[1], padded);
    }

    /// The same with rows of another width.
    pub(crate) fn pad_to(&self, image: &[f32], width: usize, padded: &mut [f32]) {
        self.each_row(image, width, padded, |row, padded| {
            // SAFETY: both rows are as long.
            unsafe { copy::<1>(row.as_ptr(), 1, padded.as_mut_ptr(), row.len()) };
        });
    }

    /// The same with numbers of another kind.
    pub(crate) fn pad_with<From: Copy, To>(
        &self,
        image: &[From],
        padded: &mut [To],
        to: impl Fn(From) -> To,
    ) {
        self.each_row(image, self.padded[1], padded, |row, padded| {
            for (number, padded) in row.iter().zip(padded) {
                *padded = to(*number);
            }
        });
    }

    /// Calls `take` with each row of an image and with its place in one that is so wide, of the same
    /// length.
    fn each_row<From, To>(
        &self,
        image: &[From],
        width: usize,
        padded: &mut [To],
        take: impl Fn(&[From], &mut [To]),
    ) {
        let [_, columns] = self.input;
        let [above, left] = self.before;
        let rows = padded.chunks_exact_mut(width).skip(above);
        for (row, padded) in image.chunks_exact(columns).zip(rows) {
            if let Some(padded) = padded.get_mut(left..left + columns) {
                take(row, padded);
            }
        }
    }
}
