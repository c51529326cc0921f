//! The innermost loop: that of the build script on wasm, plain Rust elsewhere.
#![allow(unsafe_code, reason = "calls WebAssembly that the build script writes")]

/// Rows of weights that are multiplied at once.
pub(crate) const ROWS: usize = 4;
/// Columns that are multiplied at once.
pub(crate) const COLUMNS: usize = 8;

/// Pairs that the function of the build script multiplies at most in one call.
#[cfg(target_family = "wasm")]
const STEPS: usize = 64;

/// A pair of steps of all rows.
pub(crate) type RowPairs = [[i8; 2]; ROWS];
/// A pair of steps of all columns.
pub(crate) type ColumnPairs = [[i16; 2]; COLUMNS];
/// For each row the sums of all columns.
pub(crate) type Sums = [[i32; COLUMNS]; ROWS];

/// The product of rows and columns.
#[cfg(target_family = "wasm")]
pub(crate) fn dot(rows: &[RowPairs], columns: &[ColumnPairs]) -> Sums {
    use crate::lanes::{LANES, Lanes};

    unsafe extern "C" {
        fn glovebox_dot_4x8(k: usize, a: *const RowPairs, b: *const ColumnPairs, c: *mut Sums);
    }
    let (mut diagonals, mut sums) = ([[0; COLUMNS]; ROWS], [[0; COLUMNS]; ROWS]);
    // SAFETY: rows and columns have so many pairs; diagonals and sums are eight vectors each, of which
    // two are a turn or a row.
    unsafe {
        for (rows, columns) in rows.chunks(STEPS).zip(columns.chunks(STEPS)) {
            let pairs = rows.len().min(columns.len());
            glovebox_dot_4x8(pairs, rows.as_ptr(), columns.as_ptr(), &raw mut diagonals);
        }
        let from = (&raw const diagonals).cast::<f32>();
        let to = (&raw mut sums).cast::<f32>();
        for half in [0, LANES] {
            let turn = |turn: usize| Lanes::load(from.add(turn * COLUMNS + half));
            let rows = Lanes::rows_of([turn(0), turn(1), turn(2), turn(3)]);
            for (row, sums) in rows.into_iter().enumerate() {
                sums.store(to.add(row * COLUMNS + half));
            }
        }
    }
    sums
}

/// The product of rows and columns.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn dot(rows: &[RowPairs], columns: &[ColumnPairs]) -> Sums {
    let mut sums = [[0; COLUMNS]; ROWS];
    for (rows, columns) in rows.iter().zip(columns) {
        for (row, sums) in rows.iter().zip(&mut sums) {
            for (column, sum) in columns.iter().zip(sums) {
                let products = row.iter().zip(column);
                *sum += products
                    .map(|(a, b)| i32::from(*a) * i32::from(*b))
                    .sum::<i32>();
            }
        }
    }
    sums
}

/// The sums of the columns themselves.
pub(crate) fn sums_of(columns: &[ColumnPairs]) -> [i32; COLUMNS] {
    let mut sums = [0i32; COLUMNS];
    for columns in columns {
        for ([a, b], sum) in columns.iter().zip(&mut sums) {
            *sum = sum.wrapping_add(i32::from(*a).wrapping_add((*b).into()));
        }
    }
    sums
}
