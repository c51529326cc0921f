//! Graphs that an operator trusts: from their files to what components may run, and who may.
//!
//! The host itself reads these files, and no others. First a worker does: what a file can cost or
//! break there, it cannot here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DeployError;
use super::package::{Package, PackageError};
use crate::limits::{self, Bytes};
use crate::native::{self, Graph, Graphs, LoadError};
use crate::text;
use crate::worker::{Budget, Worker, WorkerError};

/// What a worker is told to do with a graph.
pub const JOB: &str = "load-graph";

/// What a component imports to run graphs, in the one version that there is.
pub(super) const INTERFACES: &str = "wasi:nn@0.2.0-rc-2024-10-28";

/// Why a graph cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("graph {}: {problem}", text::quoted(.name))]
pub struct GraphError {
    name: String,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    File(#[from] PackageError),
    #[error("it cannot be run: {}", text::escape(.0))]
    Refused(String),
    #[error("it was not loaded: {0}")]
    Worker(WorkerError),
}

/// Loads the graphs of a component from these files.
///
/// # Errors
/// A file cannot be read, or is no graph that this host can run within the limits of packing.
pub fn load(files: &BTreeMap<String, PathBuf>, worker: &Worker) -> Result<Arc<Graphs>, GraphError> {
    let mut graphs = Graphs::default();
    for (name, path) in files {
        let graph = load_one(path, worker).map_err(|problem| GraphError {
            name: name.clone(),
            problem,
        })?;
        graphs.insert(name.clone(), graph);
    }
    Ok(Arc::new(graphs))
}

fn load_one(path: &Path, worker: &Worker) -> Result<Arc<dyn Graph>, Problem> {
    let file = Package::read(path)?;
    worker
        .run(&[JOB], &budget(&file), &[&file])
        .map_err(explain)?;
    native::load(&file).map_err(|error| Problem::Refused(error.to_string()))
}

fn budget(file: &[u8]) -> Budget {
    Budget {
        cpu: limits::PACK_CPU,
        memory: Bytes(
            limits::PACK_MEMORY_BYTES
                .saturating_add(file.len() as u64)
                .saturating_add(limits::WORKER_OWN_BYTES),
        ),
        output: Bytes(limits::WORKER_LOG_BYTES),
        threads: 1,
        background: false,
    }
}

fn explain(error: WorkerError) -> Problem {
    match error {
        WorkerError::Refused(reason) => {
            Problem::Refused(String::from_utf8_lossy(&reason).into_owned())
        }
        error => Problem::Worker(error),
    }
}

/// The job, in this process, which should be a worker.
///
/// # Errors
/// What in the file is not ONNX, not supported or not consistent.
pub fn try_load(file: &[u8]) -> Result<(), LoadError> {
    native::load(file).map(|_| ())
}

/// Which of these imports are no business of graphs.
///
/// # Errors
/// The component would run graphs that it has not, or has graphs that it would not run.
pub(super) fn check(imports: &[String], graphs: &Graphs) -> Result<Vec<String>, DeployError> {
    let (nn, others): (Vec<_>, Vec<_>) = imports.iter().partition(|import| is_nn(import));
    match (nn.first(), graphs.is_empty()) {
        (Some(import), true) => return Err(DeployError::Untrusted((*import).clone())),
        (None, false) => return Err(DeployError::NoGraphs),
        _ => {}
    }
    let is_other_version = |import: &&String| !is_ours(import);
    let unknown = nn.into_iter().filter(is_other_version);
    Ok(others.into_iter().chain(unknown).cloned().collect())
}

/// Whether a component with these imports runs graphs outside of the sandbox.
pub fn run_natively(imports: &[String]) -> bool {
    imports.iter().any(|import| is_nn(import))
}

fn is_nn(import: &str) -> bool {
    import.starts_with("wasi:nn/")
}

/// Whether this is one of the interfaces, in their version.
fn is_ours(import: &str) -> bool {
    let version = INTERFACES.rsplit('@').next();
    let (interface, given) = import.split_once('@').unwrap_or((import, ""));
    let known = [
        "wasi:nn/errors",
        "wasi:nn/graph",
        "wasi:nn/inference",
        "wasi:nn/tensor",
    ];
    known.contains(&interface) && version == Some(given)
}
