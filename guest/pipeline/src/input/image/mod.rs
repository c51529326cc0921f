//! Pictures to tensors: decoded, the right way up, in the model's colours, resized, placed,
//! normalised; in this order, which is that of Pillow and torchvision.

mod decode;
mod exif;
mod picture;
mod placement;
mod resample;
mod tensor;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;

pub(crate) use self::picture::Size;
pub(crate) use self::placement::Placement;

use self::picture::Picture;
use self::placement::Fit;
use self::resample::{Filter, Window};
use self::tensor::{Layout, Normalisation};
use crate::CallError;

/// The content types that become tensors.
pub(super) const MEDIA: &[&str] = decode::MEDIA;

/// The largest input of a model, in pixels a side.
const MAX_INPUT_PIXELS: u32 = 4096;

/// `[input] kind = "image"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageInput {
    colour: Colour,
    width: u32,
    height: u32,
    #[serde(default)]
    fit: Fit,
    /// With `fit = "crop"`: how long the shorter side is before the centre is cut out.
    resize: Option<u32>,
    #[serde(default)]
    filter: Filter,
    /// With `fit = "letterbox"`: the level of the padding, in all channels.
    padding: Option<u8>,
    /// Each level from 0 to 255 is multiplied by this, before `mean` and `std`.
    #[serde(default = "default_scale")]
    scale: f32,
    /// Subtracted from each channel, one number a channel.
    #[serde(default)]
    mean: Vec<f32>,
    /// Divides each channel, one number a channel.
    #[serde(default)]
    std: Vec<f32>,
    #[serde(default)]
    layout: Layout,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Grey,
    Rgb,
    Bgr,
}

fn default_scale() -> f32 {
    1.0 / 255.0
}

/// The grey around letterboxed pictures on which YOLO models are trained.
const PADDING: u8 = 114;

impl ImageInput {
    /// Whether the configuration fits the tensor that it fills.
    pub(crate) fn check(&self, spec: &TensorSpec) -> Result<(), String> {
        self.check_sizes()?;
        self.check_normalisation()?;
        if spec.datatype != Datatype::Fp32 && spec.datatype != Datatype::Uint8 {
            return Err(format!(
                "input {:?} is {}; pictures become FP32 or UINT8",
                spec.name, spec.datatype
            ));
        }
        let (height, width) = (self.height.into(), self.width.into());
        let shape = self.layout.shape(self.channels() as u64, height, width);
        let fits = |(want, have): (&u64, &i64)| *have == -1 || *have == *want as i64;
        if spec.shape.len() == shape.len() && shape.iter().zip(&spec.shape).all(fits) {
            return Ok(());
        }
        Err(format!(
            "[input] makes a tensor of shape {shape:?}, but input {:?} is {:?}",
            spec.name, spec.shape
        ))
    }

    fn check_sizes(&self) -> Result<(), String> {
        let sides = 1..=MAX_INPUT_PIXELS;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(format!(
                "[input] width and height must be from 1 to {MAX_INPUT_PIXELS}"
            ));
        }
        if let Some(resize) = self.resize {
            if self.fit != Fit::Crop {
                return Err("[input] resize is for fit = \"crop\"".into());
            }
            let least = self.width.max(self.height);
            if !(least..=MAX_INPUT_PIXELS).contains(&resize) {
                return Err(format!(
                    "[input] resize must be from {least}, to cover width and height, to {MAX_INPUT_PIXELS}"
                ));
            }
        }
        if self.padding.is_some() && self.fit != Fit::Letterbox {
            return Err("[input] padding is for fit = \"letterbox\"".into());
        }
        Ok(())
    }

    fn check_normalisation(&self) -> Result<(), String> {
        let channels = self.channels();
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !values.is_empty() && values.len() != channels {
                return Err(format!(
                    "[input] {key} needs {channels} numbers, one a channel, not {}",
                    values.len()
                ));
            }
        }
        match self.std.contains(&0.0) {
            true => Err("[input] std must not be zero".into()),
            false => Ok(()),
        }
    }

    /// One picture as a tensor, and where it lies on it.
    pub(crate) fn decode(
        &self,
        spec: &TensorSpec,
        content_type: &str,
        body: &[u8],
    ) -> Result<(Tensor, Placement), CallError> {
        let picture = decode::decode(content_type, body)?.into_channels(self.channels());
        let placement = self.place(picture.size);
        let picture = self.resize(picture, placement);
        let picture = match self.colour {
            Colour::Bgr => picture.into_bgr(),
            Colour::Grey | Colour::Rgb => picture,
        };
        let normalisation = Normalisation {
            scale: self.scale,
            mean: &self.mean,
            std: &self.std,
        };
        let tensor = self.layout.tensor(spec, &picture, &normalisation)?;
        Ok((tensor, placement))
    }

    fn place(&self, picture: Size) -> Placement {
        let input = Size {
            width: self.width,
            height: self.height,
        };
        match self.fit {
            Fit::Stretch => Placement::stretch(picture, input),
            Fit::Crop => Placement::crop(picture, input, self.resize),
            Fit::Letterbox => Placement::letterbox(picture, input),
        }
    }

    /// The picture as large as the input. Only what is seen of it is computed.
    fn resize(&self, picture: Picture, placement: Placement) -> Picture {
        let seen = |start: i64, scaled: u32, input: u32| {
            let first = (-start).max(0) as u32;
            first..first + scaled.min(input)
        };
        let (input, scaled) = (placement.input, placement.scaled);
        let window = Window {
            columns: seen(placement.left, scaled.width, input.width),
            rows: seen(placement.top, scaled.height, input.height),
        };
        let picture = self.filter.resize(picture, scaled, &window);
        match picture.size == input {
            true => picture,
            false => picture.on_canvas(placement, self.padding.unwrap_or(PADDING)),
        }
    }

    fn channels(&self) -> usize {
        match self.colour {
            Colour::Grey => 1,
            Colour::Rgb | Colour::Bgr => 3,
        }
    }
}
