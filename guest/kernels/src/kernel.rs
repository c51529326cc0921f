//! Kernels as tract takes them: a program of fused operations on one tile.
#![allow(
    unsafe_code,
    reason = "tract passes addresses, and says how much is there"
)]

use std::sync::LazyLock;

use tract_linalg::isa::{Arch, Isa, IsaReq};
use tract_linalg::mmm::{DynKernel, FusedKerSpec};
use tract_linalg::mmm_routines::MmmRoutine;
use tract_linalg::pack::Packing;

use crate::inner::{self, Inner};
use crate::tile::Tile;

/// Bytes to which panels are aligned.
const ALIGNMENT_BYTES: usize = 16;
/// Steps of `k` after which the next part of a tile has its turn: so much of a panel of A and of B
/// stays in the first cache of a core (16 + 8 KiB of 32).
const STEPS_IN_CACHE: usize = 256;
const ROWS_OF_TILE: usize = 4;

/// Why a kernel refuses an operation, as tract reports it.
const UNKNOWN_OPERATION: isize = 1;

macro_rules! kernels {
    ($($name:ident = $title:literal, $rows:literal x $columns:literal by $inner:ident;)*) => {
        /// Where they are.
        pub(crate) fn addresses() -> [*const (); 4] {
            [$((&raw const $name).cast()),*]
        }

        $(
            static $name: LazyLock<DynKernel<$rows, $columns, f32>> = LazyLock::new(|| {
                let run = |program: &[FusedKerSpec<f32>]| {
                    // SAFETY: tract's promise to a kernel.
                    unsafe { run::<$rows, $columns>(program, inner::$inner) }
                };
                kernel::<$rows, $columns>($title, run)
            });
            inventory::submit! { MmmRoutine { make: || $name.mmm() } }
        )*
    };
}

kernels! {
    GLOVEBOX_4X8 = "glovebox_4x8", 4 x 8 by gemm_4x8_4;
    GLOVEBOX_8X8 = "glovebox_8x8", 8 x 8 by gemm_4x8_8;
    GLOVEBOX_16X8 = "glovebox_16x8", 16 x 8 by gemm_4x8_16;
    GLOVEBOX_16X1 = "glovebox_16x1", 16 x 1 by gemv_16;
}

fn kernel<const ROWS: usize, const COLUMNS: usize>(
    name: &str,
    run: fn(&[FusedKerSpec<f32>]) -> isize,
) -> DynKernel<ROWS, COLUMNS, f32> {
    let a = f32::packing(ROWS).align(ALIGNMENT_BYTES);
    let b = f32::packing(COLUMNS).align(ALIGNMENT_BYTES);
    let mut kernel = DynKernel::new(name, run, a, b).with_boost(|| 1);
    if cfg!(target_family = "wasm") {
        kernel.arch = Some(Arch::Wasm32Simd128);
        kernel = kernel.with_isa(IsaReq::ANY.needing(&[Isa::Wasm32RelaxedSimd]));
    }
    kernel.row_major_store = true;
    kernel
}

/// Runs a program. 0: it ran; else why not.
///
/// # Safety
/// The program's pointers are to what tract says they are, for a tile of this size.
unsafe fn run<const ROWS: usize, const COLUMNS: usize>(
    program: &[FusedKerSpec<f32>],
    inner: Inner,
) -> isize {
    let mut tile = Tile::<ROWS, COLUMNS>::zero();
    for operation in program {
        match *operation {
            FusedKerSpec::Done => return 0,
            FusedKerSpec::AddMatMul { k, pa, pb, .. } => {
                // SAFETY: the caller's promise.
                unsafe { multiply(&mut tile, k, (pa.cast(), pb.cast()), inner) }
            }
            // SAFETY: the caller's promise.
            _ => {
                if !unsafe { tile.apply(operation) } {
                    return UNKNOWN_OPERATION;
                }
            }
        }
    }
    0
}

/// Adds a product to a tile, four rows at a time (or all, if it is a column).
#[inline(always)]
unsafe fn multiply<const ROWS: usize, const COLUMNS: usize>(
    tile: &mut Tile<ROWS, COLUMNS>,
    k: usize,
    (a, b): (*const f32, *const f32),
    inner: Inner,
) {
    let rows_at_once = if COLUMNS == 1 { ROWS } else { ROWS_OF_TILE };
    let mut from = 0;
    while from < k {
        let steps = STEPS_IN_CACHE.min(k - from);
        for row in (0..ROWS).step_by(rows_at_once) {
            // SAFETY: panels of A have `ROWS` values a step, panels of B `COLUMNS`.
            unsafe {
                let (a, b) = (a.add(from * ROWS + row), b.add(from * COLUMNS));
                let c = tile.row(row);
                inner(steps, a, b, c);
            }
        }
        from += steps;
    }
}
