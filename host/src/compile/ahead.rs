//! Reading a file before it is mapped.
#![allow(unsafe_code, reason = "maps a file for a moment")]

use std::fs::File;
use std::ptr::null_mut;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// What Linux maps at once where a file lies in memory in such pieces.
const HUGE_PAGE_BYTES: u64 = 2 << 20;

/// Has the kernel read a file in pages of 2 MiB. Those that `read` brings into memory are smaller, and an
/// instance has to map each of them by itself. Where a file system has no such pages, nothing is lost.
pub(super) fn read_ahead(file: &File) {
    let length = file.metadata().map_or(0, |about| about.len());
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|_| length >= HUGE_PAGE_BYTES)
    else {
        return;
    };
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
