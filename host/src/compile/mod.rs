//! From wasm to machine code, through a cache on disk.
//!
//! A packed model needs no compilation of code: the runtime's code is compiled once per machine,
//! and a model's component only holds an image. A component with other code is compiled whole.

mod cache;
mod load;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub use cache::CacheError;
use cache::{Cache, Kind};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::model::package::Package;
use crate::model::runtime;
use crate::text;

/// Compiles for one engine.
pub struct Compiler {
    engine: Engine,
    cache: Cache,
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
    #[error(
        "the component imports {}; a model function must not import anything",
        text::escape(&.0.join(", "))
    )]
    Imports(Vec<String>),
    /// The component does not validate or uses a feature that is off.
    #[error("the component does not compile: {}", text::escape(.0))]
    Invalid(String),
}

impl Compiler {
    /// A compiler for `engine` whose results are kept below `cache_dir`.
    ///
    /// # Errors
    /// The directory cannot be made or used.
    pub fn new(engine: &Engine, cache_dir: &Path) -> Result<Self, CompileError> {
        let cache = Cache::open(cache_dir, engine)?;
        Ok(Self {
            engine: engine.clone(),
            cache,
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
        let compile = || self.engine.precompile_component(bytes);
        let file = self.cache.get_or_insert(Kind::Component, bytes, compile)?;
        let component = load::component(&self.engine, &file)?;
        Ok(Compiled { component, runtime })
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
            let code = self.engine.precompile_module(runtime::CODE);
            tracing::info!(
                seconds = start.elapsed().as_secs_f32(),
                "compiled the model runtime"
            );
            code
        };
        let file = self
            .cache
            .get_or_insert(Kind::Module, runtime::CODE, compile)?;
        let module = load::module(&self.engine, &file)?;
        Ok(loaded.insert(module).clone())
    }
}
