//! What a server and its models say about themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TensorSpec;

/// The answer to `GET /v2`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// The server's name.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// The extensions of the protocol that it supports; required, so written even when empty.
    pub extensions: Vec<String>,
}

/// The answer to `GET /v2/models/{model}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name.
    pub name: String,
    /// The versions that can be asked for; empty for a model without versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// The framework and format, such as `onnx_onnxv1`.
    pub platform: String,
    /// The tensors it takes.
    pub inputs: Vec<TensorSpec>,
    /// The tensors it gives.
    pub outputs: Vec<TensorSpec>,
    /// What else is worth telling.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}
