//! The guests that this host was built with; `build.rs` makes their parts.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// The code: a core module that imports `env.memory`.
pub static CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/code.wasm"));
/// The memory of a runtime without a model: a core module that exports `memory`.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.wasm"));
/// Component sections that import the code module as `runtime`.
pub static IMPORT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/import.bin"));
/// Component sections after the image and the code: instances, lifted functions, exports.
pub static TAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tail.bin"));
/// A packed model without its modules: a component that imports them as `image` and `runtime`.
pub static SHELL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shell.wasm"));

/// The code of models whose graph the host runs: a core module that imports `env.memory`, and functions
/// of `wasi:nn`.
pub static NATIVE_CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-code.wasm"));
/// Its memory without a model: a core module that exports `memory`.
pub static NATIVE_IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-image.wasm"));
/// Component sections after both.
pub static NATIVE_TAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-tail.bin"));

/// The HTTP front: a component that imports a model and exports an HTTP handler.
pub static FRONT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/front.wasm"));

/// SHA-256 of [`CODE`], in hexadecimal.
pub static CODE_SHA256: LazyLock<String> = LazyLock::new(|| sha256(CODE));

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
