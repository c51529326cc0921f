//! Copies of rows, four numbers at a time.
//!
//! Where the guest is compiled in many units, an iterator over numbers stays a loop over single ones, and
//! a closure that is used twice stays a call.
#![allow(unsafe_code, reason = "works on addresses that the caller vouches for")]

use crate::lanes::{LANES, Lanes};

/// Copies numbers that are `STRIDE` from one another, or `stride` if `STRIDE` is 0.
///
/// # Safety
/// There are `count`, and there is room for them.
#[inline(always)]
pub(crate) unsafe fn copy<const STRIDE: usize>(
    from: *const f32,
    stride: usize,
    to: *mut f32,
    count: usize,
) {
    let stride = if STRIDE == 0 { stride } else { STRIDE };
    // SAFETY: the caller's promise.
    unsafe {
        // No loops: compilers make calls of those.
        if count < LANES {
            for at in [0, 1, 2] {
                if at < count {
                    *to.add(at) = *from.add(at * stride);
                }
            }
            return;
        }
        let mut at = 0;
        // The engine may stop the guest at the head of each loop.
        while at + 4 * LANES <= count {
            copy_four::<STRIDE>(from, stride, to, at);
            copy_four::<STRIDE>(from, stride, to, at + LANES);
            copy_four::<STRIDE>(from, stride, to, at + 2 * LANES);
            copy_four::<STRIDE>(from, stride, to, at + 3 * LANES);
            at += 4 * LANES;
        }
        if at + 2 * LANES <= count {
            copy_four::<STRIDE>(from, stride, to, at);
            copy_four::<STRIDE>(from, stride, to, at + LANES);
            at += 2 * LANES;
        }
        if at + LANES <= count {
            copy_four::<STRIDE>(from, stride, to, at);
        }
        // The last four, though some of them may have been copied before.
        copy_four::<STRIDE>(from, stride, to, count - LANES);
    }
}

/// Copies the four numbers from `at` on.
///
/// # Safety
/// They are there, and there is room for them.
#[inline(always)]
unsafe fn copy_four<const STRIDE: usize>(from: *const f32, stride: usize, to: *mut f32, at: usize) {
    // SAFETY: the caller's promise.
    unsafe { every::<STRIDE>(from.add(at * stride), stride).store(to.add(at)) };
}

/// Four numbers, so far from one another.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn every<const STRIDE: usize>(from: *const f32, stride: usize) -> Lanes {
    // SAFETY: the caller's promise.
    unsafe {
        match STRIDE {
            1 => Lanes::load(from),
            2 => Lanes::even_odd(Lanes::load(from), Lanes::load(from.add(LANES - 1))),
            _ => Lanes::of([
                *from,
                *from.add(stride),
                *from.add(2 * stride),
                *from.add(3 * stride),
            ]),
        }
    }
}
