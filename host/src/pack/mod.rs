//! An ONNX file becomes a component.
//!
//! 1. [`config`] reads `model.toml`.
//! 2. A worker ([`job`]) loads the model inside the sandbox and takes the memory that this leaves
//!    ([`loader`]).
//! 3. [`image`] makes a module of that memory; [`assemble`] puts it before the runtime's code.
//! 4. [`examples`] asks the finished component for the answers that it must know.
//!
//! This module never looks into the ONNX file: to the host, a model is bytes.

mod assemble;
pub mod config;
pub mod edge;
mod examples;
mod image;
pub mod job;
mod loader;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glovebox_protocol::Signature;

use crate::compile::{CompileError, Compiler};
use crate::limits::{Bytes, Limits};
use crate::model::metadata::Metadata;
use crate::model::package::PackageError;
use crate::model::runtime;
use crate::sandbox::Sandbox;
use crate::sandbox::engine::Metering;
use crate::worker::WorkerError;
use config::ModelConfig;

/// What packing uses.
pub struct Packer {
    /// Where models are loaded and examples run.
    pub sandbox: Arc<Sandbox>,
    /// Where the runtime's machine code comes from.
    pub compiler: Arc<Compiler>,
    /// What loading, and each example, may use.
    pub limits: Limits,
}

/// A packed model.
pub struct Packed {
    /// The component.
    pub bytes: Vec<u8>,
    /// What it is called with.
    pub signature: Signature,
    /// What its memory has before a request.
    pub image: Bytes,
    /// How many examples were answered right.
    pub examples: usize,
}

/// Why a model is not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The model is no ONNX, uses what the engine lacks, or does not load.
    #[error("{0}")]
    Refused(String),
    /// The engine panics over the model.
    #[error("the model breaks the loader: {0}")]
    Crashed(String),
    /// `[input]` or `[output]` do not fit the model.
    #[error("model.toml does not fit the model: {0}")]
    Pipeline(String),
    /// Loading needs more memory.
    #[error(
        "the model is too large: loading it needs more than the memory limit of {0}; raise --memory (at most 4095MiB)"
    )]
    Memory(Bytes),
    /// Loading takes longer.
    #[error("loading the model took more than the CPU limit of {0:?}; raise --cpu")]
    Cpu(Duration),
    /// An example's file.
    #[error("cannot read the example {path}: {source}")]
    ExampleFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A wrong answer.
    #[error("the example {path} fails: expected {expected}, got {got}; nothing was written")]
    Example {
        /// The example's input.
        path: PathBuf,
        /// What `model.toml` says.
        expected: String,
        /// What the model says.
        got: String,
    },
    /// The finished component cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The finished component cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The guest did not do as it should: our bug.
    #[error("the guest runtime failed: {0}; please report this")]
    Guest(String),
    /// The process that loads it did not get to its end.
    #[error("the model was not loaded: {0}")]
    Worker(WorkerError),
}

impl Packer {
    /// Packs a model and runs its examples.
    ///
    /// # Errors
    /// The model does not load within the limits, or answers an example wrong.
    pub async fn pack(&self, onnx: &[u8], config: &ModelConfig) -> Result<Packed, PackError> {
        // The worker finds it in the cache.
        self.compiler.runtime(Metering::Epochs)?;
        let worker = self.compiler.worker();
        let loaded = job::load(worker, onnx, config.pipeline(), &self.limits)?;
        let metadata = metadata(onnx, config, loaded.signature.clone());
        let bytes =
            assemble::component(&metadata, &image::module(&loaded.memory, loaded.heap_bytes));
        let image = Bytes(loaded.memory.len() as u64);
        let packed = Packed {
            bytes,
            signature: loaded.signature,
            image,
            examples: config.examples.len(),
        };
        examples::check(self, &packed, &config.examples).await?;
        Ok(packed)
    }
}

fn metadata(onnx: &[u8], config: &ModelConfig, signature: Signature) -> Metadata {
    Metadata {
        name: config.name.clone(),
        version: config.version.clone(),
        description: config.description.clone(),
        licence: config.licence.clone(),
        labels: config.labels(),
        signature,
        source_sha256: runtime::sha256(onnx),
        tool: concat!("glovebox ", env!("CARGO_PKG_VERSION")).into(),
        runtime_sha256: runtime::CODE_SHA256.clone(),
    }
}
