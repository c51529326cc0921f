//! Seeds of hash maps: the same in each load of a model, so that maps are walked in the same order,
//! and the same blocks of memory are asked for.
//!
//! A guest has no source of randomness, and hands out none: what asks for it while a model is loaded
//! or run would not answer the same way twice. Only the hash maps of the tokenizers are given a
//! constant. A client that knows it can make a map slow, which the limit of CPU time bounds, as it
//! bounds everything else.

use std::sync::atomic::{AtomicBool, Ordering};

use ahash::random_state::{self, RandomSource};

/// What seeds are made of.
const CONSTANT: u8 = 0x5a;

static IS_SEEDING: AtomicBool = AtomicBool::new(false);

/// The seed of every map is the same.
struct Fixed;

impl RandomSource for Fixed {
    fn gen_hasher_seed(&self) -> usize {
        0
    }
}

/// Seeds all hash maps. Before the first of them, and before memory is tracked.
pub(crate) fn sow() {
    // The standard library's seeds come from the addresses of two fresh blocks, once.
    drop(std::hash::RandomState::new());
    IS_SEEDING.store(true, Ordering::Relaxed);
    // It fails if it was done before, with the same source.
    let _ = random_state::set_random_source(Fixed);
    let _ = random_state::RandomState::new();
    IS_SEEDING.store(false, Ordering::Relaxed);
}

/// Fails, unless it is asked for the seeds of hash maps.
#[allow(unsafe_code, reason = "called by name by the getrandom crate")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    at: *mut u8,
    bytes: usize,
) -> Result<(), getrandom::Error> {
    if !IS_SEEDING.load(Ordering::Relaxed) {
        return Err(getrandom::Error::UNSUPPORTED);
    }
    // SAFETY: the caller's block has room for `bytes`.
    unsafe { at.write_bytes(CONSTANT, bytes) };
    Ok(())
}
