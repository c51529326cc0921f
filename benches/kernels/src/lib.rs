//! The kernels alone, as a module: `start` prepares a work of the table, `run` does it once.
//!
//! `glovebox-benches kernels` runs it and compares the speed with the peak of the processor.
#![allow(unsafe_code, reason = "functions of a module are exported by name")]

mod product;
mod quantized;
mod window;
mod work;

use std::cell::RefCell;

use work::Work;

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// Prepares the work of this number. Returns the multiplications and additions of one run, counted as
/// in a plain loop; 0 if the table is shorter.
#[unsafe(no_mangle)]
extern "C" fn start(number: usize) -> f64 {
    let work = work::table().into_iter().nth(number);
    let work = work.map(|(name, make)| Work::new(name, make));
    let operations = work.as_ref().map_or(0.0, |work| work.operations);
    WORK.set(work);
    operations
}

/// Where the name of the work is.
#[unsafe(no_mangle)]
extern "C" fn name_at() -> *const u8 {
    WORK.with_borrow(|work| {
        work.as_ref()
            .map_or(std::ptr::null(), |work| work.name.as_ptr())
    })
}

/// How long the name is.
#[unsafe(no_mangle)]
extern "C" fn name_bytes() -> usize {
    WORK.with_borrow(|work| work.as_ref().map_or(0, |work| work.name.len()))
}

/// Does the work once. False: it failed.
#[unsafe(no_mangle)]
extern "C" fn run() -> u32 {
    WORK.with_borrow_mut(|work| work.as_mut().is_some_and(Work::run).into())
}
