//! Scenario tests: they drive the real binary, over its command line and over HTTP.
//! `README.md` says what is where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod boundary;
mod cpu;
mod density;
mod errors;
mod harness;
mod memory;
mod metrics;
mod numbers;
mod pack;
mod refusals;
mod serve;
mod sharing;
mod tidy;
mod up;
