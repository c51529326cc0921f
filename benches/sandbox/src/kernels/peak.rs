//! The most that vectors of 128 bits can do, which is all that WebAssembly has.
#![allow(unsafe_code, reason = "instructions that a processor may lack")]

use std::arch::x86_64::{__m128, _mm_cvtss_f32, _mm_fmadd_ps, _mm_set1_ps};
use std::hint::black_box;
use std::time::Instant;

/// Sums that do not wait for each other: two units with a latency of four or five.
const SUMS: usize = 12;
const STEPS: usize = 10_000;
/// A multiplication and an addition in each of four lanes.
const OPERATIONS: usize = 8;

/// Multiplications and additions in a second, measured for so long.
pub(crate) fn flops(seconds: f64) -> f64 {
    let (began, mut operations) = (Instant::now(), 0);
    while began.elapsed().as_secs_f64() < seconds {
        // SAFETY: a processor without these instructions would be one without native engines.
        black_box(unsafe { multiply_and_add(black_box(0.999)) });
        operations += SUMS * STEPS * OPERATIONS;
    }
    operations as f64 / began.elapsed().as_secs_f64()
}

#[target_feature(enable = "fma")]
fn multiply_and_add(factor: f32) -> f32 {
    let factor = _mm_set1_ps(factor);
    let mut sums: [__m128; SUMS] = [factor; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm_fmadd_ps(*sum, factor, factor);
        }
    }
    sums.into_iter().map(|sum| _mm_cvtss_f32(sum)).sum()
}
