//! How a guest becomes an image: what the packer calls, what lays out memory, and the exports of
//! the component that comes of it. No engine: guests with one (`guest/sdk`) and the guest whose
//! graph the host runs (`guest/nn`) are made into images alike.
//!
//! Inside: `pack` is what the packer calls, `heap` lays out what is left in memory, `exports` passes
//! on what the host calls. On other targets than wasm there is neither `pack` nor `heap`: a guest's
//! own functions can be tested where they are written.
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "only the packer loads models")
)]

mod exports;
#[cfg(target_family = "wasm")]
mod heap;
mod loaded;
mod note;
#[cfg(target_family = "wasm")]
mod pack;
#[cfg(target_family = "wasm")]
mod seeds;

pub use loaded::Loaded;
pub use note::while_doing;

/// What [`export!`] expands to; nothing for people.
#[doc(hidden)]
pub mod private {
    pub use crate::exports::{Exports, bindings};
    #[cfg(target_family = "wasm")]
    pub use crate::pack::load_as;
}

/// Makes the crate a guest of this type, which is [`Loaded`]: exports the world `model-function`, and
/// what the packer calls. Once in a crate of type `cdylib`.
#[macro_export]
macro_rules! export {
    ($loaded:ty) => {
        #[allow(unsafe_code, reason = "exported by name")]
        const _: () = {
            use $crate::private::Exports;
            $crate::private::bindings::export_component!(
                Exports with_types_in $crate::private::bindings
            );

            /// Loads a model; see `pack.rs` of `glovebox-image`.
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
                    $crate::private::load_as::<$loaded>(
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
