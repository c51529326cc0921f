//! Where a picture lies on a model's input, and the way back.

use serde::Deserialize;

use super::picture::Size;

/// How a picture of another shape is brought to the input's width and height.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fit {
    /// Each side by itself.
    #[default]
    Stretch,
    /// The shorter side to a length, then the centre, as torchvision's `Resize` and `CenterCrop`.
    Crop,
    /// As large as fits, in the middle of padding.
    Letterbox,
}

/// A picture of size `picture` is resized to `scaled`, and its corner put at `left` and `top` of the
/// input. What lies outside of the input is cut off; what it does not cover is padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) picture: Size,
    pub(crate) input: Size,
    pub(super) scaled: Size,
    pub(super) left: i64,
    pub(super) top: i64,
}

impl Placement {
    /// Each side by itself.
    pub(super) fn stretch(picture: Size, input: Size) -> Self {
        Self {
            picture,
            input,
            scaled: input,
            left: 0,
            top: 0,
        }
    }

    /// The shorter side becomes `shorter` pixels long, or as long as it takes to cover the input, and
    /// the longer side in proportion, rounded down; then the centre is cut out. An odd pixel goes
    /// where Python's `round` puts it: half to even.
    pub(super) fn crop(picture: Size, input: Size, shorter: Option<u32>) -> Self {
        let scaled = match shorter {
            Some(shorter) if picture.width <= picture.height => wide(picture, shorter),
            Some(shorter) => high(picture, shorter),
            None if is_wider(picture, input) => high(picture, input.height),
            None => wide(picture, input.width),
        };
        let start = |scaled: u32, input: u32| {
            let rest = f64::from(scaled) - f64::from(input);
            -(rest / 2.0).round_ties_even() as i64
        };
        Self {
            picture,
            input,
            scaled,
            left: start(scaled.width, input.width),
            top: start(scaled.height, input.height),
        }
    }

    /// Both sides by the same factor. An odd pixel of padding goes to the right or the bottom, as
    /// Ultralytics' letterbox has it.
    pub(super) fn letterbox(picture: Size, input: Size) -> Self {
        let ratio = |input: u32, picture: u32| f64::from(input) / f64::from(picture);
        let factor = ratio(input.width, picture.width).min(ratio(input.height, picture.height));
        let side = |length: u32, most: u32| {
            let scaled = (f64::from(length) * factor).round_ties_even();
            (scaled as u32).clamp(1, most)
        };
        let scaled = Size {
            width: side(picture.width, input.width),
            height: side(picture.height, input.height),
        };
        Self {
            picture,
            input,
            scaled,
            left: i64::from((input.width - scaled.width) / 2),
            top: i64::from((input.height - scaled.height) / 2),
        }
    }

    /// The point of the picture at a point of the input, both in pixels from the left and the top.
    pub(crate) fn to_picture(self, x: f32, y: f32) -> (f32, f32) {
        let back = |at: f32, start: i64, scaled: u32, picture: u32| {
            let scaled = (f64::from(at) - start as f64) / f64::from(scaled);
            (scaled * f64::from(picture)) as f32
        };
        (
            back(x, self.left, self.scaled.width, self.picture.width),
            back(y, self.top, self.scaled.height, self.picture.height),
        )
    }

    /// For each column of the picture, the column of the input at its centre, as a fraction of the
    /// input's width: outside of 0 to 1 where it was cut off.
    pub(crate) fn columns(self) -> impl Iterator<Item = f64> {
        centres(
            self.picture.width,
            self.scaled.width,
            self.left,
            self.input.width,
        )
    }

    /// The same of rows.
    pub(crate) fn rows(self) -> impl Iterator<Item = f64> {
        centres(
            self.picture.height,
            self.scaled.height,
            self.top,
            self.input.height,
        )
    }
}

fn centres(picture: u32, scaled: u32, start: i64, input: u32) -> impl Iterator<Item = f64> {
    let factor = f64::from(scaled) / f64::from(picture);
    let at = move |pixel: u32| (f64::from(pixel) + 0.5) * factor + start as f64;
    (0..picture).map(move |pixel| at(pixel) / f64::from(input))
}

fn wide(picture: Size, width: u32) -> Size {
    Size {
        width,
        height: in_proportion(picture.height, width, picture.width),
    }
}

fn high(picture: Size, height: u32) -> Size {
    Size {
        width: in_proportion(picture.width, height, picture.height),
        height,
    }
}

fn in_proportion(length: u32, scaled: u32, other: u32) -> u32 {
    let length = u64::from(length) * u64::from(scaled) / u64::from(other);
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn is_wider(picture: Size, input: Size) -> bool {
    let product = |width: u32, height: u32| u64::from(width) * u64::from(height);
    product(picture.width, input.height) > product(input.width, picture.height)
}
