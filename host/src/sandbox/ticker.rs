//! The thread that advances the epoch, so that no guest runs longer than a tick unasked.

use std::io;
use std::thread;

use wasmtime::Engine;

use crate::limits;

/// Ticks an engine until the engine is gone.
///
/// An OS thread: on one core, a task of an async runtime would be starved by the very guest that
/// it has to interrupt. It takes no lock.
pub(super) struct Ticker;

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.weak();
        thread::Builder::new()
            .name("ticker".into())
            .spawn(move || {
                while let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    thread::sleep(limits::TICK);
                }
            })?;
        Ok(Self)
    }
}
