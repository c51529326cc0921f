//! Runs guest code within limits.
//!
//! [`Sandbox`] is one engine with its ticker and its compute threads. [`Function`] is a deployed
//! component; each call of it makes a fresh instance ([`invoke`]), which runs on the compute
//! threads ([`compute`]) in slices of one tick, under a [`limiter`] for memory and a [`meter`]
//! for CPU time.
//!
//! This module knows nothing of HTTP, files or models.

pub mod bindings;
pub mod compute;
pub mod engine;
pub mod function;
pub mod invoke;
pub mod limiter;
pub mod meter;
pub mod ticker;

use std::sync::Arc;

use compute::Compute;
use ticker::Ticker;
use wasmtime::Engine;

/// An engine, the thread that ticks it and the threads that run guests.
pub struct Sandbox {
    engine: Engine,
    compute: Compute,
    _ticker: Ticker,
}

impl Sandbox {
    /// Starts the threads: `compute_threads` that run guests and one that ticks.
    ///
    /// # Errors
    /// The engine's configuration does not fit this machine, or threads cannot be started.
    pub fn new(compute_threads: usize) -> Result<Arc<Self>, SandboxError> {
        let engine = engine::new().map_err(|error| SandboxError(format!("{error:#}")))?;
        let compute =
            Compute::start(compute_threads).map_err(|error| SandboxError(error.to_string()))?;
        let ticker = Ticker::start(&engine).map_err(|error| SandboxError(error.to_string()))?;
        Ok(Arc::new(Self {
            engine,
            compute,
            _ticker: ticker,
        }))
    }

    /// The engine that components must be compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What guests hold now.
    pub fn live(&self) -> Live {
        let Some(pool) = self.engine.pooling_allocator_metrics() else {
            return Live::default();
        };
        Live {
            instances: pool.component_instances(),
            memories: pool.memories() as u64,
            tables: pool.tables() as u64,
            stacks: pool.stacks() as u64,
        }
    }
}

/// What is taken of the pool that all instances come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Instances of components.
    pub instances: u64,
    /// Linear memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Stacks of guests.
    pub stacks: u64,
}

/// The sandbox cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the sandbox: {0}")]
pub struct SandboxError(String);
