//! The allocator: the system's, with large blocks in huge pages; and the same for guests' memories.
//!
//! A model is copied a few times between its file and its machine code, and fresh memory comes
//! from the kernel page by page: for 100 MB that takes three to five times as long as the copy
//! itself. In pages of 2 MiB it takes less.
#![allow(
    unsafe_code,
    reason = "the trait of allocators is unsafe; see each block"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::{fs, ptr};

use crate::limits;

/// The smallest page of the platform.
const PAGE_BYTES: usize = 4096;

/// The allocator of the program.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: every call goes to the system's allocator as it is, and what comes back is returned as it
// is; advice does not change what memory holds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what `System` asks for.
        prefer_huge_pages(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        prefer_huge_pages(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        prefer_huge_pages(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Asks for huge pages wherever this process has reserved so many bytes of addresses at once: where
/// an engine's pool of memories is. The kernel takes one where an instance can use all of it, so
/// images are not concerned, and small memories are not either.
pub(crate) fn prefer_huge_pages_in_pools(bytes: usize) {
    // Where the kernel does not say what is mapped, pages stay small.
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for pool in maps.lines().filter_map(mapping) {
        if pool.len() >= bytes {
            let start = ptr::with_exposed_provenance_mut(pool.start);
            // SAFETY: as below; nobody but the engine has so much.
            unsafe { libc::madvise(start, pool.len(), libc::MADV_HUGEPAGE) };
        }
    }
}

/// The addresses in a line of `/proc/self/maps`, such as `7f0000000000-7f0000001000 ---p ...`.
fn mapping(line: &str) -> Option<Range<usize>> {
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

/// A block of this size is a mapping of its own: the advice is about nothing else, and ends with it.
fn prefer_huge_pages(block: *mut u8, size: usize) -> *mut u8 {
    if size < limits::HUGE_BLOCK_BYTES || block.is_null() {
        return block;
    }
    let page = block.map_addr(|address| address & !(PAGE_BYTES - 1));
    // SAFETY: the pages are those of the block and of what the system keeps in front of it. The
    // advice changes how they are filled, not with what; whether it is taken is of no concern.
    unsafe { libc::madvise(page.cast(), size, libc::MADV_HUGEPAGE) };
    block
}
