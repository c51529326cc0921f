//! Graphs that an operator trusts: ONNX files that a manifest names, run outside of the sandbox.
//!
//! This is the one place where the host itself reads ONNX. A [`Graph`] is ready to run, whatever runs
//! it; a [`Run`] goes operator by operator, so that who drives it can look at limits between two of
//! them. Who may run what, and how much a run may take, is not known here.

mod caught;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "native")]
mod plan;
#[cfg(feature = "native")]
mod tract;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use glovebox_protocol::{Signature, Tensor};

/// What runs graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// tract, which is part of this program.
    #[default]
    #[value(name = "native")]
    Tract,
    /// ONNX Runtime, a library of the system.
    #[value(name = "onnxruntime")]
    OnnxRuntime,
}

impl Engine {
    /// What it is called as a way to execute a model.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tract => "native",
            Self::OnnxRuntime => "onnxruntime",
        }
    }
}

/// A graph that is ready to run.
pub trait Graph: Send + Sync {
    /// What it takes and gives. Sizes of outputs may be open although they are not.
    fn signature(&self) -> &Signature;

    /// Begins a run on these inputs, which fit the signature.
    ///
    /// # Errors
    /// Sizes that the signature leaves open do not fit each other, or the graph.
    fn begin(&self, inputs: &[Tensor]) -> Result<Box<dyn Run>, RunError>;
}

/// One run of a graph. After an error it is good for nothing.
pub trait Run: Send {
    /// Whether all operators have run.
    fn is_done(&self) -> bool;

    /// What its tensors will take while the next operator runs, or while the outputs are copied out,
    /// in bytes, as far as their sizes are known before.
    fn next_bytes(&self) -> u64;

    /// Runs the next operator. One that can be interrupted is, at `deadline`.
    ///
    /// # Errors
    /// The operator fails.
    fn step(&mut self, deadline: Instant) -> Result<(), RunError>;

    /// What its tensors take now, in bytes.
    fn held_bytes(&self) -> u64;

    /// All outputs, in the order of the signature.
    ///
    /// # Errors
    /// The protocol has no such tensors.
    fn outputs(&mut self) -> Result<Vec<Tensor>, RunError>;
}

/// Why a graph was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be, for a reason that its author understands.
    #[error("{0}")]
    Refused(String),
    /// The engine broke.
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

/// Why a run failed. Texts may name what is in the graph.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its inputs do not fit.
    #[error("{0}")]
    Invalid(String),
    /// An operator failed.
    #[error("{0}")]
    Failed(String),
    /// The engine broke.
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

/// The graphs of one component, by the names that its manifest gives them, and what runs them.
#[derive(Default)]
pub struct Graphs {
    engine: Engine,
    by_name: BTreeMap<String, Arc<dyn Graph>>,
}

impl Graphs {
    /// These graphs, which are of this engine.
    pub fn new(engine: Engine, by_name: BTreeMap<String, Arc<dyn Graph>>) -> Self {
        Self { engine, by_name }
    }

    /// Whether the component has none: then it runs in the sandbox alone.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Where its model is computed, in a word.
    pub fn execution(&self) -> &'static str {
        match self.is_empty() {
            true => "sandbox",
            false => self.engine.name(),
        }
    }

    /// The graph of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Graph>> {
        self.by_name.get(name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Makes an engine ready for a process that can open nothing any more.
///
/// # Errors
/// This program was built without it, or its library is not there.
pub fn prepare(engine: Engine) -> Result<(), LoadError> {
    match engine {
        #[cfg(feature = "native")]
        Engine::Tract => Ok(()),
        #[cfg(feature = "onnxruntime")]
        Engine::OnnxRuntime => caught::caught(onnxruntime::prepare, LoadError::Panicked),
        #[cfg(not(all(feature = "native", feature = "onnxruntime")))]
        missing => Err(without(missing)),
    }
}

/// Reads an ONNX file and makes it ready for an engine. A file can make that take any time and any
/// memory, or end the process: try it in a worker first.
///
/// # Errors
/// What in the file is not ONNX, not supported or not consistent.
#[cfg_attr(
    not(any(feature = "native", feature = "onnxruntime")),
    expect(unused_variables, reason = "no engine reads the file")
)]
pub fn load(engine: Engine, file: &[u8]) -> Result<Arc<dyn Graph>, LoadError> {
    let load = || match engine {
        #[cfg(feature = "native")]
        Engine::Tract => tract::load(file).map_err(|error| LoadError::Refused(error.to_string())),
        #[cfg(feature = "onnxruntime")]
        Engine::OnnxRuntime => onnxruntime::load(file),
        #[cfg(not(all(feature = "native", feature = "onnxruntime")))]
        missing => Err(without(missing)),
    };
    caught::caught(load, LoadError::Panicked)
}

/// An engine that is a feature of the build, and was left out.
#[cfg(not(all(feature = "native", feature = "onnxruntime")))]
fn without(engine: Engine) -> LoadError {
    let name = engine.name();
    LoadError::Refused(format!(
        "this glovebox is built without the engine {name}; build it with `cargo build --release \
         --features {name}`"
    ))
}
