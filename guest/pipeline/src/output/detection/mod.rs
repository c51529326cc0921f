//! Boxes with labels: the model's candidates above a score, of which those that show the same object
//! give way to the best.

mod bounds;
mod candidates;

use glovebox_protocol::{Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use self::bounds::{Coordinates, Format, Rectangle};
use self::candidates::{Candidate, Reading, Row, Source};
use super::activation::Activation;
use crate::CallError;
use crate::input::Placement;

/// At most so many candidates are looked at, the best first; the number of Ultralytics. Each is
/// compared with no more boxes than an answer may have, which bounds the work.
const MAX_CANDIDATES: usize = 30_000;
/// An answer has at most so many boxes.
const MAX_DETECTIONS: usize = 1_000;

/// `[output] kind = "detection"`.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Detection {
    source: Source,
    reading: Reading,
    /// Of two boxes of one class that have more than this in common, the better one stays.
    iou: f32,
    /// How many boxes an answer has at most.
    max: usize,
    /// What each class is called; its number if there are none.
    labels: Vec<String>,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    tensor: Option<String>,
    row: Option<Row>,
    transposed: Option<bool>,
    boxes: Option<String>,
    scores: Option<String>,
    classes: Option<String>,
    format: Format,
    #[serde(default)]
    coordinates: Coordinates,
    #[serde(default)]
    activation: Activation,
    background: Option<usize>,
    #[serde(default = "default_threshold")]
    threshold: f32,
    #[serde(default = "default_iou")]
    iou: f32,
    #[serde(default = "default_max")]
    max: usize,
    #[serde(default)]
    labels: Vec<String>,
}

fn default_threshold() -> f32 {
    0.25
}

fn default_iou() -> f32 {
    0.45
}

fn default_max() -> usize {
    100
}

impl TryFrom<Written> for Detection {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !(1..=MAX_DETECTIONS).contains(&written.max) {
            return Err(format!("[output] max must be from 1 to {MAX_DETECTIONS}"));
        }
        Ok(Self {
            reading: Reading {
                format: written.format,
                coordinates: written.coordinates,
                activation: written.activation,
                background: written.background,
                threshold: written.threshold,
            },
            iou: written.iou,
            max: written.max,
            source: source(
                (written.tensor, written.row, written.transposed),
                (written.boxes, written.scores, written.classes),
            )?,
            labels: written.labels,
        })
    }
}

/// One tensor, or several.
fn source(
    one: (Option<String>, Option<Row>, Option<bool>),
    several: (Option<String>, Option<String>, Option<String>),
) -> Result<Source, String> {
    match (one, several) {
        ((Some(tensor), row, transposed), (None, None, None)) => Ok(Source::Rows {
            tensor,
            row: row.unwrap_or_default(),
            transposed: transposed.unwrap_or(false),
        }),
        ((None, None, None), (Some(boxes), Some(scores), classes)) => Ok(Source::Tensors {
            boxes,
            scores,
            classes,
        }),
        _ => Err(
            "[output] needs either tensor (with row and transposed), or boxes and scores (with classes)"
                .into(),
        ),
    }
}

/// The answer to one picture: its size, and what is on it, the best first.
#[derive(Serialize)]
struct Detections {
    width: u32,
    height: u32,
    detections: Vec<Detected>,
}

#[derive(Serialize)]
struct Detected {
    label: String,
    score: f32,
    #[serde(rename = "box")]
    rectangle: Rectangle,
}

impl Detection {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        self.source.check(outputs, self.labels.len())
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        let tensors = self.source.tensors();
        tensors.into_iter().map(str::to_owned).collect()
    }

    /// What is on a picture that lies so on the model's input.
    pub(crate) fn answer(
        &self,
        placement: Placement,
        outputs: &[Tensor],
    ) -> Result<Vec<u8>, CallError> {
        let candidates = self.source.read(&self.reading, outputs, placement.input)?;
        let kept = suppress(candidates, self.iou, self.max);
        let detected = |candidate: Candidate| {
            Some(Detected {
                label: self.name(candidate.class),
                score: candidate.score,
                rectangle: candidate.bounds.on_picture(placement)?,
            })
        };
        let answer = Detections {
            width: placement.picture.width,
            height: placement.picture.height,
            detections: kept.into_iter().filter_map(detected).collect(),
        };
        serde_json::to_vec(&answer).map_err(|error| CallError::Failed(error.to_string()))
    }

    fn name(&self, class: usize) -> String {
        let label = self.labels.get(class);
        label.cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Non-maximum suppression, class by class, as torchvision's `batched_nms`: from the best candidate to
/// the worst, each stays that has no more than `iou` in common with any that stayed. Of equal scores,
/// the first in the tensor is the better one.
fn suppress(mut candidates: Vec<Candidate>, iou: f32, max: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == max {
            break;
        }
        let is_same = |other: &Candidate| {
            other.class == candidate.class && other.bounds.overlap(&candidate.bounds) > iou
        };
        if !kept.iter().any(is_same) {
            kept.push(candidate);
        }
    }
    kept
}
