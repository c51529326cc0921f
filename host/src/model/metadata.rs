//! What the packer writes about a model into its file.

use glovebox_protocol::{FIRST_VERSION, Signature};
use serde::{Deserialize, Serialize};

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
