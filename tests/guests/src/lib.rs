//! Components that the scenario tests serve, in the form in which users deploy theirs.
#![forbid(unsafe_code)]

/// An HTTP component made with the SDK of Spin; `probe/src/lib.rs` says what it does.
pub const PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe.wasm"));

/// An HTTP component that classifies through `wasi:nn`; `classify/src/lib.rs` says how.
pub const CLASSIFY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classify.wasm"));

/// An HTTP component that asks `wasi:nn` for too much; `greedy/src/lib.rs` says of what.
pub const GREEDY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greedy.wasm"));
