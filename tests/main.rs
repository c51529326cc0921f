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

mod admission;
mod attempts;
mod batching;
mod bench;
mod binary;
mod boundary;
mod broken;
mod check;
mod clients;
mod compression;
mod cpu;
mod defaults;
mod density;
mod docs;
mod edge;
mod errors;
mod examples;
mod flags;
mod front;
mod fuel;
mod grpc;
mod guests;
mod harness;
mod http;
mod images;
mod init;
mod kernels;
mod kinds;
mod manifest;
mod memory;
mod messages;
mod metrics;
mod names;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "native")]
mod native_limits;
mod numbers;
mod on_demand;
mod outbound;
mod pace;
mod pack;
mod pages;
mod quantized;
mod reference;
mod refusals;
mod repository;
mod runtimes;
mod schema;
mod serve;
mod service;
mod shapes;
mod sharing;
mod siblings;
mod spin;
mod statistics;
mod streams;
mod tables;
mod text;
mod tidy;
mod trees;
mod up;
mod wall;
mod watch;
mod worker;
