//! The thread that advances the epoch, so that no guest runs longer than a tick unasked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;

use rustix::thread::futex;
use wasmtime::Engine;

use crate::limits;

/// Ticks an engine until this is dropped, but rests while no guest runs.
///
/// An OS thread: on one core, a task of an async runtime would be starved by the very guest that
/// it has to interrupt. It takes no lock.
pub(super) struct Ticker {
    guests: Arc<Guests>,
    stopped: Arc<AtomicBool>,
}

/// How many threads may be running guests, for tickers.
pub(super) struct Guests {
    running: AtomicU32,
    /// Tickers that rest, or are about to.
    resting: AtomicU32,
}

impl Ticker {
    pub(super) fn start(engine: &Engine, guests: &Arc<Guests>) -> io::Result<Self> {
        let ticker = Self {
            guests: Arc::clone(guests),
            stopped: Arc::default(),
        };
        let (engine, guests) = (engine.clone(), Arc::clone(guests));
        let stopped = Arc::clone(&ticker.stopped);
        thread::Builder::new()
            .name("ticker".into())
            .spawn(move || {
                tick(&engine, &guests, &stopped);
                guests.leave();
            })?;
        Ok(ticker)
    }
}

/// The life of a ticker.
fn tick(engine: &Engine, guests: &Guests, stopped: &AtomicBool) {
    let mut idle = 0;
    while !stopped.load(SeqCst) {
        thread::sleep(limits::TICK);
        engine.increment_epoch();
        idle = match guests.running.load(SeqCst) {
            0 => idle + 1,
            _ => 0,
        };
        // Guests that come one after the other do not have to wake it each time.
        if idle >= limits::IDLE_TICKS {
            guests.rest();
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    /// Counts as a guest until the thread has ended, so that it does not rest before that.
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        self.guests.enter();
    }
}

impl Guests {
    /// None run, but those that [`run`](Self::run) here.
    pub(super) fn none() -> Self {
        Self {
            running: AtomicU32::new(0),
            resting: AtomicU32::new(0),
        }
    }

    /// They run anywhere and at any time.
    pub(super) fn anywhere() -> Self {
        let guests = Self::none();
        guests.enter();
        guests
    }

    /// Runs what may be a guest.
    pub(super) fn run<R>(&self, guest: impl FnOnce() -> R) -> R {
        self.enter();
        let result = guest();
        self.leave();
        result
    }

    fn enter(&self) {
        self.running.fetch_add(1, SeqCst);
        if self.resting.load(SeqCst) > 0 {
            // It fails for addresses that are none, and this one is.
            let _ = futex::wake(&self.running, futex::Flags::PRIVATE, i32::MAX as u32);
        }
    }

    fn leave(&self) {
        self.running.fetch_sub(1, SeqCst);
    }

    /// Waits until a guest runs. None is missed: one that begins after this has said that it rests
    /// wakes it, and for one that has begun before the kernel looks.
    fn rest(&self) {
        self.resting.fetch_add(1, SeqCst);
        // It ends early, at a signal or at once, where a guest runs or may have run.
        let _ = futex::wait(&self.running, futex::Flags::PRIVATE, 0, None);
        self.resting.fetch_sub(1, SeqCst);
    }
}
