//! The tile of a product of integers: `a[4][k] * b[k][8]`, exact, as diagonals.
//!
//! As in `gemm.rs`, but a step is two `k`: an instruction multiplies eight pairs of 16 bits and adds
//! neighbours, which is twice the multiplications of one on four numbers with a point. Weights are
//! bytes, and widened as they are read; with -128 at the least neither a product nor the sum of two
//! can overflow. What is relaxed about the dot products of relaxed SIMD never comes into play: its
//! instructions take bytes, of which one factor has seven bits, so they would be needed twice.

use wasm_encoder::{Function, InstructionSink, MemArg, ValType};

use crate::gemm::{A, ACCUMULATORS, B, at, lanes, one_by_one, read_sums, write_sums};
use crate::object::Exported;

const ROWS: u64 = 4;
const TURNS: u32 = 4;
const VECTORS: u32 = 2;
/// The most steps of a call, which `src/quantized/dot.rs` knows.
const STEPS: u64 = 64;

const COLUMNS: u32 = ACCUMULATORS + TURNS * VECTORS;
const TURNED: u32 = COLUMNS + VECTORS;
const LOCALS: u32 = TURNED + 1 - ACCUMULATORS;

/// Bytes of a step: pairs of bytes for each row, pairs of 16 bits for each column.
const WEIGHTS_BYTES: u64 = ROWS * 2;
const COLUMNS_BYTES: u64 = VECTORS as u64 * 16;

/// `glovebox_dot_4x8(k, a, b, c)`, `k` being the number of pairs, 1 to [`STEPS`]. Adds to the diagonals at
/// C: for each turn two vectors, of the first and of the second four columns.
pub fn tile() -> Exported {
    let mut body = Function::new([(LOCALS, ValType::V128)]);
    let mut code = body.instructions();
    read_sums(&mut code, TURNS * VECTORS);
    one_by_one(&mut code, STEPS, multiply);
    write_sums(&mut code, TURNS * VECTORS);
    code.end();
    Exported {
        name: "glovebox_dot_4x8".into(),
        parameters: 4,
        body,
    }
}

fn multiply(code: &mut InstructionSink<'_>, step: u64) {
    for vector in 0..VECTORS {
        let column = step * COLUMNS_BYTES + u64::from(vector) * 16;
        code.local_get(B).v128_load(at(column));
        code.local_set(COLUMNS + vector);
    }
    code.local_get(A)
        .v128_load8x8_s(MemArg {
            align: 0,
            ..at(step * WEIGHTS_BYTES)
        })
        .local_set(TURNED);
    for turn in 0..TURNS {
        if turn > 0 {
            code.local_get(TURNED).local_get(TURNED);
            code.i8x16_shuffle(lanes([1, 2, 3, 0])).local_set(TURNED);
        }
        for vector in 0..VECTORS {
            let sum = ACCUMULATORS + turn * VECTORS + vector;
            code.local_get(TURNED).local_get(COLUMNS + vector);
            code.i32x4_dot_i16x8_s();
            code.local_get(sum).i32x4_add().local_set(sum);
        }
    }
}
