//! A class for each pixel, as a picture.

use std::ops::RangeInclusive;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use png::{BitDepth, ColorType, Compression, EncodingError};
use serde::Deserialize;

use super::activation::Activation;
use super::numbers;
use crate::CallError;
use crate::input::{Placement, Size};

/// A level of the answer is one byte.
const CLASSES: usize = 256;

/// `[output] kind = "segmentation"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Segmentation {
    /// The output that holds, for each pixel, a score for each class, one score, or a class.
    tensor: String,
    /// What makes a score of a model with one class.
    #[serde(default)]
    activation: Activation,
    /// Above which score a pixel is of that class.
    #[serde(default = "default_threshold")]
    threshold: f32,
    /// What each class is called, from 0.
    #[serde(default)]
    labels: Vec<String>,
}

fn default_threshold() -> f32 {
    0.5
}

/// The class of each pixel of the model's output.
struct Mask {
    size: Size,
    classes: Vec<u8>,
}

impl Segmentation {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let spec = numbers::spec(outputs, &self.tensor)?;
        let shape = spec.shape.as_slice();
        let channels = match *shape {
            [_, channels, _, _] => channels,
            [_, _, _] | [_, _] => 1,
            _ => -2,
        };
        let allowed: RangeInclusive<i64> = -1..=CLASSES as i64;
        if !numbers::is_read(spec.datatype) || !allowed.contains(&channels) || channels == 0 {
            return Err(format!(
                "[output] tensor {:?} is {} {shape:?}; a mask is FP32 [1, classes, height, width] \
                 with at most {CLASSES} classes, or [1, height, width] of scores or of class numbers",
                self.tensor, spec.datatype
            ));
        }
        let labels = self.labels.len() as i64;
        match labels > 0 && channels > 1 && channels != labels {
            true => Err(format!(
                "[output] has {labels} labels for the {channels} classes of {:?}",
                self.tensor
            )),
            false => Ok(()),
        }
    }

    /// The output that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// A PNG as large as the picture, whose levels are classes: of each pixel, the class at its place
    /// on the model's output. What was cut off is class 0.
    pub(crate) fn answer(
        &self,
        placement: Placement,
        outputs: &[Tensor],
    ) -> Result<Vec<u8>, CallError> {
        let mask = self.mask(numbers::tensor(outputs, &self.tensor)?)?;
        let png = write(&mask, placement);
        png.map_err(|error| CallError::Failed(error.to_string()))
    }

    fn mask(&self, tensor: &Tensor) -> Result<Mask, CallError> {
        let failed = |why: String| CallError::Failed(format!("output {:?} {why}", self.tensor));
        let (channels, height, width) = match *tensor.shape.as_slice() {
            [1, channels, height, width] => (channels as usize, height, width),
            [1, height, width] | [height, width] => (1, height, width),
            _ => return Err(failed(format!("has shape {:?}", tensor.shape))),
        };
        let numbers = numbers::floats(tensor)?;
        let classes = match (channels, tensor.datatype) {
            (1, Datatype::Fp32) => Some(self.above(numbers)),
            (1, _) => numbers.iter().map(|number| class(*number)).collect(),
            (2..=CLASSES, _) => Some(best(&numbers, channels)),
            _ => None,
        };
        let size = Size {
            width: width as u32,
            height: height as u32,
        };
        match classes {
            Some(classes) if !classes.is_empty() => Ok(Mask { size, classes }),
            Some(_) => Err(failed("is empty".into())),
            None => Err(failed(format!(
                "has classes that are not from 0 to {}",
                CLASSES - 1
            ))),
        }
    }

    /// 1 where the score is above the threshold.
    fn above(&self, mut scores: Vec<f32>) -> Vec<u8> {
        if self.activation == Activation::Sigmoid {
            self.activation.apply(&mut scores);
        }
        let scores = scores.iter();
        scores
            .map(|score| u8::from(*score > self.threshold))
            .collect()
    }
}

fn class(number: f32) -> Option<u8> {
    (0.0..CLASSES as f32)
        .contains(&number)
        .then_some(number as u8)
}

/// Of each pixel, the class with the highest score, the first of equals. What is no number is never
/// higher.
fn best(scores: &[f32], channels: usize) -> Vec<u8> {
    let pixels = scores.len() / channels;
    let mut best = vec![(f32::NEG_INFINITY, 0); pixels];
    for (class, scores) in scores.chunks_exact(pixels.max(1)).enumerate() {
        for (best, score) in best.iter_mut().zip(scores) {
            if *score > best.0 {
                *best = (*score, class as u8);
            }
        }
    }
    best.into_iter().map(|(_, class)| class).collect()
}

fn write(mask: &Mask, placement: Placement) -> Result<Vec<u8>, EncodingError> {
    let Size { width, height } = placement.picture;
    let mut answer = Vec::new();
    let mut encoder = png::Encoder::new(&mut answer, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette());
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&spread(mask, placement))?;
    writer.finish()?;
    Ok(answer)
}

/// The class of each pixel of the picture.
fn spread(mask: &Mask, placement: Placement) -> Vec<u8> {
    let index = |fraction: f64, length: u32| {
        (0.0..1.0)
            .contains(&fraction)
            .then_some((fraction * f64::from(length)) as usize)
    };
    let columns = placement.columns().map(|at| index(at, mask.size.width));
    let columns: Vec<_> = columns.collect();
    let class = |row: &[u8], column: &Option<usize>| column.and_then(|at| row.get(at).copied());
    let mut classes = Vec::with_capacity(columns.len() * placement.picture.height as usize);
    for at in placement.rows() {
        let row = index(at, mask.size.height);
        let mut rows = mask.classes.chunks_exact(mask.size.width as usize);
        let row = row.and_then(|row| rows.nth(row)).unwrap_or_default();
        classes.extend(columns.iter().map(|column| class(row, column).unwrap_or(0)));
    }
    classes
}

/// The colours of the PASCAL VOC data set, which other tools know: the bits of a class are spread over
/// the upper bits of red, green and blue.
fn palette() -> Vec<u8> {
    let channel = |class: usize, channel: usize| {
        let bit = |place: usize| (class >> (3 * place + channel) & 1) << (7 - place);
        (0..3).map(bit).sum::<usize>() as u8
    };
    let colour = |class| [channel(class, 0), channel(class, 1), channel(class, 2)];
    (0..CLASSES).flat_map(colour).collect()
}
