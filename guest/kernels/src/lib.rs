//! What takes most of a model's time in WebAssembly.
//!
//! Products of matrices are offered to tract through the registry of tract-linalg ([`kernel`],
//! [`tile`], [`tier`]). Convolutions, pooling, normalisations, softmax, GELU and
//! the panels of products are functions on slices,
//! which the guest runtime puts into operators: [`convolution`], [`sweep`], [`response`],
//! [`normalization`], [`softmax`], [`curve`], [`panel`].
//!
//! The innermost loops are WebAssembly that the build script writes (`build/`). Elsewhere than on wasm
//! they are plain Rust, for tests.

#[cfg(all(
    target_family = "wasm",
    not(all(target_feature = "simd128", target_feature = "relaxed-simd"))
))]
compile_error!(
    "build with -C target-feature=+simd128,+relaxed-simd, as `glovebox new` writes it into .cargo/config.toml"
);

mod columns;
mod convolution;
mod curve;
mod exponential;
mod finish;
mod inner;
mod kernel;
mod lanes;
mod normalization;
mod panel;
mod parts;
mod quantized;
mod response;
mod row;
mod size;
mod softmax;
mod strip;
mod sweep;
mod tier;
mod tile;
mod window;
mod winograd;

pub use convolution::Filter;
pub use curve::Curve;
pub use finish::Finish;
pub use normalization::Normalization;
pub use panel::Rows;
pub use quantized::{Finish as FinishSums, Quantized, Requantized, Scaled, Shape, Summed, Weights};
pub use response::Response;
pub use size::WrongSize;
pub use softmax::softmax;
pub use sweep::{convolve_depthwise, pool_max, pool_mean};
pub use window::{Geometry, Window};

/// Keeps the kernels and their tier: they are reached only through the registry, and a linker drops
/// objects of which nobody names anything.
pub fn register() {
    std::hint::black_box((kernel::addresses(), tier::preferred as *const ()));
}
