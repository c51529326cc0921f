//! What stands around a model's graph: how media becomes tensors ([`input`]), and how tensors become
//! an answer that a person can read ([`output`]), both as `model.toml` says.
//!
//! No engine and no I/O: the packed model's runtime uses it, and so can every other guest.
#![forbid(unsafe_code)]

mod input;
mod media;
mod output;
mod pipeline;
mod rows;
mod scaling;

pub use glovebox_protocol::CallError;
pub use input::{Lengths, Probe};
pub use media::essence;
pub use output::Answer;
pub use pipeline::{About, Pipeline, Prepared};
pub use rows::TokenRows;
