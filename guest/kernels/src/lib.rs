//! Kernels for matrix products in WebAssembly, offered to tract through the registry of
//! tract-linalg.
//!
//! The innermost loops are WebAssembly that the build script writes (`build/`); around them, in
//! Rust, is what tract fuses with a product ([`tile`]) and which kernel is for which shape
//! ([`tier`]). Elsewhere than on wasm the innermost loops are plain Rust, for tests.

mod columns;
mod convolution;
mod finish;
mod inner;
mod kernel;
mod lanes;
mod response;
mod size;
mod sweep;
mod tier;
mod tile;
mod window;
mod winograd;

pub use convolution::Filter;
pub use finish::Finish;
pub use response::Response;
pub use size::WrongSize;
pub use sweep::{convolve_depthwise, pool_max, pool_mean};
pub use window::{Geometry, Window};

/// Keeps the kernels and their tier: they are reached only through the registry, and a linker drops
/// objects of which nobody names anything.
pub fn register() {
    std::hint::black_box((kernel::addresses(), tier::preferred as *const ()));
}
