//! A matrix times a vector: `c[16] += a[16][k] * b[k]`.
//!
//! The speed is that of reading A. Even and odd `k` have accumulators of their own, so that the
//! eight of them do not wait for one another.

use wasm_encoder::{Function, InstructionSink, ValType};

use crate::gemm::{A, ACCUMULATORS, B, C, STEPS, at, one_by_one};
use crate::object::Exported;

/// How many rows the panels of A have.
pub const ROWS: u64 = 16;

const VECTORS: u32 = 4;
const CHAINS: u32 = 2;

const SPREAD: u32 = ACCUMULATORS + VECTORS * CHAINS;
const LOCALS: u32 = SPREAD + 1 - ACCUMULATORS;

fn accumulator(chain: u32, vector: u32) -> u32 {
    ACCUMULATORS + chain * VECTORS + vector
}

/// `glovebox_gemv_16(k, a, b, c)`, `k` being 1 to [`STEPS`].
pub fn column() -> Exported {
    let mut body = Function::new([(LOCALS, ValType::V128)]);
    let mut code = body.instructions();
    one_by_one(&mut code, STEPS, multiply);
    for vector in 0..VECTORS {
        let place = at(u64::from(vector) * 16);
        code.local_get(C);
        code.local_get(accumulator(0, vector))
            .local_get(accumulator(1, vector))
            .f32x4_add();
        code.local_get(C)
            .v128_load(place)
            .f32x4_add()
            .v128_store(place);
    }
    code.end();
    Exported {
        name: format!("glovebox_gemv_{ROWS}"),
        parameters: 4,
        body,
    }
}

fn multiply(code: &mut InstructionSink<'_>, step: u64) {
    code.local_get(B)
        .f32_load(at(step * 4))
        .f32x4_splat()
        .local_set(SPREAD);
    for vector in 0..VECTORS {
        let sum = accumulator((step % u64::from(CHAINS)) as u32, vector);
        code.local_get(A);
        code.v128_load(at(step * ROWS * 4 + u64::from(vector) * 16));
        code.local_get(SPREAD).local_get(sum);
        code.f32x4_relaxed_madd().local_set(sum);
    }
}
