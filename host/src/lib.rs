//! Glovebox: serverless machine-learning inference in a WebAssembly sandbox.
//!
//! The path of a request, which is also the direction in which modules know each other:
//! [`server`] → [`admission`] → [`model`] → [`sandbox`] → [`native`], the last for graphs that an
//! operator trusts. Beside it: [`pack`] makes packed models,
//! [`compile`] makes machine code, both through a [`worker`]; [`harden`] is the wall around the
//! process, [`config`] reads `spin.toml`, [`cli`] is the command line.
//! `ARCHITECTURE.md` has the map and the invariants.

pub mod admission;
pub mod allocator;
pub mod allowed_hosts;
pub mod bench;
pub mod cli;
pub mod compile;
pub mod config;
pub mod error;
pub mod harden;
pub mod limits;
pub mod media;
pub mod memory;
pub mod model;
pub mod native;
pub mod pack;
pub mod routing;
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod text;
pub mod worker;
