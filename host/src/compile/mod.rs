//! From wasm to machine code, through a cache on disk.
//!
//! A packed model needs no compilation of code: its runtime and the shell around it are compiled once
//! per machine, whoever's they are, and a model is its image. A component with other code is compiled
//! whole. Code is compiled by a [`Worker`], images and the shell of our own runtime here.

mod cache;
mod evict;
mod load;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use blake3::Hash;
use cache::Cache;
pub use cache::{CacheError, Kind};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::limits::{self, Bytes};
use crate::model::package::{Code, Package};
use crate::model::runtime;
use crate::model::shared::Runtime;
use crate::sandbox::engine::Metering;
use crate::sandbox::function::{self, IMAGE_IMPORT, RUNTIME_IMPORT};
use crate::sandbox::{Sandbox, SandboxError};
use crate::text;
use crate::worker::{Budget, Worker, WorkerError};

/// Compiles for the engines of a sandbox.
pub struct Compiler {
    sandbox: Arc<Sandbox>,
    worker: Worker,
    cache_size: Bytes,
    budget: Budget,
    epochs: Line,
    /// Made when the first component wants it.
    fuel: OnceLock<Line>,
}

/// What belongs to one engine.
struct Line {
    engine: Engine,
    cache: Cache,
    runtimes: Mutex<HashMap<Hash, Arc<Slot>>>,
    /// The SHA-256 of the code of each runtime that is loaded, as metadata has it.
    names: Mutex<HashSet<String>>,
}

/// The place of one runtime, locked while it is compiled.
type Slot = Mutex<Option<SharedCode>>;

/// The machine code of a runtime, shared by all models that have it.
#[derive(Clone)]
pub struct SharedCode {
    /// The functions.
    pub code: Module,
    /// The component around functions and image.
    pub shell: Component,
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The component does not validate or uses a feature that is off.
    #[error("the component does not compile: {}", text::escape(.0))]
    Invalid(String),
    /// Compiling it needs more than there is for it, or kills the compiler.
    #[error("the component was not compiled: {0}")]
    Worker(WorkerError),
    /// There is no engine for it.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Only images can be compiled where no process can be started.
    #[error(
        "its code is none that this host loaded when it started: pack it again, or restart the host"
    )]
    OwnCode,
    /// The code of a packed model cannot be read or taken apart.
    #[error("its code cannot be read: {}", text::escape(.0))]
    Code(String),
    /// There is no memory for machine code that is not kept on disk.
    #[error("there is no memory for its machine code: {0}")]
    Memory(std::io::Error),
}

/// What a worker compiles, and for which engine.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// A component or a core module.
    pub kind: Kind,
    /// What the code counts.
    pub metering: Metering,
}

impl Job {
    /// What the job is called on the command line of a worker.
    pub const NAME: &str = "compile";

    /// Compiles in this process, which should be a worker unless the wasm has no code.
    ///
    /// # Errors
    /// The wasm does not validate.
    pub fn run(self, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
        let code = match self.kind {
            Kind::Module => engine.precompile_module(wasm),
            Kind::Component => engine.precompile_component(wasm),
        };
        code.map_err(|error| format!("{error:#}"))
    }

    fn arguments(self) -> [&'static str; 3] {
        [Self::NAME, self.kind.name(), self.metering.name()]
    }
}

/// What a component may cost its compiler, over all threads.
pub fn budget(cpu: Duration, memory: Bytes) -> Budget {
    Budget {
        cpu,
        memory,
        output: Bytes(limits::COMPILED_BYTES),
        threads: 1,
        background: true,
    }
}

/// The same for somebody who waits for it.
pub fn urgent(budget: Budget) -> Budget {
    Budget {
        threads: limits::URGENT_COMPILE_THREADS,
        background: false,
        ..budget
    }
}

impl Compiler {
    /// A compiler whose results are kept in the worker's cache, up to `cache_size`, and that gives
    /// each component `budget`.
    ///
    /// # Errors
    /// The directory cannot be made or used.
    pub fn new(
        sandbox: &Arc<Sandbox>,
        worker: Worker,
        cache_size: Bytes,
        budget: Budget,
    ) -> Result<Self, CompileError> {
        let epochs = Line::new(sandbox, Metering::Epochs, &worker, cache_size)?;
        Ok(Self {
            sandbox: Arc::clone(sandbox),
            worker,
            cache_size,
            budget,
            epochs,
            fuel: OnceLock::new(),
        })
    }

    /// The machine code of a package. Takes milliseconds for a packed model, and as long as the
    /// code is large for any other component.
    ///
    /// # Errors
    /// The component does not validate, needs more than its budget, or the cache fails.
    pub fn component(
        &self,
        package: &Package,
        metering: Metering,
    ) -> Result<function::Code, CompileError> {
        let (line, wasm) = (self.line(metering)?, package.wasm());
        let kind = Kind::Component;
        let compile = || {
            let background = self.budget.background;
            tracing::info!(background, "compiling a component");
            let start = Instant::now();
            let code = self.compile(Job { kind, metering }, wasm, self.budget);
            let (seconds, ok) = (start.elapsed().as_secs_f32(), code.is_ok());
            tracing::info!(seconds, ok, "compiled a component");
            code
        };
        let modules = match &package.code {
            Code::Shared(runtime) => {
                let shared = self.runtime(runtime, metering)?;
                let image = || image(line, wasm, metering);
                let code = line.cache.get_or_insert(Kind::Module, wasm, image)?;
                return Ok(shared.with_image(load::module(&line.engine, code)?));
            }
            Code::SharedAndOwn(runtime) => {
                vec![(RUNTIME_IMPORT, self.runtime(runtime, metering)?.code)]
            }
            Code::Own => Vec::new(),
        };
        let code = line.cache.get_or_insert(kind, wasm, compile)?;
        let component = load::component(&line.engine, &code)?;
        Ok(function::Code { component, modules })
    }

    /// A packed model, for a process that can open nothing and start nothing any more: its image is
    /// compiled into memory, of which it takes so much. Its runtime must have been loaded before
    /// ([`Compiler::runtime`]).
    ///
    /// # Errors
    /// The package has other code, its image does not validate, or there is no memory for it.
    pub fn in_memory(
        &self,
        package: &Package,
        metering: Metering,
    ) -> Result<(function::Code, Bytes), CompileError> {
        let line = self.line(metering)?;
        let Code::Shared(runtime) = &package.code else {
            return Err(CompileError::OwnCode);
        };
        let shared = lock(&line.slot(runtime.digest())).clone();
        let shared = shared.ok_or(CompileError::OwnCode)?;
        let code = image(line, package.wasm(), metering)?;
        let size = Bytes(code.len() as u64);
        let code = cache::in_memory(&code).map_err(CompileError::Memory)?;
        Ok((shared.with_image(load::module(&line.engine, code)?), size))
    }

    /// The machine code of a runtime, compiled at its first use on this machine (about twenty seconds
    /// for our own), loaded at its first use in this process. Others go on meanwhile.
    ///
    /// # Errors
    /// It does not compile, needs more than its budget, or the cache fails.
    pub fn runtime(
        &self,
        runtime: &Runtime,
        metering: Metering,
    ) -> Result<SharedCode, CompileError> {
        let line = self.line(metering)?;
        let slot = line.slot(runtime.digest());
        let mut loaded = lock(&slot);
        if let Some(shared) = loaded.as_ref() {
            return Ok(shared.clone());
        }
        let unreadable = |error: &dyn std::error::Error| CompileError::Code(error.to_string());
        let parts = runtime.parts().map_err(|error| unreadable(&error))?;
        let shell = glovebox_split::shell(&parts.code, &parts.tail);
        let shell = shell.map_err(|error| unreadable(&error))?;
        let shared = SharedCode {
            code: self.shared_code(runtime, &parts.code, metering)?,
            shell: self.shell(runtime, &shell, metering)?,
        };
        lock(&line.names).insert(runtime::sha256(&parts.code));
        Ok(loaded.insert(shared).clone())
    }

    /// The functions of this host's own runtime, for packing models with it.
    ///
    /// # Errors
    /// As [`Compiler::runtime`].
    pub fn embedded(&self) -> Result<Module, CompileError> {
        let shared = self.runtime(&Runtime::embedded(), Metering::Epochs)?;
        Ok(shared.code)
    }

    /// Whether a runtime is loaded whose code has this SHA-256.
    ///
    /// # Errors
    /// There is no engine for it.
    pub fn has_code(&self, sha256: &str, metering: Metering) -> Result<bool, CompileError> {
        Ok(lock(&self.line(metering)?.names).contains(sha256))
    }

    /// Whether this machine has the machine code of a runtime.
    ///
    /// # Errors
    /// Its bytes cannot be read.
    pub fn is_compiled(&self, runtime: &Runtime) -> Result<bool, CompileError> {
        let parts = runtime.parts();
        let parts = parts.map_err(|error| CompileError::Code(error.to_string()))?;
        Ok(self.epochs.cache.contains(Kind::Module, &parts.code))
    }

    fn shared_code(
        &self,
        runtime: &Runtime,
        code: &[u8],
        metering: Metering,
    ) -> Result<Module, CompileError> {
        let line = self.line(metering)?;
        let kind = Kind::Module;
        let (what, budget) = match runtime.is_embedded() {
            true => {
                let budget = budget(limits::COMPILE_CPU, Bytes(limits::COMPILE_MEMORY_BYTES));
                (
                    "compiling the model runtime, once per machine",
                    urgent(budget),
                )
            }
            false => (
                "compiling a runtime of others, once per machine",
                self.budget,
            ),
        };
        let compile = || {
            tracing::info!(digest = %runtime.digest(), "{what}");
            let start = Instant::now();
            let code = self.compile(Job { kind, metering }, code, budget);
            let (seconds, ok) = (start.elapsed().as_secs_f32(), code.is_ok());
            tracing::info!(seconds, ok, "compiled a runtime");
            code
        };
        let code = line.cache.get_or_insert(kind, code, compile)?;
        load::module(&line.engine, code)
    }

    fn shell(
        &self,
        runtime: &Runtime,
        shell: &[u8],
        metering: Metering,
    ) -> Result<Component, CompileError> {
        let line = self.line(metering)?;
        let kind = Kind::Component;
        let job = Job { kind, metering };
        let compile = || match runtime.is_embedded() {
            true => {
                let code = job.run(&line.engine, shell);
                code.map_err(CompileError::Invalid)
            }
            false => self.compile(job, shell, self.budget),
        };
        let code = line.cache.get_or_insert(kind, shell, compile)?;
        load::component(&line.engine, &code)
    }

    /// The code of a guest of others by itself, for packing models with it.
    ///
    /// # Errors
    /// It does not validate, needs more than its budget, or the cache fails.
    pub fn guest(&self, code: &[u8]) -> Result<Module, CompileError> {
        let line = &self.epochs;
        let job = Job {
            kind: Kind::Module,
            metering: Metering::Epochs,
        };
        let compile = || {
            tracing::info!("compiling a guest");
            self.compile(job, code, urgent(self.budget))
        };
        let code = line.cache.get_or_insert(job.kind, code, compile)?;
        load::module(&line.engine, code)
    }

    /// How workers are started.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    fn line(&self, metering: Metering) -> Result<&Line, CompileError> {
        match (metering, self.fuel.get()) {
            (Metering::Epochs, _) => Ok(&self.epochs),
            (Metering::Fuel, Some(line)) => Ok(line),
            (Metering::Fuel, None) => {
                let line = Line::new(&self.sandbox, metering, &self.worker, self.cache_size)?;
                Ok(self.fuel.get_or_init(|| line))
            }
        }
    }

    fn compile(&self, job: Job, wasm: &[u8], budget: Budget) -> Result<Vec<u8>, CompileError> {
        // A large component is data for the most part: read, copied and written once each.
        let copies = 4 * wasm.len() as u64;
        let budget = Budget {
            memory: Bytes(budget.memory.0.saturating_add(copies)),
            ..budget
        };
        let mut code = Vec::new();
        self.worker
            .run(&job.arguments(), &budget, &[wasm])?
            .read_to_end(&mut code)
            .map_err(WorkerError::from)?;
        Ok(code)
    }
}

impl Line {
    fn new(
        sandbox: &Sandbox,
        metering: Metering,
        worker: &Worker,
        cache_size: Bytes,
    ) -> Result<Self, CompileError> {
        let engine = sandbox.engine(metering)?.clone();
        Ok(Self {
            cache: Cache::open(&worker.cache_dir, cache_size, &engine)?,
            engine,
            runtimes: Mutex::default(),
            names: Mutex::default(),
        })
    }

    fn slot(&self, runtime: Hash) -> Arc<Slot> {
        Arc::clone(lock(&self.runtimes).entry(runtime).or_default())
    }
}

impl SharedCode {
    fn with_image(self, image: Module) -> function::Code {
        function::Code {
            component: self.shell,
            modules: vec![(IMAGE_IMPORT, image), (RUNTIME_IMPORT, self.code)],
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An image is nothing but data, in the form that the packer writes: this costs no more than its
/// length.
fn image(line: &Line, wasm: &[u8], metering: Metering) -> Result<Vec<u8>, CompileError> {
    let kind = Kind::Module;
    let code = Job { kind, metering }.run(&line.engine, wasm);
    code.map_err(CompileError::Invalid)
}

impl From<WorkerError> for CompileError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Refused(reason) => {
                Self::Invalid(String::from_utf8_lossy(&reason).into_owned())
            }
            error => Self::Worker(error),
        }
    }
}
