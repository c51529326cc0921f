//! The guests that this host was built with; `build.rs` makes their parts.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use wasm_encoder::{ComponentSection, CustomSection};

/// The code: a core module that imports `env.memory`.
pub static CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/code.wasm"));
/// The memory of a runtime without a model: a core module that exports `memory`.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.wasm"));
/// Component sections after the image and the code: instances, lifted functions, exports.
pub static TAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tail.bin"));
/// The code of models whose graph the host runs: a core module that imports `env.memory`, and functions
/// of `wasi:nn`.
pub static NATIVE_CODE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-code.wasm"));
/// Its memory without a model: a core module that exports `memory`.
pub static NATIVE_IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-image.wasm"));
/// Component sections after both.
pub static NATIVE_TAIL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/native-tail.bin"));

/// The HTTP front: a component that imports a model and exports an HTTP handler. Its last section is
/// the digest of all before it.
pub static FRONT: LazyLock<Vec<u8>> = LazyLock::new(|| signed(BARE_FRONT));

/// The same without that section: to this host a front like any other.
pub static BARE_FRONT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/front.wasm"));

/// The custom section by which a front is known: the SHA-256 of the component before it.
const FRONT_SECTION: &str = "glovebox:front";

fn signed(front: &[u8]) -> Vec<u8> {
    let mut component = front.to_vec();
    front_section(front).append_to_component(&mut component);
    component
}

fn front_section(front: &[u8]) -> CustomSection<'static> {
    CustomSection {
        name: FRONT_SECTION.into(),
        data: Sha256::digest(front).to_vec().into(),
    }
}

/// Whether a component is our HTTP front, unchanged since a Glovebox was built with it. Anybody can
/// write such a section; who does only asks for the model behind to be served without the front.
pub fn is_front(component: &[u8]) -> bool {
    let mut section = Vec::new();
    front_section(&[]).append_to_component(&mut section);
    let bare = component.len().checked_sub(section.len());
    bare.and_then(|bare| component.split_at_checked(bare))
        .is_some_and(|(bare, end)| {
            let mut expected = Vec::new();
            front_section(bare).append_to_component(&mut expected);
            end == expected
        })
}

/// SHA-256 of [`CODE`], in hexadecimal.
pub static CODE_SHA256: LazyLock<String> = LazyLock::new(|| sha256(CODE));

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
