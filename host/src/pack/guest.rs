//! The code around a model: the runtime of this host, the guest for graphs that the host runs, or a
//! guest of others.

use std::borrow::Cow;

use glovebox_split::{Parts, SplitError};
use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::model::runtime;

/// What packing calls, `pack.rs` of `guest/image`.
const ENTRIES: [&str; 4] = ["pack_reserve", "pack_stage", "pack_load", "pack_panic"];
/// What a guest exports whose functions for packing are those of this version.
const CONTRACT: &str = "pack_contract_1";

/// The code around a model, in the parts that a packed model has of it.
pub struct Guest {
    /// A core module that imports `env.memory` and has no data.
    pub(super) code: Cow<'static, [u8]>,
    /// Its memory without a model: a core module that exports `memory`.
    pub(super) image: Cow<'static, [u8]>,
    /// What stands behind both in a component.
    pub(super) tail: Cow<'static, [u8]>,
    /// Whose it is.
    pub(super) origin: Origin,
}

/// Whose a guest is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The runtime of this host.
    Runtime,
    /// Part of this host, too, for graphs that it runs.
    Native,
    /// Somebody's.
    Others,
}

/// Why a file is no guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It cannot be taken apart.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// It cannot be read.
    #[error("it is broken: {0}")]
    Read(#[from] BinaryReaderError),
    /// It cannot be packed.
    #[error(
        "it does not export {0}, which packing calls: make it with the crate glovebox-guest, and \
         glovebox_guest::export!; a component that holds its model already needs no packing"
    )]
    Entry(&'static str),
    /// It was made for another version of packing.
    #[error(
        "it was made with another version of glovebox-guest, whose contract for packing is not 1: build it \
         again with that of glovebox {}",
        env!("CARGO_PKG_VERSION")
    )]
    Contract,
}

impl Guest {
    /// The runtime of this host, which does what `model.toml` says.
    pub fn standard() -> Self {
        Self {
            code: runtime::CODE.into(),
            image: runtime::IMAGE.into(),
            tail: runtime::TAIL.into(),
            origin: Origin::Runtime,
        }
    }

    /// What does the same around a graph that the host runs.
    pub fn native() -> Self {
        Self {
            code: runtime::NATIVE_CODE.into(),
            image: runtime::NATIVE_IMAGE.into(),
            tail: runtime::NATIVE_TAIL.into(),
            origin: Origin::Native,
        }
    }

    /// A guest from a file, as cargo makes it with the crate `glovebox-guest`.
    ///
    /// # Errors
    /// The file is no guest, or one that imports something. Texts of it are as it has them.
    pub fn split(file: &[u8]) -> Result<Self, GuestError> {
        let Parts {
            code, image, tail, ..
        } = Parts::split(file, &[])?;
        let exports = exports(&code)?;
        if let Some(missing) = ENTRIES.iter().find(|entry| !exports.contains(entry)) {
            return Err(GuestError::Entry(missing));
        }
        if !exports.contains(&CONTRACT) {
            return Err(GuestError::Contract);
        }
        Ok(Self {
            code: code.into(),
            image: image.into(),
            tail: tail.into(),
            origin: Origin::Others,
        })
    }
}

/// The names of what a module exports.
fn exports(code: &[u8]) -> Result<Vec<&str>, BinaryReaderError> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(code) {
        if let Payload::ExportSection(exports) = payload? {
            for export in exports {
                names.push(export?.name);
            }
        }
    }
    Ok(names)
}
