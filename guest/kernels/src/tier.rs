//! Which kernel is for which shape.

use tract_data::prelude::DatumType;
use tract_linalg::isa::{Arch, IsaSet};
use tract_linalg::mmm::{Query, Suitable};
use tract_linalg::mmm_tiers::MmmTier;

inventory::submit! {
    MmmTier {
        arch: Some(Arch::Wasm32Simd128),
        // Above the tier of tract itself.
        precedence: 2,
        name: "glovebox",
        applies: |_| true,
        preferred,
    }
}

/// The kernel for a product; nothing for those that tract serves as well.
pub(crate) fn preferred(
    _: &IsaSet,
    accumulator: DatumType,
    query: &Query,
    _: &[Suitable],
) -> Option<&'static str> {
    if accumulator != DatumType::F32 {
        return None;
    }
    match (query.m, query.n) {
        // A few rows are as well served by tract's own.
        (Some(0..=8), Some(1)) => None,
        (_, Some(1)) => Some("glovebox_16x1"),
        (Some(rows), _) => Some(by_rows(rows)),
        (None, _) => Some("glovebox_16x8"),
    }
}

/// The largest tile that does not compute many rows in vain.
fn by_rows(rows: usize) -> &'static str {
    let padded = |tile: usize| rows.div_ceil(tile) * tile;
    // One row in twelve is the price of a smaller tile.
    let is_worth = |tile: usize, smaller: usize| padded(tile) * 12 <= padded(smaller) * 13;
    if is_worth(16, 8) {
        "glovebox_16x8"
    } else if is_worth(8, 4) {
        "glovebox_8x8"
    } else {
        "glovebox_4x8"
    }
}
