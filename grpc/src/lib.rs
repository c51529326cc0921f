//! Open Inference Protocol v2 over gRPC: its messages, and those of `grpc.health.v1`.
//!
//! All of it is generated from `proto/`. It is a crate of its own so that whoever speaks to a server
//! (the load generator, the tests) has the same messages as the server.
#![forbid(unsafe_code)]

/// The package `inference`: requests and answers of `GRPCInferenceService`.
#[allow(
    missing_docs,
    clippy::all,
    reason = "generated; the comments are in the description"
)]
pub mod inference {
    include!(concat!(env!("OUT_DIR"), "/inference.rs"));
}

/// The package `grpc.health.v1`.
#[allow(
    missing_docs,
    clippy::all,
    reason = "generated; the comments are in the description"
)]
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// All descriptions, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The service of the protocol, as it stands in paths.
pub const SERVICE: &str = "inference.GRPCInferenceService";
/// The service that load balancers ask.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";
