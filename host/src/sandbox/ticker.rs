//! The thread that advances the epoch, so that no guest runs longer than a tick unasked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use wasmtime::Engine;

use crate::limits;

/// Ticks an engine until this or the engine is gone.
///
/// An OS thread: on one core, a task of an async runtime would be starved by the very guest that
/// it has to interrupt. It takes no lock.
pub(super) struct Ticker {
    stopped: Arc<AtomicBool>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let ticker = Self {
            stopped: Arc::default(),
        };
        let (engine, stopped) = (engine.weak(), Arc::clone(&ticker.stopped));
        thread::Builder::new()
            .name("ticker".into())
            .spawn(move || {
                while let (Some(engine), false) = (engine.upgrade(), stopped.load(Relaxed)) {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(limits::TICK);
                }
            })?;
        Ok(ticker)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Relaxed);
    }
}
