//! Pictures to tensors.

use std::io::Cursor;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};
use serde::Deserialize;

use crate::error::CallError;

/// No model input is near this large; a decoder must not be talked into allocating it.
const MAX_SIDE_PIXELS: u32 = 8192;
const MAX_DECODED_BYTES: u64 = 128 << 20;
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
}

/// How a picture of another shape is brought to the input's width and height.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fit {
    /// Each side by itself.
    #[default]
    Stretch,
    /// The smallest size that covers the input, then its centre.
    Crop,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

fn default_scale() -> f32 {
    1.0 / 255.0
}

impl ImageInput {
    /// Whether the configuration fits the tensor that it fills.
    pub(crate) fn check(&self, spec: &TensorSpec) -> Result<(), String> {
        let channels = self.channels();
        let sides = 1..=MAX_INPUT_PIXELS;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(format!(
                "[input] width and height must be from 1 to {MAX_INPUT_PIXELS}"
            ));
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !values.is_empty() && values.len() != channels {
                return Err(format!(
                    "[input] {key} needs {channels} numbers, one a channel, not {}",
                    values.len()
                ));
            }
        }
        if self.std.contains(&0.0) {
            return Err("[input] std must not be zero".into());
        }
        if spec.datatype != Datatype::Fp32 && spec.datatype != Datatype::Uint8 {
            return Err(format!(
                "input {:?} is {}; pictures become FP32 or UINT8",
                spec.name, spec.datatype
            ));
        }
        let shape = self.shape();
        let fits = |(want, have): (&u64, &i64)| *have == -1 || *have == *want as i64;
        if spec.shape.len() == shape.len() && shape.iter().zip(&spec.shape).all(fits) {
            return Ok(());
        }
        Err(format!(
            "[input] makes a tensor of shape {shape:?}, but input {:?} is {:?}",
            spec.name, spec.shape
        ))
    }

    /// Decodes, resizes and normalises one picture.
    pub(crate) fn decode(
        &self,
        spec: &TensorSpec,
        content_type: &str,
        body: &[u8],
    ) -> Result<Tensor, CallError> {
        let picture = self.resize(read(content_type, body)?);
        let levels = match self.colour {
            Colour::Grey => picture.into_luma8().into_raw(),
            Colour::Rgb => picture.into_rgb8().into_raw(),
        };
        let data = match spec.datatype {
            Datatype::Uint8 => self.arrange(&levels, |level, _| [level]),
            _ => self.arrange(&levels, |level, channel| {
                self.normalise(level, channel).to_le_bytes()
            }),
        };
        Ok(Tensor::new(
            spec.name.clone(),
            spec.datatype,
            self.shape(),
            data,
        )?)
    }

    fn resize(&self, picture: DynamicImage) -> DynamicImage {
        if (picture.width(), picture.height()) == (self.width, self.height) {
            return picture;
        }
        match self.fit {
            Fit::Stretch => picture.resize_exact(self.width, self.height, FilterType::Triangle),
            Fit::Crop => {
                let covering =
                    picture.resize_to_fill(self.width, self.height, FilterType::Triangle);
                let (left, top) = (
                    (covering.width() - self.width) / 2,
                    (covering.height() - self.height) / 2,
                );
                imageops::crop_imm(&covering, left, top, self.width, self.height)
                    .to_image()
                    .into()
            }
        }
    }

    /// Orders interleaved levels as the layout says and encodes each.
    fn arrange<const N: usize>(
        &self,
        levels: &[u8],
        encode: impl Fn(u8, usize) -> [u8; N],
    ) -> Vec<u8> {
        let channels = self.channels();
        let pixels = levels.chunks_exact(channels);
        match self.layout {
            Layout::Nhwc => pixels
                .flat_map(|pixel| pixel.iter().enumerate())
                .flat_map(|(c, l)| encode(*l, c))
                .collect(),
            Layout::Nchw => (0..channels)
                .flat_map(|channel| {
                    pixels
                        .clone()
                        .filter_map(move |pixel| Some((channel, *pixel.get(channel)?)))
                })
                .flat_map(|(channel, level)| encode(level, channel))
                .collect(),
        }
    }

    fn normalise(&self, level: u8, channel: usize) -> f32 {
        let mean = self.mean.get(channel).copied().unwrap_or(0.0);
        let std = self.std.get(channel).copied().unwrap_or(1.0);
        (f32::from(level) * self.scale - mean) / std
    }

    fn channels(&self) -> usize {
        match self.colour {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }

    fn shape(&self) -> Vec<u64> {
        let (channels, height, width) = (
            self.channels() as u64,
            u64::from(self.height),
            u64::from(self.width),
        );
        match self.layout {
            Layout::Nchw => vec![1, channels, height, width],
            Layout::Nhwc => vec![1, height, width, channels],
        }
    }
}

/// Decodes within limits: dimensions are checked before pixels are allocated.
fn read(content_type: &str, body: &[u8]) -> Result<DynamicImage, CallError> {
    let format = if content_type == "image/png" {
        ImageFormat::Png
    } else {
        ImageFormat::Jpeg
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PIXELS);
    limits.max_image_height = Some(MAX_SIDE_PIXELS);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(body), format);
    reader.limits(limits);
    reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => CallError::TooLarge(format!(
            "the picture is larger than {MAX_SIDE_PIXELS} pixels a side or {MAX_DECODED_BYTES} bytes decoded"
        )),
        error => CallError::InvalidInput(format!("cannot decode the body as {content_type}: {error}")),
    })
}
