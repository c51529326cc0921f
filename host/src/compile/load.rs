//! The one place where machine code is loaded.
#![allow(
    unsafe_code,
    reason = "loading machine code is trusting it; see each block"
)]

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::CompileError;
use super::cache::Verified;

/// Maps a component's machine code.
pub(super) fn component(engine: &Engine, code: &Verified) -> Result<Component, CompileError> {
    // SAFETY: `Verified` says that these bytes are unmodified output of this wasmtime, and cache
    // entries are replaced by renaming, never written to.
    unsafe { Component::deserialize_file(engine, code.path()) }.map_err(invalid)
}

/// Maps a module's machine code.
pub(super) fn module(engine: &Engine, code: Verified) -> Result<Module, CompileError> {
    // SAFETY: as above.
    unsafe { Module::deserialize_open_file(engine, code.into()) }.map_err(invalid)
}

fn invalid(error: wasmtime::Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}"))
}
