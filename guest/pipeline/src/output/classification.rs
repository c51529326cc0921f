//! Tensors to answers that a person can read.

use glovebox_protocol::{Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::json;
use super::numbers::{Numbers, declared, unfit};
use crate::CallError;
use crate::input::Origin;

/// `[output] kind = "classification"`: the best labels of one output with their scores.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Classification {
    /// The output that holds one score a label, in its last dimension.
    tensor: String,
    #[serde(default)]
    activation: Activation,
    /// What each score is called; as the model calls it if there are none, else the index.
    #[serde(default)]
    labels: Vec<String>,
    /// How many labels the answer names.
    #[serde(default = "default_top")]
    top: usize,
}

/// The answer to one picture, record or text.
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
        let spec = declared(outputs, &self.tensor)?;
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

    /// Takes the names of classes that the model has, if there are none.
    pub(crate) fn name_classes(&mut self, names: &[(String, Vec<String>)]) {
        let named = names.iter().find(|(output, _)| *output == self.tensor);
        if let Some((_, labels)) = named.filter(|_| self.labels.is_empty()) {
            self.labels.clone_from(labels);
        }
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// The class of each row.
    pub(crate) fn answer(&self, origin: &Origin, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
        let numbers = Numbers::of(outputs, &self.tensor)?;
        let width = numbers.shape.last().copied().unwrap_or(1).max(1);
        let names: Vec<String> = (0..width).map(|index| self.name(index)).collect();
        let rows = numbers.values.chunks_exact(width);
        let classes = rows.map(|row| self.class(row, &names));
        let classes = classes.collect::<Option<Vec<_>>>();
        json(
            origin,
            &classes.ok_or_else(|| unfit(&self.tensor, "has no scores"))?,
        )
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
