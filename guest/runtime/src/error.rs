//! Why a model cannot be loaded, or a call gives no answer.

use serde::Serialize;
use tract_onnx::prelude::TractError;

/// Why a model cannot be loaded. The packer shows the message to the model's owner.
#[derive(Debug, Serialize, thiserror::Error)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
pub(crate) enum LoadError {
    #[error("{0}")]
    NotOnnx(String),
    #[error("{0}")]
    UnsupportedOperator(String),
    #[error("{0}")]
    ExternalData(String),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Model(String),
}

impl From<TractError> for LoadError {
    fn from(error: TractError) -> Self {
        Self::Model(format!("{error:#}"))
    }
}

/// Why a call gives no answer: the cases of `error` in the WIT interface `types`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    InvalidInput(String),
    #[error("{0}")]
    UnsupportedMedia(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// The model failed on an input that fits its signature.
    pub(crate) fn failed(error: &TractError) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<glovebox_protocol::Error> for CallError {
    fn from(error: glovebox_protocol::Error) -> Self {
        Self::InvalidInput(error.to_string())
    }
}
