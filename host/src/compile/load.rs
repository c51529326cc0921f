//! The one place where machine code is loaded.
#![allow(
    unsafe_code,
    reason = "loading machine code is trusting it; see each block"
)]

use std::fs::File;
use std::ptr::null_mut;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::CompileError;
use super::cache::Verified;
use crate::limits;

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

/// Has the kernel read a file in pages of 2 MiB before it is mapped. Those that `read` brings into memory
/// are smaller, and an instance has to map each of them by itself. Where a file system has no such pages,
/// nothing is lost.
pub(super) fn read_ahead(file: &File) {
    let bytes = file.metadata().map_or(0, |about| about.len());
    let length = usize::try_from(bytes).unwrap_or(0);
    if bytes < limits::HUGE_PAGE.0 {
        return;
    }
    let (read, shared) = (ProtFlags::READ, MapFlags::SHARED);
    // SAFETY: nothing points into this mapping, and nobody looks at it.
    unsafe {
        let Ok(at) = mmap(null_mut(), length, read, shared, file, 0) else {
            return;
        };
        let _ = madvise(at, length, Advice::LinuxHugepage)
            .and_then(|()| madvise(at, length, Advice::LinuxPopulateRead));
        let _ = munmap(at, length);
    }
}

fn invalid(error: wasmtime::Error) -> CompileError {
    CompileError::Invalid(format!("{error:#}"))
}
