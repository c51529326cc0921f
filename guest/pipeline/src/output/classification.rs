//! Tensors to answers that a person can read.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::json;
use super::numbers::{self, Numbers, unfit};
use crate::CallError;
use crate::input::Origin;

/// How many labels an answer names.
const TOP: usize = 5;

/// `[output] kind = "classification"`: the best labels of one output with their scores, or the label
/// that the model has chosen itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Classification {
    /// The output that holds one score a label, in its last dimension; or one label a row.
    tensor: String,
    activation: Option<Activation>,
    /// What each score is called; as the model calls it if there are none, else the index. Of labels
    /// that are numbers, what each number is called.
    #[serde(default)]
    labels: Vec<String>,
    /// How many labels the answer names.
    top: Option<usize>,
}

/// What an output holds.
enum Kind {
    /// A score for each label.
    Scores,
    /// A label for each row: a number or a text.
    Labels,
}

/// The answer where there is a label and no score.
#[derive(Serialize)]
struct Label {
    label: String,
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

impl Kind {
    fn of(datatype: Datatype) -> Option<Self> {
        match datatype {
            Datatype::Fp32 | Datatype::Fp64 => Some(Self::Scores),
            Datatype::Int64 | Datatype::Int32 | Datatype::Bytes => Some(Self::Labels),
            _ => None,
        }
    }
}

impl Classification {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let spec = numbers::spec(outputs, &self.tensor)?;
        match Kind::of(spec.datatype) {
            Some(Kind::Scores) => self.check_scores(spec),
            Some(Kind::Labels) => self.check_labels(spec),
            None => Err(format!(
                "[output] tensor {:?} is {}; scores are FP32 or FP64, and labels INT64, INT32 or BYTES",
                self.tensor, spec.datatype
            )),
        }
    }

    fn check_scores(&self, spec: &TensorSpec) -> Result<(), String> {
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

    fn check_labels(&self, spec: &TensorSpec) -> Result<(), String> {
        let TensorSpec {
            name,
            datatype,
            shape,
        } = spec;
        if !matches!(shape.as_slice(), [_] | [_, 1]) {
            return Err(format!(
                "[output] tensor {name:?} has shape {shape:?}; labels have [rows] or [rows, 1]"
            ));
        }
        if self.activation.is_some() || self.top.is_some() {
            return Err(format!(
                "[output] activation and top are for scores, and {name:?} is {datatype}: labels"
            ));
        }
        match datatype {
            Datatype::Bytes if !self.labels.is_empty() => Err(format!(
                "[output] labels are for numbers, and {name:?} has texts"
            )),
            _ => Ok(()),
        }
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
        let tensor = numbers::tensor(outputs, &self.tensor)?;
        match Kind::of(tensor.datatype) {
            Some(Kind::Labels) => json(origin, &self.labelled(tensor)?),
            _ => self.scored(origin, outputs),
        }
    }

    /// The label of each row, as the model has chosen it.
    fn labelled(&self, tensor: &Tensor) -> Result<Vec<Label>, CallError> {
        let labels: Vec<String> = match tensor.datatype {
            Datatype::Bytes => {
                let texts = tensor.bytes_elements();
                texts
                    .map(|text| String::from_utf8_lossy(text).into_owned())
                    .collect()
            }
            _ => {
                let numbers = numbers::whole(tensor)?.into_iter();
                numbers.map(|number| self.numbered(number)).collect()
            }
        };
        Ok(labels.into_iter().map(|label| Label { label }).collect())
    }

    /// What a number of a class is called.
    fn numbered(&self, number: i64) -> String {
        let label = usize::try_from(number).ok();
        let label = label.and_then(|number| self.labels.get(number));
        label.cloned().unwrap_or_else(|| number.to_string())
    }

    /// The best labels of each row, by their scores.
    fn scored(&self, origin: &Origin, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
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
        self.activation.unwrap_or_default().apply(&mut scores);
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
        top.truncate(self.top.unwrap_or(TOP).max(1));
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
