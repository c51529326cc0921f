//! The innermost loops: those of the build script on wasm, plain Rust elsewhere.
#![allow(unsafe_code, reason = "works on addresses that tract passes")]

/// `c += a * b` for `k` columns of a panel of A and rows of a panel of B.
///
/// # Safety
/// `a` and `b` hold `k` steps of their panels; `c` has room for the whole result.
pub(crate) type Inner = unsafe extern "C" fn(k: usize, a: *const f32, b: *const f32, c: *mut f32);

/// A place of a window.
#[repr(C)]
pub(crate) struct Tap {
    /// How far it is from the window's first.
    pub(crate) bytes: usize,
    /// Its number in the filter.
    pub(crate) weight: f32,
}

/// Windows of a block.
pub(crate) const BLOCK: usize = 32;
/// Places that are seen at once.
pub(crate) const TAPS: usize = 9;

/// Windows that begin at each number of an image, side by side.
#[repr(C)]
pub(crate) struct Run {
    /// How many places are seen, one to [`TAPS`].
    pub(crate) count: usize,
    pub(crate) taps: *const Tap,
    pub(crate) image: *const f32,
    /// What the sums of a block begin with, and how many bytes behind it is that of the next block.
    pub(crate) begin: *const f32,
    pub(crate) begin_step: usize,
    pub(crate) sums: *mut f32,
    /// How many blocks there are, one at least.
    pub(crate) blocks: usize,
    /// No sum ends below it.
    pub(crate) least: f32,
    /// No sum ends above it.
    pub(crate) most: f32,
}

/// What places of each window add to its sum.
///
/// # Safety
/// There is room for the sums of all blocks, and behind each place of the first window are as many
/// numbers.
pub(crate) type Sweeping = unsafe extern "C" fn(run: &Run);

#[cfg(target_family = "wasm")]
mod written {
    use super::Run;
    use crate::lanes::{LANES, Lanes};

    const COLUMNS: usize = 8;
    /// What the functions of the build script do at most in one call.
    const STEPS: usize = 128;

    /// Functions of `build/gemm.rs`, and their diagonals as rows.
    macro_rules! products {
        ($($name:ident: $written:ident, $rows:literal;)*) => {
            $(pub(crate) unsafe extern "C" fn $name(k: usize, a: *const f32, b: *const f32, c: *mut f32) {
                unsafe extern "C" {
                    fn $written(k: usize, a: *const f32, b: *const f32, diagonals: *mut f32);
                }
                let mut diagonals = [Lanes::splat(0.0); COLUMNS];
                // SAFETY: the caller's promise; there are as many diagonals as are written.
                unsafe {
                    let sums = diagonals.as_mut_ptr().cast();
                    in_parts(k, (a, $rows), (b, COLUMNS), |k, a, b| $written(k, a, b, sums));
                    add_rows(&diagonals, c);
                }
            })*
        };
    }

    products! {
        gemm_4x8_4: glovebox_gemm_4x8_4, 4;
        gemm_4x8_8: glovebox_gemm_4x8_8, 8;
        gemm_4x8_16: glovebox_gemm_4x8_16, 16;
    }

    pub(crate) unsafe extern "C" fn gemv_16(k: usize, a: *const f32, b: *const f32, c: *mut f32) {
        unsafe extern "C" {
            fn glovebox_gemv_16(k: usize, a: *const f32, b: *const f32, c: *mut f32);
        }
        // SAFETY: the caller's promise.
        unsafe { in_parts(k, (a, 16), (b, 1), |k, a, b| glovebox_gemv_16(k, a, b, c)) }
    }

    /// Calls a function for [`STEPS`] steps at a time. Each panel has so many numbers a step.
    ///
    /// # Safety
    /// The panels have `k` steps.
    #[inline(always)]
    unsafe fn in_parts(
        k: usize,
        (a, rows): (*const f32, usize),
        (b, columns): (*const f32, usize),
        call: impl Fn(usize, *const f32, *const f32),
    ) {
        let mut from = 0;
        while from < k {
            // SAFETY: the caller's promise.
            unsafe {
                call(
                    STEPS.min(k - from),
                    a.add(from * rows),
                    b.add(from * columns),
                );
            }
            from += STEPS;
        }
    }

    unsafe extern "C" {
        #[link_name = "glovebox_sweep_max"]
        pub(crate) fn sweep_max(run: &Run);
        #[link_name = "glovebox_sweep_sum"]
        pub(crate) fn sweep_sum(run: &Run);
    }

    #[inline(always)]
    unsafe fn add_rows(diagonals: &[Lanes; COLUMNS], c: *mut f32) {
        let [t0, u0, t1, u1, t2, u2, t3, u3] = *diagonals;
        for (column, turns) in [(0, [t0, t1, t2, t3]), (LANES, [u0, u1, u2, u3])] {
            for (row, sum) in Lanes::rows_of(turns).into_iter().enumerate() {
                // SAFETY: there are four rows of C.
                unsafe {
                    let at = c.add(row * COLUMNS + column);
                    Lanes::load(at).add(sum).store(at);
                }
            }
        }
    }
}

#[cfg(target_family = "wasm")]
pub(crate) use written::*;

#[cfg(not(target_family = "wasm"))]
mod portable {
    use super::{BLOCK, Run};

    unsafe fn sweep(run: &Run, step: impl Fn(f32, f32, f32) -> f32) {
        for window in 0..run.blocks * BLOCK {
            let (block, at) = (window / BLOCK, window % BLOCK);
            // SAFETY: the caller's promise.
            unsafe {
                let mut sum = *run.begin.byte_add(block * run.begin_step).add(at);
                for tap in 0..run.count {
                    let tap = &*run.taps.add(tap);
                    sum = step(sum, *run.image.byte_add(tap.bytes).add(window), tap.weight);
                }
                let sum = if sum < run.least { run.least } else { sum };
                *run.sums.add(window) = if sum > run.most { run.most } else { sum };
            }
        }
    }

    pub(crate) unsafe extern "C" fn sweep_max(run: &Run) {
        // SAFETY: the caller's promise.
        unsafe { sweep(run, |sum, value, _| if sum < value { value } else { sum }) }
    }

    pub(crate) unsafe extern "C" fn sweep_sum(run: &Run) {
        // SAFETY: the caller's promise.
        unsafe { sweep(run, |sum, value, weight| sum + value * weight) }
    }

    /// `c[ROWS][COLUMNS] += a * b`, where a step of A is `STRIDE` values.
    unsafe fn multiply<const ROWS: usize, const COLUMNS: usize, const STRIDE: usize>(
        k: usize,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
    ) {
        for step in 0..k {
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    // SAFETY: the caller's promise about `a`, `b` and `c`.
                    unsafe {
                        *c.add(row * COLUMNS + column) +=
                            *a.add(step * STRIDE + row) * *b.add(step * COLUMNS + column);
                    }
                }
            }
        }
    }

    macro_rules! portable {
        ($($name:ident = $rows:literal x $columns:literal, $stride:literal;)*) => {
            $(pub(crate) unsafe extern "C" fn $name(k: usize, a: *const f32, b: *const f32, c: *mut f32) {
                // SAFETY: the caller's promise.
                unsafe { multiply::<$rows, $columns, $stride>(k, a, b, c) }
            })*
        };
    }

    portable! {
        gemm_4x8_4 = 4 x 8, 4;
        gemm_4x8_8 = 4 x 8, 8;
        gemm_4x8_16 = 4 x 8, 16;
        gemv_16 = 16 x 1, 16;
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use portable::*;
