//! What all benchmarks begin with.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use glovebox::compile::{self, Compiler};
use glovebox::limits::{self, Bytes};
use glovebox::model::Deployer;
use glovebox::sandbox::Sandbox;
use glovebox::worker::Worker;

/// A host's sandbox and a compiler whose cache is in `dir`.
pub fn deployer(dir: &Path) -> Deployer {
    let sandbox = Sandbox::new(thread::available_parallelism().unwrap().get()).unwrap();
    let worker = Worker {
        program: env!("CARGO_BIN_EXE_glovebox").into(),
        cache_dir: dir.join("cache"),
    };
    let budget = compile::budget(limits::COMPILE_CPU, Bytes(limits::COMPILE_MEMORY_BYTES));
    let compiler = Compiler::new(&sandbox, worker, Bytes(u64::MAX), budget).unwrap();
    Deployer {
        sandbox,
        compiler: Arc::new(compiler),
    }
}
