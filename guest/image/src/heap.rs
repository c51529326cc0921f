//! The guest's heap, laid out so that a packed model's image holds nothing but the model.
//!
//! Loading a model leaves garbage everywhere: the parsed file, unoptimised weights, the holes
//! between them. So a model is loaded twice, in two fresh instances:
//!
//! 1. *Survey*: every block carries a header with its serial number. What is alive at the end is
//!    the model; the serial numbers of those blocks are the [`Plan`].
//! 2. *Place*: the same load again. Blocks named by the plan go to the kept region, one after
//!    the other; all others go to scratch memory above it, which the packer cuts off.
//!
//! That works because a guest without imports is deterministic. It is checked all the same:
//! after placing, no scratch block may be alive.
//!
//! From then on the heap *serves*: new blocks come from fresh memory above the kept region, of which
//! the packer leaves some, so that most requests need not grow the memory. Freeing a kept block does
//! nothing, for the instance ends with the request.
#![allow(unsafe_code, reason = "a global allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::ptr::null_mut;

use dlmalloc::Dlmalloc;

use crate::seeds;

const WASM_PAGE: usize = 65536;
/// Blocks of at least this size lie apart from the small ones: a request writes to small blocks
/// (reference counts), and each page written to costs a copy-on-write fault.
const LARGE: usize = 4096;
/// The huge pages of most hosts, of which a host may give one for a part of the memory that it covers.
const HUGE_PAGE: usize = 2 << 20;
/// So much memory is taken in huge pages, such as a picture's tensor: instead of 64 page faults and more it
/// costs one. For less, a huge page would be cleared for a small part of it.
const TAKEN_IN_HUGE_PAGES: usize = 256 << 10;
/// Room for the blocks of start-up, before anything is tracked.
const BOOT_BYTES: usize = 4096;

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(State::new()));

struct Heap(UnsafeCell<State>);

// SAFETY: wasm without the threads proposal has one thread.
unsafe impl Sync for Heap {}

/// Where each surviving block of a load goes: the bytes of small blocks, the bytes of the whole
/// kept region, then the serial numbers of the survivors in ascending order.
pub(crate) type Plan = &'static [u32];

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Boot,
    Survey,
    Place,
    Serve,
}

struct State {
    phase: Phase,
    boot: [u8; BOOT_BYTES],
    boot_used: usize,
    scratch: Dlmalloc<Pages>,
    serve: Dlmalloc<Pages>,
    /// How many blocks were tracked so far.
    serial: u32,
    /// Survey: the tracked blocks that are alive, in order of allocation.
    oldest: *mut Header,
    newest: *mut Header,
    /// Place: the kept region, its two cursors and the survivors still to come.
    kept: Range<usize>,
    small: usize,
    large: usize,
    survivors: Plan,
    /// Place: tracked blocks alive outside the kept region.
    strays: u32,
}

/// Stands before each block while surveying.
struct Header {
    older: *mut Header,
    newer: *mut Header,
    serial: u32,
    layout: Layout,
}

/// Makes room for the kept region. Call first of all in a fresh instance.
pub(crate) fn reserve(bytes: usize) {
    let state = state();
    if let Some(start) = grow(bytes) {
        state.kept = start..start + bytes;
    }
}

/// A block that is never tracked, hence never kept; null when memory is exhausted.
pub(crate) fn stage(bytes: usize) -> *mut u8 {
    // SAFETY: 16 is a power of two.
    unsafe { state().scratch.malloc(bytes, 16) }
}

/// Starts tracking: surveys without a plan, places with one.
pub(crate) fn begin(plan: Plan) {
    seeds::sow();
    let state = state();
    match plan {
        [small_bytes, _, survivors @ ..] => {
            state.small = state.kept.start;
            state.large = (state.kept.start + *small_bytes as usize).next_multiple_of(LARGE);
            state.survivors = survivors;
            state.phase = Phase::Place;
        }
        _ => state.phase = Phase::Survey,
    }
}

/// Ends a survey: the plan of what is alive, or `None` when memory is exhausted.
pub(crate) fn survey() -> Option<Plan> {
    let state = state();
    state.phase = Phase::Boot;
    let (mut count, mut small, mut large) = (0, 0usize, 0usize);
    for header in state.alive() {
        let cursor = if header.layout.size() < LARGE {
            &mut small
        } else {
            &mut large
        };
        *cursor = cursor.next_multiple_of(header.layout.align()) + header.layout.size();
        count += 1;
    }
    let words = stage((count + 2) * 4).cast::<u32>();
    if words.is_null() {
        return None;
    }
    // SAFETY: the block has room for `count + 2` words and is aligned to 16 bytes.
    unsafe {
        *words = small as u32;
        *words.add(1) = (small.next_multiple_of(LARGE) + large) as u32;
        for (index, header) in state.alive().enumerate() {
            *words.add(index + 2) = header.serial;
        }
        Some(std::slice::from_raw_parts(words, count + 2))
    }
}

/// Where the image ends: at the end of the kept region.
pub(crate) fn image_end() -> usize {
    state().kept.end
}

/// Ends placing; from now on the heap serves. Returns how many blocks are alive outside of the
/// image, which must be none.
pub(crate) fn seal() -> u32 {
    let state = state();
    state.phase = Phase::Serve;
    state.scratch = Dlmalloc::new_with_allocator(Pages::behind_all());
    state.serve = Dlmalloc::new_with_allocator(Pages::from(state.kept.end));
    state.survivors = &[];
    state.strays
}

/// How much memory behind the image the heap has taken to serve.
pub(crate) fn served() -> usize {
    let state = state();
    let next = state.serve.allocator().next.get();
    next.map_or(0, |next| next.saturating_sub(state.kept.end))
}

fn state() -> &'static mut State {
    // SAFETY: one thread, and no caller holds the reference across an allocation.
    unsafe { &mut *HEAP.0.get() }
}

impl State {
    const fn new() -> Self {
        Self {
            phase: Phase::Boot,
            boot: [0; BOOT_BYTES],
            boot_used: 0,
            scratch: Dlmalloc::new_with_allocator(Pages::behind_all()),
            serve: Dlmalloc::new_with_allocator(Pages::behind_all()),
            serial: 0,
            oldest: null_mut(),
            newest: null_mut(),
            kept: 0..0,
            small: 0,
            large: 0,
            survivors: &[],
            strays: 0,
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Header> {
        // SAFETY: the list holds headers of blocks that are alive.
        let step = |at: *mut Header| unsafe { at.as_ref() };
        std::iter::successors(step(self.oldest), move |header| step(header.newer))
    }

    unsafe fn alloc(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: dlmalloc gets a valid size and alignment from a `Layout`.
        unsafe {
            match self.phase {
                Phase::Boot => self.alloc_boot(layout),
                Phase::Survey => self.alloc_tracked(layout),
                Phase::Place => self.alloc_placed(layout),
                Phase::Serve => self.serve.malloc(layout.size(), layout.align()),
            }
        }
    }

    fn alloc_boot(&mut self, layout: Layout) -> *mut u8 {
        let base = self.boot.as_mut_ptr();
        let start =
            (base as usize + self.boot_used).next_multiple_of(layout.align()) - base as usize;
        self.boot_used = start + layout.size();
        if self.boot_used > BOOT_BYTES {
            null_mut()
        } else {
            base.wrapping_add(start)
        }
    }

    unsafe fn alloc_tracked(&mut self, layout: Layout) -> *mut u8 {
        let serial = self.next_serial();
        let offset = header_offset(layout);
        // SAFETY: the block is `offset` larger than asked for, and `offset` has room for a header.
        unsafe {
            let raw = self.scratch.malloc(
                offset + layout.size(),
                layout.align().max(align_of::<Header>()),
            );
            if raw.is_null() {
                return raw;
            }
            let block = raw.add(offset);
            let header = block.cast::<Header>().sub(1);
            header.write(Header {
                older: self.newest,
                newer: null_mut(),
                serial,
                layout,
            });
            match self.newest.as_mut() {
                Some(newest) => newest.newer = header,
                None => self.oldest = header,
            }
            self.newest = header;
            block
        }
    }

    unsafe fn alloc_placed(&mut self, layout: Layout) -> *mut u8 {
        let serial = self.next_serial();
        match self.survivors {
            [next, rest @ ..] if *next == serial => {
                self.survivors = rest;
                self.alloc_kept(layout)
            }
            _ => {
                self.strays += 1;
                // SAFETY: as in `alloc`.
                unsafe { self.scratch.malloc(layout.size(), layout.align()) }
            }
        }
    }

    fn alloc_kept(&mut self, layout: Layout) -> *mut u8 {
        let cursor = if layout.size() < LARGE {
            &mut self.small
        } else {
            &mut self.large
        };
        let start = cursor.next_multiple_of(layout.align());
        *cursor = start + layout.size();
        if *cursor > self.kept.end {
            null_mut()
        } else {
            start as *mut u8
        }
    }

    fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    unsafe fn dealloc(&mut self, block: *mut u8, layout: Layout) {
        if self.is_permanent(block) {
            return;
        }
        // SAFETY: the block came from the same phase's allocator: phases only move forward, and
        // no tracked block outlives its phase outside the kept region (`seal` counts them).
        unsafe {
            match self.phase {
                Phase::Boot => {}
                Phase::Survey => self.dealloc_tracked(block, layout),
                Phase::Place => {
                    self.strays -= 1;
                    self.scratch.free(block, layout.size(), layout.align());
                }
                Phase::Serve => self.serve.free(block, layout.size(), layout.align()),
            }
        }
    }

    unsafe fn dealloc_tracked(&mut self, block: *mut u8, layout: Layout) {
        let offset = header_offset(layout);
        // SAFETY: the block was made by `alloc_tracked` with the same layout.
        unsafe {
            let header = block.cast::<Header>().sub(1).read();
            match header.older.as_mut() {
                Some(older) => older.newer = header.newer,
                None => self.oldest = header.newer,
            }
            match header.newer.as_mut() {
                Some(newer) => newer.older = header.older,
                None => self.newest = header.older,
            }
            let align = layout.align().max(align_of::<Header>());
            self.scratch
                .free(block.sub(offset), offset + layout.size(), align);
        }
    }

    /// Blocks of start-up and of the image are never freed.
    fn is_permanent(&self, block: *mut u8) -> bool {
        self.boot.as_ptr_range().contains(&block.cast_const())
            || self.kept.contains(&(block as usize))
    }
}

fn header_offset(layout: Layout) -> usize {
    size_of::<Header>().next_multiple_of(layout.align())
}

// SAFETY: every block is at least as large and as aligned as asked for, and is handed out once.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { state().alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { state().dealloc(block, layout) }
    }
}

/// Pages of the linear memory, which only grows.
struct Pages {
    /// Where memory begins that is there and unused; `None` if it would have to grow first.
    next: Cell<Option<usize>>,
}

impl Pages {
    /// Pages behind all that there are.
    const fn behind_all() -> Self {
        Self {
            next: Cell::new(None),
        }
    }

    /// Pages behind the image, which end where the packer lets the memory end.
    const fn from(image_end: usize) -> Self {
        Self {
            next: Cell::new(Some(image_end.next_multiple_of(WASM_PAGE))),
        }
    }

    /// Where at least so many bytes begin and end.
    fn take(&self, bytes: usize) -> Option<Range<usize>> {
        let Some(next) = self.next.get() else {
            let start = grow(bytes)?;
            return Some(start..start + bytes.next_multiple_of(WASM_PAGE));
        };
        let page = match bytes < TAKEN_IN_HUGE_PAGES {
            true => WASM_PAGE,
            false => HUGE_PAGE,
        };
        let start = next.checked_next_multiple_of(page)?;
        let end = start.checked_add(bytes)?.checked_next_multiple_of(page)?;
        let missing = (end / WASM_PAGE).saturating_sub(core::arch::wasm32::memory_size::<0>());
        if missing > 0 {
            grow(missing * WASM_PAGE)?;
        }
        self.next.set(Some(end));
        Some(start..end)
    }
}

// SAFETY: nobody else takes memory while the heap serves; what `take` returns is fresh and zeroed,
// and nothing is ever given back.
unsafe impl dlmalloc::Allocator for Pages {
    fn alloc(&self, bytes: usize) -> (*mut u8, usize, u32) {
        match self.take(bytes) {
            Some(taken) => (taken.start as *mut u8, taken.len(), 0),
            None => (null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        WASM_PAGE
    }
}

/// Grows the memory by at least `bytes`; the address where the fresh memory starts.
fn grow(bytes: usize) -> Option<usize> {
    let start = core::arch::wasm32::memory_grow::<0>(bytes.div_ceil(WASM_PAGE));
    (start != usize::MAX).then(|| start * WASM_PAGE)
}
