//! Runs guest code within limits.
//!
//! [`Sandbox`] is one engine with its ticker and its compute threads. [`Function`] is a deployed
//! component; each [`call`] of it makes a fresh instance ([`invoke`]), which runs on the compute
//! threads ([`compute`]) in slices of one tick, under a [`limiter`] for memory and a [`meter`]
//! for CPU time.
//!
//! [`wasi`] is for components that speak HTTP themselves. Beside it, this module knows nothing of
//! HTTP, files or models.
//!
//! [`nn`] lets components run graphs that are trusted, outside of the sandbox and within the same
//! limits, on threads of their own.

mod allowance;
pub mod bindings;
pub mod call;
pub mod compute;
pub mod engine;
pub mod function;
pub mod invoke;
pub mod limiter;
pub mod meter;
mod nn;
pub mod ticker;
pub mod wasi;

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use compute::{Compute, Pool};
use engine::{Allocation, Metering};
use ticker::{Guests, Ticker};
use tokio::runtime::Handle;
use wasmtime::Engine;

use crate::{allocator, limits};

/// An engine for each kind of metering, the threads that tick them and those that run guests.
pub struct Sandbox {
    epochs: Engine,
    /// Made when the first component wants it.
    fuel: OnceLock<Engine>,
    allocation: Allocation,
    /// For guests.
    compute: Compute,
    /// For the operators of graphs: nobody can interrupt one, so it must not keep a guest waiting.
    native: Arc<Compute>,
    /// Whether guests run.
    guests: Arc<Guests>,
    tickers: Mutex<Vec<Ticker>>,
}

impl Sandbox {
    /// Starts the threads: `compute_threads` that run guests, as many for graphs, and one that ticks.
    ///
    /// # Errors
    /// The engine's configuration does not fit this machine, or threads cannot be started.
    pub fn new(compute_threads: usize) -> Result<Arc<Self>, SandboxError> {
        Self::with(Allocation::Pooled, compute_threads)
    }

    /// For a process that compiles, or calls guests itself.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn without_compute() -> Result<Arc<Self>, SandboxError> {
        Self::with(Allocation::OnDemand, 0)
    }

    fn with(allocation: Allocation, compute_threads: usize) -> Result<Arc<Self>, SandboxError> {
        let epochs = new_engine(Metering::Epochs, allocation)?;
        let guests = Arc::new(match compute_threads {
            0 => Guests::anywhere(),
            _ => Guests::none(),
        });
        let tickers = Mutex::new(vec![Ticker::start(&epochs, &guests)?]);
        let pool = |name, nice| Pool {
            name,
            threads: compute_threads,
            nice,
        };
        Ok(Arc::new(Self {
            epochs,
            fuel: OnceLock::new(),
            allocation,
            compute: Compute::start(pool("compute", limits::COMPUTE_NICE), &guests)?,
            // Operators look at the clock themselves.
            native: Arc::new(Compute::start(
                pool("native", limits::NATIVE_NICE),
                &Arc::new(Guests::none()),
            )?),
            guests,
            tickers,
        }))
    }

    /// The engine that components must be compiled for.
    ///
    /// # Errors
    /// There is none yet and it cannot be made.
    pub fn engine(&self, metering: Metering) -> Result<&Engine, SandboxError> {
        if metering == Metering::Epochs {
            return Ok(&self.epochs);
        }
        // Locked, so that two do not make it at once.
        let mut tickers = self.tickers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = self.fuel.get() {
            return Ok(engine);
        }
        let engine = new_engine(metering, self.allocation)?;
        tickers.push(Ticker::start(&engine, &self.guests)?);
        Ok(self.fuel.get_or_init(|| engine))
    }

    /// Replaces all threads by new ones, which inherit what binds the calling thread. Guests that
    /// run go on where they are. What guests wait for happens on `network`.
    ///
    /// # Errors
    /// Threads cannot be started.
    pub fn restart(&self, network: &Handle) -> Result<(), SandboxError> {
        self.compute.restart(Some(network))?;
        self.native.restart(None)?;
        let mut tickers = self.tickers.lock().unwrap_or_else(PoisonError::into_inner);
        *tickers = self
            .engines()
            .map(|engine| Ticker::start(engine, &self.guests))
            .collect::<io::Result<_>>()?;
        Ok(())
    }

    /// How many threads run guests.
    pub fn threads(&self) -> usize {
        self.compute.threads()
    }

    /// What guests hold now.
    pub fn live(&self) -> Live {
        let mut live = Live::default();
        for pool in self.engines().filter_map(Engine::pooling_allocator_metrics) {
            live.instances += pool.component_instances();
            live.memories += pool.memories() as u64;
            live.tables += pool.tables() as u64;
            live.stacks += pool.stacks() as u64;
        }
        live
    }

    fn engines(&self) -> impl Iterator<Item = &Engine> {
        [Some(&self.epochs), self.fuel.get()].into_iter().flatten()
    }
}

fn new_engine(metering: Metering, allocation: Allocation) -> Result<Engine, SandboxError> {
    let engine = engine::new(metering, allocation);
    if let Allocation::Pooled = allocation {
        allocator::prefer_huge_pages_in_pools(limits::POOL_BYTES);
    }
    engine.map_err(|error| SandboxError(format!("{error:#}")))
}

/// What is taken of the pools that all instances come from.
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

impl From<io::Error> for SandboxError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
