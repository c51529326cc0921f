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

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use compute::Compute;
use ticker::Ticker;
use wasmtime::Engine;

/// An engine, the thread that ticks it and the threads that run guests.
pub struct Sandbox {
    engine: Engine,
    compute: Compute,
    ticker: Mutex<Ticker>,
}

impl Sandbox {
    /// Starts the threads: `compute_threads` that run guests and one that ticks.
    ///
    /// # Errors
    /// The engine's configuration does not fit this machine, or threads cannot be started.
    pub fn new(compute_threads: usize) -> Result<Arc<Self>, SandboxError> {
        let engine = engine::new().map_err(|error| SandboxError(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine)?;
        Ok(Arc::new(Self {
            engine,
            compute: Compute::start(compute_threads)?,
            ticker: Mutex::new(ticker),
        }))
    }

    /// Replaces all threads by new ones, which inherit what binds the calling thread. Guests that
    /// run go on where they are.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub fn restart(&self) -> Result<(), SandboxError> {
        self.compute.restart()?;
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        *ticker = Ticker::start(&self.engine)?;
        Ok(())
    }

    /// The engine that components must be compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// The sandbox cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the sandbox: {0}")]
pub struct SandboxError(String);

impl From<io::Error> for SandboxError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
