//! Media to pictures. What is allocated is known from the header, and checked, before it is.

use std::io::Cursor;

use image_webp::{DecodingError as WebpError, WebPDecoder};
use libjpeg_turbo_rs::common::types::ComponentInfo;
use libjpeg_turbo_rs::{DecodeLimits, Decoder as JpegDecoder, JpegError, PixelFormat};
use png::{DecodingError as PngError, Limits, Transformations};

use super::exif::Orientation;
use super::picture::{Picture, Size};
use crate::CallError;

/// The content types that are pictures.
pub(super) const MEDIA: &[&str] = &["image/png", "image/jpeg", "image/webp"];

/// No model input is near this large; a decoder must not be talked into allocating it.
const MAX_SIDE_PIXELS: u32 = 8192;
const MAX_PIXELS: u64 = 32 << 20;
/// Red, green, blue and transparency.
const PIXEL_BYTES: u64 = 4;
/// What a JPEG may take while it is decoded: the largest of the above as its samples and as its pixels.
/// A progressive one is held in three forms, so half of that is the largest.
const MAX_JPEG_BYTES: u64 = MAX_PIXELS * 6;
/// Progressive JPEGs that people make have some ten scans; each one passes over the whole picture.
const MAX_SCANS: usize = 100;

/// Why a body is no picture.
enum Refusal {
    /// It is larger than the limits above.
    Large,
    /// It is not what its content type says, or not whole.
    Broken(String),
}

/// Decodes a body to a picture the right way up, in grey or in colour. Of an animation it is the
/// first frame.
///
/// # Errors
/// The body is not of this content type, is cut off, or is larger than the limits.
pub(super) fn decode(content_type: &str, body: &[u8]) -> Result<Picture, CallError> {
    let decoded = match content_type {
        "image/png" => png(body),
        "image/webp" => webp(body),
        _ => jpeg(body),
    };
    decoded.map_err(|refusal| match refusal {
        Refusal::Large => CallError::TooLarge(format!(
            "the picture is larger than {MAX_SIDE_PIXELS} pixels a side or {} megapixels \
             (progressive JPEG: {})",
            MAX_PIXELS >> 20,
            MAX_PIXELS >> 21
        )),
        Refusal::Broken(why) => {
            CallError::InvalidInput(format!("cannot decode the body as {content_type}: {why}"))
        }
    })
}

/// By a decoder that gives the very levels of libjpeg-turbo, which Pillow and OpenCV decode with.
fn jpeg(body: &[u8]) -> Result<Picture, Refusal> {
    let limits = DecodeLimits {
        max_width: MAX_SIDE_PIXELS as usize,
        max_height: MAX_SIDE_PIXELS as usize,
        max_scans: MAX_SCANS,
        max_pixels: MAX_PIXELS,
        max_memory: Some(MAX_JPEG_BYTES),
    };
    let mut decoder = JpegDecoder::new_with_limits(body, limits)?;
    let components = &decoder.header().components;
    if !is_usual(components) {
        return Err(Refusal::Broken("unusual sampling".into()));
    }
    let (channels, format) = match components.len() {
        1 => (1, PixelFormat::Grayscale),
        _ => (3, PixelFormat::Rgb),
    };
    decoder.set_output_format(format);
    let image = decoder.decode_image()?;
    let orientation = Orientation::read(image.exif_data());
    let size = Size {
        width: image.width as u32,
        height: image.height as u32,
    };
    upright(size, channels, image.into_vec(), orientation)
}

/// Whether the first component has the most samples, and the others a power of two less of them, or as
/// many where there are four (CMYK). On other pictures, which hardly exist, the decoder may panic.
fn is_usual(components: &[ComponentInfo]) -> bool {
    let ratios: &[u8] = if components.len() > 3 {
        &[1]
    } else {
        &[1, 2, 4]
    };
    let is_part = |whole: u8, part: u8| ratios.iter().any(|ratio| part * ratio == whole);
    let factors = |it: &ComponentInfo| (it.horizontal_sampling, it.vertical_sampling);
    let Some((across, down)) = components.first().map(factors) else {
        return false;
    };
    let mut others = components.iter().map(factors);
    others.all(|other| {
        (1..=4).contains(&other.0) && is_part(across, other.0) && is_part(down, other.1)
    })
}

/// Palettes become colours, and of 16 bits the upper 8 are kept.
fn png(body: &[u8]) -> Result<Picture, Refusal> {
    let limits = Limits {
        bytes: (MAX_PIXELS * PIXEL_BYTES) as usize,
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(body), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info()?;
    let size = Size {
        width: header.width,
        height: header.height,
    };
    check(size)?;
    let mut reader = decoder.read_info()?;
    let bytes = reader.output_buffer_size().ok_or(Refusal::Large)?;
    let mut levels = vec![0; bytes];
    let info = reader.next_frame(&mut levels)?;
    let orientation = Orientation::read(reader.info().exif_metadata.as_deref());
    upright(size, info.color_type.samples(), levels, orientation)
}

fn webp(body: &[u8]) -> Result<Picture, Refusal> {
    let mut decoder = WebPDecoder::new(Cursor::new(body))?;
    // No chunk is longer than the body, whatever it says.
    decoder.set_memory_limit(body.len());
    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    check(size)?;
    let orientation = Orientation::read(decoder.exif_metadata()?.as_deref());
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let bytes = decoder.output_buffer_size().ok_or(Refusal::Large)?;
    let mut levels = vec![0; bytes];
    decoder.read_image(&mut levels)?;
    upright(size, channels, levels, orientation)
}

/// Whether a picture of this size is within limits.
fn check(size: Size) -> Result<(), Refusal> {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let side = size.width.max(size.height);
    match side <= MAX_SIDE_PIXELS && pixels <= MAX_PIXELS {
        true => Ok(()),
        false => Err(Refusal::Large),
    }
}

fn upright(
    size: Size,
    channels: usize,
    levels: Vec<u8>,
    orientation: Orientation,
) -> Result<Picture, Refusal> {
    let pixels = size.width as usize * size.height as usize;
    if pixels == 0 || levels.len() != pixels * channels {
        return Err(Refusal::Broken("it has no pixels".into()));
    }
    let picture = Picture {
        size,
        channels,
        levels,
    };
    Ok(picture.upright(orientation))
}

impl From<JpegError> for Refusal {
    fn from(error: JpegError) -> Self {
        match error {
            JpegError::LimitExceeded { .. } => Self::Large,
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<PngError> for Refusal {
    fn from(error: PngError) -> Self {
        match error {
            PngError::LimitsExceeded => Self::Large,
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<WebpError> for Refusal {
    fn from(error: WebpError) -> Self {
        Self::Broken(error.to_string())
    }
}
