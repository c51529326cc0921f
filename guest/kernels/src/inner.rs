//! The innermost loops: those of the build script on wasm, plain Rust elsewhere.
#![allow(unsafe_code, reason = "works on addresses that tract passes")]

/// `c += a * b` for `k` columns of a panel of A and rows of a panel of B.
///
/// # Safety
/// `a` and `b` hold `k` steps of their panels; `c` has room for the whole result.
pub(crate) type Inner = unsafe extern "C" fn(k: usize, a: *const f32, b: *const f32, c: *mut f32);

#[cfg(target_family = "wasm")]
unsafe extern "C" {
    pub(crate) fn glovebox_gemm_4x8_4(k: usize, a: *const f32, b: *const f32, c: *mut f32);
    pub(crate) fn glovebox_gemm_4x8_8(k: usize, a: *const f32, b: *const f32, c: *mut f32);
    pub(crate) fn glovebox_gemm_4x8_16(k: usize, a: *const f32, b: *const f32, c: *mut f32);
    pub(crate) fn glovebox_gemv_16(k: usize, a: *const f32, b: *const f32, c: *mut f32);
}

#[cfg(not(target_family = "wasm"))]
mod portable {
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
        glovebox_gemm_4x8_4 = 4 x 8, 4;
        glovebox_gemm_4x8_8 = 4 x 8, 8;
        glovebox_gemm_4x8_16 = 4 x 8, 16;
        glovebox_gemv_16 = 16 x 1, 16;
    }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use portable::*;
