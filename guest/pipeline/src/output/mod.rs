//! `[output]`: tensors to answers that a person can read.

mod activation;
mod classification;
mod detection;
mod embedding;
mod entities;
mod numbers;
mod regression;
mod segmentation;

use glovebox_protocol::{Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::CallError;
use crate::input::Origin;

/// How tensors become an answer.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Output {
    /// All outputs, as the protocol writes tensors.
    Tensors {},
    Classification(classification::Classification),
    Embedding(embedding::Embedding),
    Regression(regression::Regression),
    TokenClassification(entities::TokenClassification),
    Detection(detection::Detection),
    Segmentation(segmentation::Segmentation),
}

impl Default for Output {
    fn default() -> Self {
        Self::Tensors {}
    }
}

/// An answer, as a client gets it.
pub struct Answer {
    /// What `body` is.
    pub content_type: &'static str,
    /// The answer's bytes.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self {
            content_type: "application/json",
            body,
        }
    }

    fn png(body: Vec<u8>) -> Self {
        Self {
            content_type: "image/png",
            body,
        }
    }
}

impl Output {
    /// What `kind` can be.
    pub(crate) const KINDS: [&str; 7] = [
        "tensors",
        "classification",
        "embedding",
        "regression",
        "token_classification",
        "detection",
        "segmentation",
    ];

    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        match self {
            Self::Tensors {} => Ok(()),
            Self::Classification(classification) => classification.check(outputs),
            Self::Embedding(embedding) => embedding.check(outputs),
            Self::Regression(regression) => regression.check(outputs),
            Self::TokenClassification(entities) => entities.check(outputs),
            Self::Detection(detection) => detection.check(outputs),
            Self::Segmentation(segmentation) => segmentation.check(outputs),
        }
    }

    /// Takes the names of classes that the model has, where there are none.
    pub(crate) fn name_classes(&mut self, names: &[(String, Vec<String>)]) {
        if let Self::Classification(classification) = self {
            classification.name_classes(names);
        }
    }

    /// Whether an answer is about places on a picture.
    pub(crate) fn needs_picture(&self) -> bool {
        matches!(self, Self::Detection(_) | Self::Segmentation(_))
    }

    /// The outputs that an answer needs; none means all.
    pub(crate) fn wanted(&self) -> Vec<String> {
        match self {
            Self::Tensors {} => Vec::new(),
            Self::Classification(classification) => classification.wanted(),
            Self::Embedding(embedding) => embedding.wanted(),
            Self::Regression(regression) => regression.wanted(),
            Self::TokenClassification(entities) => entities.wanted(),
            Self::Detection(detection) => detection.wanted(),
            Self::Segmentation(segmentation) => segmentation.wanted(),
        }
    }

    /// Whether it is about the tokens of a text.
    pub(crate) fn is_about_tokens(&self) -> bool {
        matches!(self, Self::TokenClassification(_))
    }

    /// The answer to media of this origin; none where tensors are the answer.
    pub(crate) fn answer(
        &self,
        origin: &Origin,
        outputs: &[Tensor],
    ) -> Option<Result<Answer, CallError>> {
        let json = match (self, origin) {
            (Self::Tensors {}, _) => return None,
            (Self::Classification(classification), _) => classification.answer(origin, outputs),
            (Self::Embedding(embedding), _) => embedding.answer(origin, outputs),
            (Self::Regression(regression), _) => regression.answer(origin, outputs),
            (Self::TokenClassification(entities), _) => entities.answer(origin, outputs),
            (Self::Detection(detection), Origin::Picture(placement)) => {
                detection.answer(*placement, outputs)
            }
            (Self::Segmentation(segmentation), Origin::Picture(placement)) => {
                return Some(segmentation.answer(*placement, outputs).map(Answer::png));
            }
            (Self::Detection(_) | Self::Segmentation(_), _) => Err(CallError::Failed(
                "[output] is about pictures, and this is none".into(),
            )),
        };
        Some(json.map(Answer::json))
    }
}

/// The answers to all rows: a list, or the only one by itself.
fn json<T: Serialize>(origin: &Origin, answers: &[T]) -> Result<Vec<u8>, CallError> {
    if let Some(count) = origin.count()
        && count != answers.len()
    {
        return Err(CallError::Failed(format!(
            "the model gives {} answers, and {count} were asked for",
            answers.len()
        )));
    }
    let json = match answers {
        [answer] if !origin.is_list() => serde_json::to_vec(answer),
        answers => serde_json::to_vec(answers),
    };
    json.map_err(|error| CallError::Failed(error.to_string()))
}
