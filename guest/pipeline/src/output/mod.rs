//! `[output]`: tensors to answers that a person can read.

mod classification;

use glovebox_protocol::{Tensor, TensorSpec};
use serde::Deserialize;

use crate::error::CallError;
use crate::input::Origin;

/// How tensors become an answer.
#[derive(Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Output {
    /// All outputs, as the protocol writes tensors.
    #[default]
    Tensors,
    Classification(classification::Classification),
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
}

impl Output {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        match self {
            Self::Tensors => Ok(()),
            Self::Classification(classification) => classification.check(outputs),
        }
    }

    /// The outputs that an answer needs; none means all.
    pub(crate) fn wanted(&self) -> Vec<String> {
        match self {
            Self::Tensors => Vec::new(),
            Self::Classification(classification) => classification.wanted(),
        }
    }

    /// The answer to media of this origin; none where tensors are the answer.
    pub(crate) fn answer(
        &self,
        _origin: &Origin,
        outputs: &[Tensor],
    ) -> Option<Result<Answer, CallError>> {
        match self {
            Self::Tensors => None,
            Self::Classification(classification) => {
                Some(classification.answer(outputs).map(Answer::json))
            }
        }
    }
}
