//! Graphs that an operator trusts: from their files to what components may run, and who may.
//!
//! The host itself reads these files, and no others. First a worker does: what a file can cost or
//! break there, it cannot here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metadata::{self, Metadata};
use super::package::{Package, PackageError};
use super::{DeployError, kind, runtime};
use crate::limits::{self, Bytes};
use crate::native::{self, Engine, Graph, Graphs, LoadError};
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
    #[error("the component asks for it: add its file to graphs")]
    Missing,
    #[error(
        "{path} has sha256 {found}, but the component was packed from a file of sha256 {packed}; pack it again"
    )]
    Other {
        path: String,
        found: String,
        packed: String,
    },
}

/// The files of a component's graphs, by their names, and what is to run them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// What runs them.
    pub engine: Engine,
    /// Where they are.
    pub paths: BTreeMap<String, PathBuf>,
}

/// Loads the graphs of a component. What its packer says that it needs must be among them.
///
/// # Errors
/// A file cannot be read, is another than the one that was packed, or is no graph that this host can
/// run within the limits of packing.
pub fn load(
    files: &Files,
    metadata: Option<&Metadata>,
    worker: &Worker,
) -> Result<Arc<Graphs>, GraphError> {
    let Files { engine, paths } = files;
    let packed = metadata.and_then(|metadata| metadata.graph.as_ref());
    let missing = packed.filter(|packed| !paths.is_empty() && !paths.contains_key(&packed.name));
    if let Some(missing) = missing {
        return Err(GraphError {
            name: missing.name.clone(),
            problem: Problem::Missing,
        });
    }
    let mut graphs = BTreeMap::new();
    for (name, path) in paths {
        let packed = packed.filter(|packed| packed.name == *name);
        let graph = read(path, packed).and_then(|file| load_one(*engine, &file, worker));
        let graph = graph.map_err(|problem| GraphError {
            name: name.clone(),
            problem,
        })?;
        graphs.insert(name.clone(), graph);
    }
    Ok(Arc::new(Graphs::new(*engine, graphs)))
}

fn read(path: &Path, packed: Option<&metadata::Graph>) -> Result<Vec<u8>, Problem> {
    let file = Package::read(path)?;
    if let Some(problem) = kind::not_onnx(&file) {
        return Err(Problem::Refused(format!("{}: {problem}", path.display())));
    }
    if let Some(packed) = packed {
        check_digest(path, &file, &packed.sha256)?;
    }
    Ok(file)
}

fn load_one(engine: Engine, file: &[u8], worker: &Worker) -> Result<Arc<dyn Graph>, Problem> {
    let refused = |error: LoadError| Problem::Refused(error.to_string());
    native::prepare(engine).map_err(refused)?;
    worker
        .run(&[JOB, engine.name()], &budget(file), &[file])
        .map_err(explain)?;
    native::load(engine, file).map_err(refused)
}

/// A model has its pipeline and its signature from one file; with another it would answer nonsense.
fn check_digest(path: &Path, file: &[u8], packed: &str) -> Result<(), Problem> {
    let found = runtime::sha256(file);
    match found == packed {
        true => Ok(()),
        false => Err(Problem::Other {
            path: path.display().to_string(),
            found,
            packed: text::escape(packed),
        }),
    }
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
