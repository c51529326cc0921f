//! Graphs that an operator trusts: ONNX files that a manifest names, run outside of the sandbox.
//!
//! This is the one place where the host itself reads ONNX. A [`Graph`] is ready to run, whatever runs
//! it; a [`Run`] goes operator by operator, so that who drives it can look at limits between two of
//! them. Who may run what, and how much a run may take, is not known here.

mod caught;
mod plan;
mod tract;

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_protocol::{Signature, Tensor};

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

    /// Runs the next operator.
    ///
    /// # Errors
    /// The operator fails.
    fn step(&mut self) -> Result<(), RunError>;

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

/// The graphs of one component, by the names that its manifest gives them.
#[derive(Default)]
pub struct Graphs(BTreeMap<String, Arc<dyn Graph>>);

impl Graphs {
    /// Whether the component has none: then it runs in the sandbox alone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where its model is computed, in a word.
    pub fn execution(&self) -> &'static str {
        match self.is_empty() {
            true => "sandbox",
            false => "native",
        }
    }

    /// The graph of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Graph>> {
        self.0.get(name)
    }

    /// Adds a graph; a name stands for one.
    pub fn insert(&mut self, name: String, graph: Arc<dyn Graph>) {
        self.0.insert(name, graph);
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Reads an ONNX file and makes it ready for tract. A file can make that take any time and any memory,
/// or end the process: try it in a worker first.
///
/// # Errors
/// What in the file is not ONNX, not supported or not consistent.
pub fn load(file: &[u8]) -> Result<Arc<dyn Graph>, LoadError> {
    let load = || tract::load(file).map_err(|error| LoadError::Refused(error.to_string()));
    caught::caught(load, LoadError::Panicked)
}
