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
//! Inside: `pack` is what the packer calls, `heap` lays out what is left in
//! memory, `exports` passes on what the host calls. On other targets than wasm there is neither
//! `pack` nor `heap`: a guest's own functions can be tested where they are written.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "only the packer loads models")
)]

mod config;
mod exports;
mod function;
mod graph;
#[cfg(target_family = "wasm")]
mod heap;
mod model;
mod note;
#[cfg(target_family = "wasm")]
mod pack;
mod rows;
#[cfg(target_family = "wasm")]
mod seeds;
mod weights;

pub use config::Config;
pub use function::Function;
pub use glovebox_pipeline::{Answer, Pipeline, Prepared};
pub use glovebox_protocol::{CallError, Datatype, InferRequest, Signature, Tensor, TensorSpec};
pub use model::Model;

/// What [`export!`] expands to; nothing for people.
#[doc(hidden)]
pub mod private {
    pub use crate::exports::{Exports, bindings};
    #[cfg(target_family = "wasm")]
    pub use crate::pack::load_as;
}

/// Makes the crate a guest with this [`Function`]: exports the world `model-function`, and what the
/// packer calls. Once in a crate of type `cdylib`.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        #[allow(unsafe_code, reason = "exported by name")]
        const _: () = {
            use $crate::private::Exports;
            $crate::private::bindings::export_component!(
                Exports with_types_in $crate::private::bindings
            );

            /// Loads a model; see `pack.rs` of `glovebox-guest`.
            ///
            /// # Safety
            /// As `load_as` says.
            #[cfg(target_family = "wasm")]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn pack_load(
                model: *const u8,
                model_bytes: usize,
                config: *const u8,
                config_bytes: usize,
                plan: *const u32,
                plan_words: usize,
                warm: u32,
            ) -> u64 {
                // SAFETY: the caller's promise is passed on.
                unsafe {
                    $crate::private::load_as::<$function>(
                        (model, model_bytes),
                        (config, config_bytes),
                        (plan, plan_words),
                        warm,
                    )
                }
            }
        };
    };
}
