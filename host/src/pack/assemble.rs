//! The parts of a packed model in their order.

use std::borrow::Cow;

use wasm_encoder::{Component, ComponentSection, CustomSection, RawSection};

use super::guest::Guest;
use crate::model::metadata::{self, Metadata};

/// The id of a core module's section in a component.
const CORE_MODULE: u8 = 1;

/// A component of metadata, image, code, and what connects them.
pub(super) fn component(metadata: &Metadata, image: &[u8], guest: &Guest) -> Vec<u8> {
    // Only strings, numbers and lists: there is nothing in it that JSON cannot write.
    let json = serde_json::to_vec(metadata).unwrap_or_default();
    let mut component = Component::HEADER.to_vec();
    component.reserve(json.len() + image.len() + guest.code.len() + guest.tail.len() + 64);
    CustomSection {
        name: metadata::SECTION.into(),
        data: Cow::Owned(json),
    }
    .append_to_component(&mut component);
    for module in [image, &guest.code] {
        RawSection {
            id: CORE_MODULE,
            data: module,
        }
        .append_to_component(&mut component);
    }
    component.extend_from_slice(&guest.tail);
    component
}
