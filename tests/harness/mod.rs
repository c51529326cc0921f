//! What the tests drive Glovebox with. Nothing here asserts anything about a scenario.

pub(crate) mod bodies;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod damage;
pub(crate) mod files;
pub(crate) mod grpc;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod hostile;
pub(crate) mod http2;
pub(crate) mod media;
pub(crate) mod once;
pub(crate) mod onnx;
pub(crate) mod origin;
pub(crate) mod packing;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod project;
pub(crate) mod python;
pub(crate) mod wire;
