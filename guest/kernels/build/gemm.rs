//! The tile of a matrix product: `a[4][k] * b[k][8]`, as diagonals.
//!
//! `a` and `b` are packed: for each `k` the values of all rows of a panel of A, then the next `k`;
//! for each `k` eight columns of B. Four rows are one vector, and instead of spreading each row over
//! a vector (four registers), the vector is turned by one lane between the multiplications (one):
//!
//! ```text
//! turn 0:  a0 a1 a2 a3  *  b0 b1 b2 b3
//! turn 1:  a1 a2 a3 a0  *  b0 b1 b2 b3
//! ```
//!
//! So accumulator `turn` holds a diagonal of the 4x4 block. Eight accumulators, two vectors of B, one
//! of A and one that is overwritten are twelve registers. There is no loop: at the head of one the engine
//! may stop the guest, so it would have all sums in memory there, and each of them would wait for that. Who
//! has more steps calls again, and the sums go on.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

use crate::object::Exported;

/// How many rows the panels of A have for which there is a function.
pub const ROWS_OF_PANELS: [u64; 3] = [4, 8, 16];

const TURNS: u32 = 4;
const VECTORS: u32 = 2;
/// The most steps of a call, which `src/inner.rs` knows.
pub const STEPS: u64 = 128;

/// The parameters of all functions: how many steps, the panels, and where the result goes.
pub const K: u32 = 0;
pub const A: u32 = 1;
pub const B: u32 = 2;
pub const C: u32 = 3;
/// The first vector.
pub const ACCUMULATORS: u32 = 4;
const COLUMNS: u32 = ACCUMULATORS + TURNS * VECTORS;
const TURNED: u32 = COLUMNS + VECTORS;
const LOCALS: u32 = TURNED + 1 - ACCUMULATORS;

fn accumulator(turn: u32, vector: u32) -> u32 {
    ACCUMULATORS + turn * VECTORS + vector
}

/// The place so many bytes behind a pointer to values of 32 bits.
pub fn at(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 2,
        memory_index: 0,
    }
}

/// `glovebox_gemm_4x8_<rows>(k, a, b, c)`, `rows` being the rows of a panel of A, and `k` 1 to
/// [`STEPS`]. Adds to the diagonals at C: for each turn two vectors, of the first and of the second four
/// columns.
pub fn tile(rows: u64) -> Exported {
    let mut body = Function::new([(LOCALS, ValType::V128)]);
    let mut code = body.instructions();
    read_sums(&mut code, TURNS * VECTORS);
    one_by_one(&mut code, STEPS, |code, step| multiply(code, rows, step));
    write_sums(&mut code, TURNS * VECTORS);
    code.end();
    Exported {
        name: format!("glovebox_gemm_4x8_{rows}"),
        parameters: 4,
        body,
    }
}

/// Reads accumulators from [`C`].
pub fn read_sums(code: &mut InstructionSink<'_>, count: u32) {
    for sum in 0..count {
        code.local_get(C).v128_load(at(u64::from(sum) * 16));
        code.local_set(ACCUMULATORS + sum);
    }
}

/// Writes accumulators to [`C`].
pub fn write_sums(code: &mut InstructionSink<'_>, count: u32) {
    for sum in 0..count {
        code.local_get(C).local_get(ACCUMULATORS + sum);
        code.v128_store(at(u64::from(sum) * 16));
    }
}

/// Does `step` for all of [`K`], which are one to `steps`.
pub fn one_by_one(
    code: &mut InstructionSink<'_>,
    steps: u64,
    step: impl Fn(&mut InstructionSink<'_>, u64),
) {
    code.block(BlockType::Empty);
    for index in 0..steps {
        step(code, index);
        if index + 1 < steps {
            // Leaving is what makes the engine compute a step before the next one is read.
            code.local_get(K).i32_const(1).i32_sub();
            code.local_tee(K).i32_eqz().br_if(0);
        }
    }
    code.end();
}

fn multiply(code: &mut InstructionSink<'_>, rows: u64, step: u64) {
    for vector in 0..VECTORS {
        let column = (step * u64::from(VECTORS) + u64::from(vector)) * 16;
        code.local_get(B).v128_load(at(column));
        code.local_set(COLUMNS + vector);
    }
    code.local_get(A)
        .v128_load(at(step * rows * 4))
        .local_set(TURNED);
    for turn in 0..TURNS {
        if turn > 0 {
            code.local_get(TURNED).local_get(TURNED);
            code.i8x16_shuffle(lanes([1, 2, 3, 0])).local_set(TURNED);
        }
        for vector in 0..VECTORS {
            // The first operand is overwritten: one that is not needed again, if there is one.
            let is_last = turn + 1 == TURNS && vector + 1 < VECTORS;
            let (first, second) = match is_last {
                true => (COLUMNS + vector, TURNED),
                false => (TURNED, COLUMNS + vector),
            };
            let sum = accumulator(turn, vector);
            code.local_get(first).local_get(second).local_get(sum);
            code.f32x4_relaxed_madd().local_set(sum);
        }
    }
}

/// Lanes of 32 bits as bytes.
pub fn lanes(lanes: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (index, byte) in (0..).zip(&mut bytes) {
        let lane = lanes.get(index / 4).copied().unwrap_or_default();
        *byte = lane * 4 + (index % 4) as u8;
    }
    bytes
}
