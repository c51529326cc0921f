//! From wasm to machine code, through a cache on disk.
//!
//! A packed model needs no compilation of code: the runtime and the shell around it are compiled
//! once per machine, and a model is its image. A component with other code is compiled whole.
//! Code is compiled by a [`Worker`], images and the shell here.

mod cache;
mod evict;
mod load;

use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cache::Cache;
pub use cache::{CacheError, Kind};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::limits::{self, Bytes};
use crate::model::package::{Code, Package};
use crate::model::runtime;
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
    runtime: Mutex<Option<Module>>,
    shell: Mutex<Option<Component>>,
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
    #[error("it has code of its own, or that of another version of glovebox: pack it again")]
    OwnCode,
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
        let modules = match package.code {
            Code::Runtime => {
                let image = || image(line, wasm, metering);
                let code = line.cache.get_or_insert(Kind::Module, wasm, image)?;
                return self.in_shell(load::module(&line.engine, code)?, metering);
            }
            Code::RuntimeAndOwn => vec![(RUNTIME_IMPORT, self.runtime(metering)?)],
            Code::Own => Vec::new(),
        };
        let code = line.cache.get_or_insert(kind, wasm, compile)?;
        let component = load::component(&line.engine, &code)?;
        Ok(function::Code { component, modules })
    }

    /// A packed model, for a process that can open nothing and start nothing any more: its image is
    /// compiled into memory, of which it takes so much. The rest must have been here before
    /// ([`Compiler::shell`]).
    ///
    /// # Errors
    /// The package has code of its own, its image does not validate, or there is no memory for it.
    pub fn in_memory(
        &self,
        package: &Package,
        metering: Metering,
    ) -> Result<(function::Code, Bytes), CompileError> {
        if package.code != Code::Runtime {
            return Err(CompileError::OwnCode);
        }
        let line = self.line(metering)?;
        let code = image(line, package.wasm(), metering)?;
        let size = Bytes(code.len() as u64);
        let code = cache::in_memory(&code).map_err(CompileError::Memory)?;
        let image = load::module(&line.engine, code)?;
        Ok((self.in_shell(image, metering)?, size))
    }

    fn in_shell(&self, image: Module, metering: Metering) -> Result<function::Code, CompileError> {
        let component = self.shell(metering)?;
        let runtime = self.runtime(metering)?;
        let modules = vec![(IMAGE_IMPORT, image), (RUNTIME_IMPORT, runtime)];
        Ok(function::Code { component, modules })
    }

    /// What a packed model is beside its image and the runtime: the same for all.
    ///
    /// # Errors
    /// The cache fails.
    pub fn shell(&self, metering: Metering) -> Result<Component, CompileError> {
        let line = self.line(metering)?;
        let mut loaded = line.shell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shell) = loaded.as_ref() {
            return Ok(shell.clone());
        }
        let kind = Kind::Component;
        let compile = || {
            let code = Job { kind, metering }.run(&line.engine, runtime::SHELL);
            code.map_err(CompileError::Invalid)
        };
        let code = line.cache.get_or_insert(kind, runtime::SHELL, compile)?;
        let shell = load::component(&line.engine, &code)?;
        Ok(loaded.insert(shell).clone())
    }

    /// The runtime's code, compiled at its first use on this machine (about twenty seconds), loaded
    /// at its first use in this process.
    ///
    /// # Errors
    /// The cache fails.
    pub fn runtime(&self, metering: Metering) -> Result<Module, CompileError> {
        let line = self.line(metering)?;
        let mut loaded = line.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.as_ref() {
            return Ok(module.clone());
        }
        let job = Job {
            kind: Kind::Module,
            metering,
        };
        let compile = || {
            tracing::info!("compiling the model runtime, once per machine");
            let start = Instant::now();
            let budget = budget(limits::COMPILE_CPU, Bytes(limits::COMPILE_MEMORY_BYTES));
            let code = self.compile(job, runtime::CODE, urgent(budget));
            tracing::info!(
                seconds = start.elapsed().as_secs_f32(),
                "compiled the model runtime"
            );
            code
        };
        let code = line.cache.get_or_insert(job.kind, runtime::CODE, compile)?;
        let module = load::module(&line.engine, code)?;
        Ok(loaded.insert(module).clone())
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
            runtime: Mutex::new(None),
            shell: Mutex::new(None),
        })
    }
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
