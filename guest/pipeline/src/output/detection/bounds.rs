//! Boxes: as models write them, how far two of them are the same, and where they lie on the picture.

use serde::{Deserialize, Serialize};

use crate::input::{Placement, Size};

/// What the four numbers of a box are. `c` is its centre, `w` and `h` are its size, 1 is its upper left
/// corner and 2 its lower right one.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    CxCyWh,
    XyWh,
    XyXy,
    YxYx,
}

/// What a box is measured in.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Coordinates {
    /// Pixels of the model's input.
    #[default]
    Pixels,
    /// Fractions of the input's width and height.
    Relative,
}

/// A box by its sides.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

/// A box by its upper left corner and its size, in pixels of the picture.
#[derive(Serialize)]
pub(super) struct Rectangle {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

impl Bounds {
    /// A box on the model's input, in its pixels; none if a number is no number.
    pub(super) fn read(
        numbers: [f32; 4],
        format: Format,
        coordinates: Coordinates,
        input: Size,
    ) -> Option<Self> {
        let [a, b, c, d] = numbers;
        let [left, top, right, bottom] = match format {
            Format::CxCyWh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            Format::XyWh => [a, b, a + c, b + d],
            Format::XyXy => [a, b, c, d],
            Format::YxYx => [b, a, d, c],
        };
        let (width, height) = match coordinates {
            Coordinates::Pixels => (1.0, 1.0),
            Coordinates::Relative => (input.width as f32, input.height as f32),
        };
        let sides = [left * width, top * height, right * width, bottom * height];
        let [left, top, right, bottom] = sides;
        sides.iter().all(|side| side.is_finite()).then_some(Self {
            left,
            top,
            right,
            bottom,
        })
    }

    /// The share that two boxes have in common of what they cover together ("intersection over
    /// union"); no number where they cover nothing.
    pub(super) fn overlap(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let common = width.max(0.0) * height.max(0.0);
        common / (self.area() + other.area() - common)
    }

    fn area(&self) -> f32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// What of the box lies on the picture; none if nothing does.
    pub(super) fn on_picture(&self, placement: Placement) -> Option<Rectangle> {
        let Size { width, height } = placement.picture;
        let within = |(x, y): (f32, f32)| (x.clamp(0.0, width as f32), y.clamp(0.0, height as f32));
        let (left, top) = within(placement.to_picture(self.left, self.top));
        let (right, bottom) = within(placement.to_picture(self.right, self.bottom));
        let rectangle = Rectangle {
            x: left,
            y: top,
            width: right - left,
            height: bottom - top,
        };
        (rectangle.width > 0.0 && rectangle.height > 0.0).then_some(rectangle)
    }
}
