//! Tensors to answers that a person can read.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use super::activation::Activation;
use crate::error::CallError;

/// `[output] kind = "classification"`: the best labels of one output with their scores.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Classification {
    /// The output that holds one score a label, in its last dimension.
    tensor: String,
    #[serde(default)]
    activation: Activation,
    /// What each score is called; the index if there are none.
    #[serde(default)]
    labels: Vec<String>,
    /// How many labels the answer names.
    #[serde(default = "default_top")]
    top: usize,
}

/// The answer to one picture or record.
#[derive(Serialize)]
struct Class<'a> {
    label: &'a str,
    score: f32,
    top: Vec<Scored<'a>>,
}

#[derive(Clone, Serialize)]
struct Scored<'a> {
    label: &'a str,
    score: f32,
}

fn default_top() -> usize {
    5
}

impl Classification {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let Some(spec) = outputs.iter().find(|spec| spec.name == self.tensor) else {
            let names: Vec<_> = outputs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(format!(
                "[output] tensor {:?} does not exist; the outputs are {}",
                self.tensor,
                names.join(", ")
            ));
        };
        if spec.datatype != Datatype::Fp32 {
            return Err(format!(
                "[output] tensor {:?} is {}, scores must be FP32",
                self.tensor, spec.datatype
            ));
        }
        let scores = spec.shape.last().copied().unwrap_or(1);
        if self.labels.is_empty() || scores == -1 || scores == self.labels.len() as i64 {
            return Ok(());
        }
        Err(format!(
            "[output] has {} labels for the {scores} scores of {:?}",
            self.labels.len(),
            self.tensor
        ))
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// One class a row: an object for one row, an array for several.
    pub(crate) fn answer(&self, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
        let failed = |why: &str| CallError::Failed(format!("output {:?} {why}", self.tensor));
        let tensor = outputs
            .iter()
            .find(|tensor| tensor.name == self.tensor)
            .ok_or_else(|| failed("is missing"))?;
        let width = tensor.shape.last().copied().unwrap_or(1).max(1) as usize;
        let scores: Vec<f32> = tensor
            .data
            .chunks_exact(4)
            .filter_map(|c| c.try_into().ok())
            .map(f32::from_le_bytes)
            .collect();
        let names: Vec<String> = (0..width).map(|index| self.name(index)).collect();
        let rows = scores
            .chunks_exact(width)
            .map(|row| self.class(row, &names));
        let classes = rows
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| failed("has no scores"))?;
        let json = match classes.as_slice() {
            [class] => serde_json::to_vec(class),
            classes => serde_json::to_vec(classes),
        };
        json.map_err(|error| CallError::Failed(error.to_string()))
    }

    fn class<'a>(&self, row: &[f32], names: &'a [String]) -> Option<Class<'a>> {
        let mut scores = row.to_vec();
        self.activation.apply(&mut scores);
        let mut top: Vec<_> = names
            .iter()
            .zip(scores)
            .map(|(label, score)| Scored {
                label: label.as_str(),
                score,
            })
            .collect();
        // Stable, so that equal scores keep the order of the labels; NaN sorts last.
        top.sort_by(|a, b| key(b.score).total_cmp(&key(a.score)));
        top.truncate(self.top.max(1));
        let best = top.first()?.clone();
        Some(Class {
            label: best.label,
            score: best.score,
            top,
        })
    }

    fn name(&self, index: usize) -> String {
        self.labels
            .get(index)
            .cloned()
            .unwrap_or_else(|| index.to_string())
    }
}

fn key(score: f32) -> f32 {
    if score.is_nan() {
        f32::NEG_INFINITY
    } else {
        score
    }
}
