//! Why a model cannot be loaded, and failures of the engine in a call.

use glovebox_protocol::CallError;
use serde::Serialize;
use tract_onnx::prelude::TractError;

/// Why a model cannot be loaded. The packer shows the message to the model's owner.
#[derive(Debug, Serialize, thiserror::Error)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
pub enum LoadError {
    /// The file is none of ONNX.
    #[error("{0}")]
    NotOnnx(String),
    /// Operators that are not supported, with their nodes.
    #[error("{0}")]
    UnsupportedOperator(String),
    /// Weights are in other files.
    #[error("{0}")]
    ExternalData(String),
    /// What `model.toml` says does not fit the model.
    #[error("{0}")]
    Config(String),
    /// The model is not consistent, or the engine cannot prepare it.
    #[error("{0}")]
    Model(String),
}

impl From<TractError> for LoadError {
    fn from(error: TractError) -> Self {
        Self::Model(format!("{error:#}"))
    }
}

/// The model failed on an input that fits its signature.
pub(crate) fn failed(error: &TractError) -> CallError {
    CallError::Failed(format!("{error:#}"))
}
