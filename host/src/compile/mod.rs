//! From wasm to machine code, through a cache on disk.
//!
//! A packed model needs no compilation of code: the runtime's code is compiled once per machine,
//! and a model's component only holds an image. A component with other code is compiled whole.
//! Code is compiled by a [`Worker`], images here.

mod cache;
mod evict;
mod load;

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub use cache::CacheError;
use cache::{Cache, Kind};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::limits::{self, Bytes};
use crate::model::package::Package;
use crate::model::runtime;
use crate::text;
use crate::worker::{Budget, Worker, WorkerError};

/// Compiles for one engine.
pub struct Compiler {
    engine: Engine,
    cache: Cache,
    worker: Worker,
    runtime: Mutex<Option<Module>>,
}

/// A component ready to be linked.
pub struct Compiled {
    /// The machine code, or only the image.
    pub component: Component,
    /// The shared code, if the component imports it.
    pub runtime: Option<Module>,
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The component imports what no host gives to a model.
    #[error("the component imports {}; a model function must not import anything", .0.join(", "))]
    Imports(Vec<String>),
    /// The component does not validate or uses a feature that is off.
    #[error("the component does not compile: {0}")]
    Invalid(String),
    /// Compiling it needs more than there is for it, or kills the compiler.
    #[error("the component was not compiled: {0}")]
    Worker(WorkerError),
}

/// What a worker compiles.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Job {
    /// What the job is called on the command line of a worker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Module => "compile-module",
            Self::Component => "compile-component",
        }
    }

    /// Compiles in this process, which should be a worker.
    ///
    /// # Errors
    /// The wasm does not validate.
    pub fn run(self, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
        let code = match self {
            Self::Module => engine.precompile_module(wasm),
            Self::Component => engine.precompile_component(wasm),
        };
        code.map_err(|error| format!("{error:#}"))
    }
}

impl Compiler {
    /// A compiler for `engine` whose results are kept in the worker's cache, up to `cache_size`.
    ///
    /// # Errors
    /// The directory cannot be made or used.
    pub fn new(engine: &Engine, worker: Worker, cache_size: Bytes) -> Result<Self, CompileError> {
        let cache = Cache::open(&worker.cache_dir, cache_size, engine)?;
        Ok(Self {
            engine: engine.clone(),
            cache,
            worker,
            runtime: Mutex::new(None),
        })
    }

    /// The machine code of a package. Takes milliseconds for a packed model, and as long as the
    /// code is large for any other component.
    ///
    /// # Errors
    /// The component has imports, does not validate, or the cache fails.
    pub fn component(&self, package: &Package) -> Result<Compiled, CompileError> {
        if !package.imports.is_empty() {
            return Err(CompileError::Imports(package.imports.clone()));
        }
        let runtime = package.shares_runtime.then(|| self.runtime()).transpose()?;
        let bytes = &package.component;
        let compile = || match package.shares_runtime {
            // Nothing but data, in the form that the packer writes.
            true => Job::Component.run(&self.engine, bytes).map_err(invalid),
            false => self.compile(Job::Component, bytes),
        };
        let code = self.cache.get_or_insert(Kind::Component, bytes, compile)?;
        let component = load::component(&self.engine, &code)?;
        Ok(Compiled { component, runtime })
    }

    fn compile(&self, job: Job, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        // A large component is data for the most part: read, copied and written once each.
        let memory = Bytes(limits::COMPILE_MEMORY_BYTES.saturating_add(4 * wasm.len() as u64));
        let budget = Budget {
            cpu: limits::COMPILE_CPU,
            memory,
            output: Bytes(limits::COMPILED_BYTES),
        };
        let mut code = Vec::new();
        self.worker
            .run(job.name(), &budget, &[wasm])?
            .read_to_end(&mut code)
            .map_err(WorkerError::from)?;
        Ok(code)
    }

    /// How workers are started.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The runtime's code, compiled at its first use on this machine (about ten seconds), loaded
    /// at its first use in this process.
    ///
    /// # Errors
    /// The cache fails.
    pub fn runtime(&self) -> Result<Module, CompileError> {
        let mut loaded = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.as_ref() {
            return Ok(module.clone());
        }
        let compile = || {
            tracing::info!("compiling the model runtime, once per machine");
            let start = Instant::now();
            let code = self.compile(Job::Module, runtime::CODE);
            tracing::info!(
                seconds = start.elapsed().as_secs_f32(),
                "compiled the model runtime"
            );
            code
        };
        let code = self
            .cache
            .get_or_insert(Kind::Module, runtime::CODE, compile)?;
        let module = load::module(&self.engine, &code)?;
        Ok(loaded.insert(module).clone())
    }
}

impl From<WorkerError> for CompileError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Refused(reason) => invalid(String::from_utf8_lossy(&reason).into_owned()),
            error => Self::Worker(error),
        }
    }
}

/// The reason quotes names from the component.
fn invalid(reason: String) -> CompileError {
    CompileError::Invalid(text::escape(&reason))
}
