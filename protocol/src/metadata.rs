//! What a server and its models say about themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Signature, TensorSpec};

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

/// The answer to `GET /v2/health/live`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerLive {
    /// Whether the server is there.
    pub live: bool,
}

/// The answer to `GET /v2/health/ready`. Texts of the protocol disagree about its key, so it has
/// both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerReady {
    /// Whether the server is there.
    pub live: bool,
    /// Whether it takes requests.
    pub ready: bool,
}

/// The answer to `GET /v2/models`, which the protocol does not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// The names of all models.
    pub models: Vec<String>,
}

/// The answer to `GET /v2/models/{model}/ready`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelReady {
    /// The model's name.
    pub name: String,
    /// Whether it takes requests.
    pub ready: bool,
}

/// The answer to `GET /v2/models/{model}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name.
    pub name: String,
    /// The versions that can be asked for: the one that there is.
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

/// The version of a model that names none. Clients of the protocol ask for a version, and most for
/// this one.
pub const FIRST_VERSION: &str = "1";

/// What all packed models are made of.
pub const PLATFORM: &str = "onnx_onnxv1";

impl ModelMetadata {
    /// Describes a packed model. Its media, for which the protocol has no place, stands among the
    /// properties.
    pub fn describe(
        name: &str,
        version: &str,
        signature: &Signature,
        properties: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let media =
            (!signature.media.is_empty()).then(|| ("media".to_owned(), signature.media.join(", ")));
        Self {
            name: name.to_owned(),
            versions: vec![version.to_owned()],
            platform: PLATFORM.into(),
            inputs: signature.inputs.clone(),
            outputs: signature.outputs.clone(),
            properties: properties.into_iter().chain(media).collect(),
        }
    }
}
