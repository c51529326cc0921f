//! What the packer writes about a model into its file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use glovebox_protocol::{FIRST_VERSION, Signature};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits;

/// The name of the custom section that holds the metadata, a JSON text.
pub const SECTION: &str = "glovebox:model";

/// A model's own description. Written by the packer, but anybody can write a file: host decisions
/// rest on the component itself, this is for people and tools.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Metadata {
    /// What the model is called.
    pub name: String,
    /// Which of its versions this is; files from before there was always one have none.
    #[serde(default = "first_version")]
    pub version: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Under which licence it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What its scores are called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What it is called with.
    pub signature: Signature,
    /// The graph that it asks its host for; none if it brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<Graph>,
    /// What it took of memory when it was packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Measured>,
    /// A request that it answers, if `model.toml` has a small one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
    /// SHA-256 of the ONNX file, in hexadecimal.
    pub source_sha256: String,
    /// What packed it.
    pub tool: String,
    /// SHA-256 of the runtime's code inside, in hexadecimal.
    pub runtime_sha256: String,
}

fn first_version() -> String {
    FIRST_VERSION.into()
}

/// A graph that the host runs, from a file that the operator gives to the component.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Graph {
    /// The name by which the component asks for it.
    pub name: String,
    /// SHA-256 of its ONNX file, in hexadecimal.
    pub sha256: String,
}

/// The memory of an instance that answered the examples of its model, or zeros if it has none.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Measured {
    /// The most that it had.
    pub peak_bytes: u64,
    /// The part of that behind the model.
    pub request_bytes: u64,
}

/// The body of a request to `predict`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Example {
    /// What it is.
    pub content_type: String,
    /// Its bytes.
    #[serde(flatten)]
    pub body: Body,
}

/// Bytes in JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// One line of text.
    Text(String),
    /// All else.
    Base64(String),
}

impl Example {
    /// An example, if it is small. White space around and in JSON does not belong to it.
    pub fn new(content_type: &str, body: &[u8]) -> Option<Self> {
        if body.len() > limits::PACKED_EXAMPLE_BYTES {
            return None;
        }
        let json = || Some(serde_json::from_slice::<Value>(body).ok()?.to_string());
        let text = || {
            let text = std::str::from_utf8(body).ok()?.trim_end();
            (!text.contains(char::is_control)).then(|| text.to_owned())
        };
        let text = match content_type {
            "application/json" => json(),
            _ => text(),
        };
        Some(Self {
            content_type: content_type.to_owned(),
            body: match text {
                Some(text) => Body::Text(text),
                None => Body::Base64(STANDARD.encode(body)),
            },
        })
    }

    /// The bytes that are sent.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match &self.body {
            Body::Text(text) => Some(text.clone().into_bytes()),
            Body::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}
