//! An ONNX file becomes a component.
//!
//! 1. [`config`] reads `model.toml`.
//! 2. A worker ([`job`]) loads the model inside the sandbox and takes the memory that this leaves
//!    ([`loader`]). What `model.toml` leaves out, [`assume`] finds in the signature that it shows.
//! 3. [`image`] makes a module of that memory; [`assemble`] puts it before the code of the [`guest`].
//! 4. [`examples`] asks the finished component for the answers that it must know.
//!
//! A model whose graph the host is to run is packed twice: with the runtime first, which says what
//! the graph is called with and answers the examples, for the function is the same; and then with the
//! guest for such graphs, which loads that signature as another one loads a model.
//!
//! This module never looks into the ONNX file: to the host, a model is bytes.

pub mod answer;
mod assemble;
pub mod assume;
pub mod config;
pub mod draft;
pub mod edge;
mod examples;
pub mod guest;
mod image;
pub mod job;
mod loader;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glovebox_protocol::{Signature, TensorSpec};
use serde_json::Value;

use crate::compile::{CompileError, Compiler};
use crate::limits::{Bytes, Limits};
use crate::model::metadata::{Graph, Measured, Metadata};
use crate::model::package::PackageError;
use crate::model::runtime;
use crate::sandbox::Sandbox;
use crate::worker::WorkerError;
use assume::Assumption;
use config::ModelConfig;
use examples::Rehearsed;
use guest::{Guest, Origin};
use loader::Loaded;

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
    /// What its memory has before a request, without the stack.
    pub image: Bytes,
    /// How many examples were answered right.
    pub examples: usize,
    /// What `model.toml` leaves out, and was taken for granted.
    pub assumed: Vec<Assumption>,
    /// Outputs of the graph that the component does not give: `wasi:nn` has no such tensors.
    pub left_out: Vec<TensorSpec>,
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
    /// A guest of others does not work with this model, and says why.
    #[error("the guest does not take this model: {0}")]
    Unfit(String),
    /// A guest of others panics.
    #[error("the guest panics while it loads the model: {0}")]
    Panicked(String),
    /// A guest of others did not do as it should.
    #[error(
        "the guest failed: {0}; build it with the version of glovebox-guest that belongs to this glovebox"
    )]
    Broken(String),
    /// The process that loads it did not get to its end.
    #[error("the model was not loaded: {0}")]
    Worker(WorkerError),
}

impl Packer {
    /// Packs a model with the code around it and runs its examples.
    ///
    /// # Errors
    /// The model does not load within the limits, or answers an example wrong.
    pub async fn pack(
        &self,
        onnx: &[u8],
        config: &ModelConfig,
        guest: &Guest,
    ) -> Result<Packed, PackError> {
        let engine = match guest.origin {
            Origin::Native => &Guest::standard(),
            Origin::Runtime | Origin::Others => guest,
        };
        let loaded = self.load(onnx, config, engine);
        let (loaded, assumed) = loaded.map_err(|error| error.located(config))?;
        let config = &config.with_class_names(&loaded.class_names, &assumed);
        let parts = Parts::new(onnx, config, engine, loaded);
        let packed = parts.put_together(config, engine, assumed);
        let rehearsed = examples::check(self, &packed, &config.examples).await?;
        if guest.origin != Origin::Native {
            let parts = parts.with(rehearsed);
            return Ok(parts.put_together(config, engine, packed.assumed));
        }
        // As `assemble` writes it: names, numbers and lists.
        let signature = serde_json::to_vec(&packed.signature).unwrap_or_default();
        let loaded = self.load_with(&signature, guest, config.pipeline(&packed.assumed))?;
        let parts = Parts::new(onnx, config, guest, loaded);
        let mut native = parts.put_together(config, guest, packed.assumed);
        let mut left_out = packed.signature.outputs;
        left_out.retain(|output| !native.signature.outputs.contains(output));
        native.left_out = left_out;
        Ok(native)
    }

    /// The tensors of a model, of whose configuration nothing but a tokenizer may be known.
    ///
    /// # Errors
    /// The model does not load within the limits.
    pub fn signature(&self, onnx: &[u8], config: &ModelConfig) -> Result<Signature, PackError> {
        let load = |pipeline| self.load_with(onnx, &Guest::standard(), pipeline);
        let (sketch, written) = (config.sketch(), config.pipeline(&[]));
        let is_all = sketch == written;
        let loaded = match load(sketch) {
            Err(_) if !is_all => load(written),
            loaded => loaded,
        };
        Ok(loaded?.signature)
    }

    /// Loads the model with what is written, and with what follows from its signature if it loads with
    /// that, too.
    fn load(
        &self,
        onnx: &[u8],
        config: &ModelConfig,
        guest: &Guest,
    ) -> Result<(Loaded, Vec<Assumption>), PackError> {
        let load = |pipeline| self.load_with(onnx, guest, pipeline);
        let written = config.pipeline(&[]);
        if guest.origin == Origin::Others || assume::is_complete(config) {
            return Ok((load(written)?, Vec::new()));
        }
        let sketch = config.sketch();
        let is_all = sketch == written;
        let sketched = load(sketch);
        let assumed = match &sketched {
            Ok(loaded) => assume::certain(&loaded.signature, config),
            Err(_) => Vec::new(),
        };
        let attempt = (!assumed.is_empty()).then(|| load(config.pipeline(&assumed)));
        let as_written = || if is_all { sketched } else { load(written) };
        match attempt {
            None => Ok((as_written()?, Vec::new())),
            Some(Ok(loaded)) => Ok((loaded, assumed)),
            Some(Err(unfit)) => match as_written() {
                Ok(loaded) => {
                    tracing::warn!(reason = %unfit, "the model does not load with what was assumed");
                    Ok((loaded, Vec::new()))
                }
                Err(_) => Err(unfit),
            },
        }
    }

    fn load_with(
        &self,
        source: &[u8],
        guest: &Guest,
        pipeline: Value,
    ) -> Result<Loaded, PackError> {
        // The worker finds it in the cache.
        match guest.origin {
            Origin::Runtime => self.compiler.embedded()?,
            Origin::Native | Origin::Others => self.compiler.guest(&guest.code)?,
        };
        let loaded = job::load(&self.compiler, guest, source, pipeline, &self.limits);
        loaded.map_err(|error| match guest.origin {
            Origin::Runtime | Origin::Native => error,
            Origin::Others => error.of_others(),
        })
    }
}

impl PackError {
    /// The same with the place in `model.toml`, where it is known.
    fn located(self, config: &ModelConfig) -> Self {
        match self {
            Self::Pipeline(reason) => match config.place(&reason) {
                Some(place) => Self::Pipeline(format!("{reason} ({place})")),
                None => Self::Pipeline(reason),
            },
            error => error,
        }
    }

    /// The same in words for the guest's author.
    fn of_others(self) -> Self {
        match self {
            Self::Pipeline(reason) => Self::Unfit(reason),
            Self::Crashed(reason) => Self::Panicked(reason),
            Self::Guest(reason) => Self::Broken(reason),
            error => error,
        }
    }
}

/// A loaded model on its way into a component.
struct Parts {
    metadata: Metadata,
    /// The module that holds it.
    image: Vec<u8>,
    /// What its memory has before a request: all, and that without the stack.
    memory: u64,
    model: Bytes,
    /// What a request of zeros takes behind it; nothing if the model cannot run on zeros.
    heap: u64,
}

impl Parts {
    fn new(onnx: &[u8], config: &ModelConfig, guest: &Guest, loaded: Loaded) -> Self {
        let memory = loaded.memory.len();
        Self {
            image: image::module(&loaded.memory, loaded.heap_bytes),
            memory: memory as u64,
            model: Bytes(memory.saturating_sub(loaded.stack_bytes) as u64),
            heap: loaded.heap_bytes,
            metadata: metadata(onnx, config, guest, loaded.signature),
        }
    }

    /// The same with what its examples have shown.
    fn with(mut self, rehearsed: Rehearsed) -> Self {
        let heap = self.heap;
        let zeros = (heap > 0).then(|| image::memory(self.memory, heap));
        let peak = rehearsed.memory.max(zeros);
        self.metadata.memory = peak.map(|peak| Measured {
            peak_bytes: peak.0,
            request_bytes: peak.0.saturating_sub(self.memory).max(heap),
        });
        self.metadata.example = rehearsed.example;
        self
    }

    fn put_together(
        &self,
        config: &ModelConfig,
        guest: &Guest,
        assumed: Vec<Assumption>,
    ) -> Packed {
        Packed {
            bytes: assemble::component(&self.metadata, &self.image, guest),
            image: self.model,
            signature: self.metadata.signature.clone(),
            examples: config.examples.len(),
            assumed,
            left_out: Vec::new(),
        }
    }
}

fn metadata(onnx: &[u8], config: &ModelConfig, guest: &Guest, signature: Signature) -> Metadata {
    let source_sha256 = runtime::sha256(onnx);
    let graph = (guest.origin == Origin::Native).then(|| Graph {
        name: config.name.clone(),
        sha256: source_sha256.clone(),
    });
    Metadata {
        name: config.name.clone(),
        version: config.version.clone(),
        description: config.description.clone(),
        licence: config.licence.clone(),
        labels: config.labels(),
        signature,
        graph,
        memory: None,
        example: None,
        source_sha256,
        tool: concat!("glovebox ", env!("CARGO_PKG_VERSION")).into(),
        runtime_sha256: match guest.origin {
            Origin::Runtime => runtime::CODE_SHA256.clone(),
            Origin::Native | Origin::Others => runtime::sha256(&guest.code),
        },
    }
}
