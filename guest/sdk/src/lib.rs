//! For guests of one's own: the engine of packed models, with pre- and post-processing in Rust.
//!
//! A guest is the code of a packed model: a type with the trait [`Function`], exported by [`export!`].
//! `docs/guests.md` shows whole ones, and `guest/runtime` is one.
//!
//! Built for `wasm32-unknown-unknown` as a `cdylib`, it goes to `glovebox pack model.onnx --guest`.
//! Packing calls [`Function::load`] once and keeps the memory that this leaves: it is where each
//! request begins, in an instance of its own. Nothing that a request changes is seen by another.
//!
//! A guest imports nothing, so it has no clock, no files, no network and no randomness. A panic is
//! a trap that ends this one instance.
//!
//! Inside: `model` is the engine, `guest` puts a function around it, and the crate `glovebox-image`
//! makes an image of both.

mod config;
mod function;
mod graph;
mod guest;
mod model;
mod rows;

pub use config::Config;
pub use function::Function;
pub use glovebox_pipeline::{Answer, Pipeline, Prepared};
pub use glovebox_protocol::{CallError, Datatype, InferRequest, Signature, Tensor, TensorSpec};
pub use model::Model;

/// What [`export!`] expands to; nothing for people.
#[doc(hidden)]
pub mod private {
    pub use crate::guest::Guest;
    pub use glovebox_image as image;
}

/// Makes the crate a guest with this [`Function`]: exports the world `model-function`, and what the
/// packer calls. Once in a crate of type `cdylib`.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        $crate::private::image::export!($crate::private::Guest<$function>);
    };
}
