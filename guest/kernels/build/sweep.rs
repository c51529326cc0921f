//! Windows on one channel: what up to nine places of each window add to its sum.
//!
//! Windows begin at each number of an image, so 32 of them are eight vectors, which stay in registers
//! while one place after the other is read. More places are another call, which goes on with the sums.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

use crate::gemm::at;
use crate::object::Exported;

/// The places of one call.
const PLACES: u64 = 9;
/// Windows are done in blocks of so many vectors.
const VECTORS: u32 = 8;
const BLOCK_BYTES: i32 = VECTORS as i32 * 16;

/// The only parameter: where the others are, which are read into the locals behind it.
const RUN: u32 = 0;
const COUNT: u32 = 1;
const TAPS: u32 = 2;
const IMAGE: u32 = 3;
const BEGIN: u32 = 4;
const BEGIN_STEP: u32 = 5;
const SUMS: u32 = 6;
const BLOCKS: u32 = 7;
/// Behind these are two numbers, the bounds.
const BOUNDS: u64 = 7;
/// Places that are left.
const LEFT: u32 = 8;
/// Where a place's numbers are.
const PLACE: u32 = 9;
const INTEGERS: u32 = 9;

const ACCUMULATORS: u32 = 10;
const WEIGHT: u32 = ACCUMULATORS + VECTORS;
const LEAST: u32 = WEIGHT + 1;
const MOST: u32 = LEAST + 1;
const LOCALS: u32 = MOST + 1 - ACCUMULATORS;

/// `glovebox_sweep_<sum|max>(run)`, where `run` is `Run` of `src/inner.rs`.
pub fn functions() -> [Exported; 2] {
    [
        function("sum", |code, sum, place| {
            code.local_get(PLACE).v128_load(place);
            code.local_get(WEIGHT).local_get(sum).f32x4_relaxed_madd();
        }),
        function("max", |code, sum, place| {
            code.local_get(sum).local_get(PLACE).v128_load(place);
            code.f32x4_pmax();
        }),
    ]
}

/// `fold` adds the vector at a place to a sum and leaves that on the stack.
fn function(name: &str, fold: impl Fn(&mut InstructionSink<'_>, u32, MemArg)) -> Exported {
    let mut body = Function::new([(INTEGERS, ValType::I32), (LOCALS, ValType::V128)]);
    let mut code = body.instructions();
    read_parameters(&mut code);
    code.loop_(BlockType::Empty);
    for vector in 0..VECTORS {
        code.local_get(BEGIN).v128_load(vector_at(vector));
        code.local_set(ACCUMULATORS + vector);
    }
    code.local_get(COUNT).local_set(LEFT);
    code.block(BlockType::Empty);
    for tap in 0..PLACES {
        read_tap(&mut code, tap);
        for vector in 0..VECTORS {
            let sum = ACCUMULATORS + vector;
            fold(&mut code, sum, vector_at(vector));
            code.local_set(sum);
        }
        if tap + 1 < PLACES {
            // Leaving is what makes the engine compute a step before the next one is read.
            code.local_get(LEFT).i32_const(1).i32_sub();
            code.local_tee(LEFT).i32_eqz().br_if(0);
        }
    }
    code.end();
    write_sums(&mut code);
    for pointer in [IMAGE, SUMS] {
        code.local_get(pointer).i32_const(BLOCK_BYTES).i32_add();
        code.local_set(pointer);
    }
    code.local_get(BEGIN).local_get(BEGIN_STEP).i32_add();
    code.local_set(BEGIN);
    code.local_get(BLOCKS).i32_const(1).i32_sub();
    code.local_tee(BLOCKS).br_if(0);
    code.end().end();
    Exported {
        name: format!("glovebox_sweep_{name}"),
        parameters: 1,
        body,
    }
}

fn vector_at(vector: u32) -> MemArg {
    at(u64::from(vector) * 16)
}

fn read_parameters(code: &mut InstructionSink<'_>) {
    for (index, parameter) in (0..).zip(COUNT..=BLOCKS) {
        code.local_get(RUN).i32_load(at(index * 4));
        code.local_set(parameter);
    }
    for (index, bound) in (BOUNDS..).zip([LEAST, MOST]) {
        code.local_get(RUN).v128_load32_splat(at(index * 4));
        code.local_set(bound);
    }
}

fn read_tap(code: &mut InstructionSink<'_>, tap: u64) {
    code.local_get(TAPS).i32_load(at(tap * 8));
    code.local_get(IMAGE).i32_add().local_set(PLACE);
    code.local_get(TAPS).v128_load32_splat(at(tap * 8 + 4));
    code.local_set(WEIGHT);
}

fn write_sums(code: &mut InstructionSink<'_>) {
    for vector in 0..VECTORS {
        code.local_get(SUMS).local_get(ACCUMULATORS + vector);
        code.local_get(LEAST).f32x4_pmax();
        code.local_get(MOST).f32x4_pmin();
        code.v128_store(vector_at(vector));
    }
}
