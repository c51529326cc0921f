//! What is made of sums before they are stored.

use super::dot::COLUMNS;

/// What is made of sums.
pub trait Finish {
    /// A value.
    type Output: Copy + Default;

    /// The values for sums of a row.
    fn finish(&self, row: usize, sums: [i32; COLUMNS]) -> [Self::Output; COLUMNS];
}

/// Of values for each row that of one, or nothing where there are none.
fn of<N: Copy + Default>(rows: &[N], row: usize) -> N {
    rows.get(row).copied().unwrap_or_default()
}

/// The sums themselves.
#[derive(Clone, Copy, Debug)]
pub struct Summed<'a> {
    /// What is added to each row; empty for nothing.
    pub bias: &'a [i32],
}

impl Finish for Summed<'_> {
    type Output = i32;

    #[inline(always)]
    fn finish(&self, row: usize, sums: [i32; COLUMNS]) -> [i32; COLUMNS] {
        let (bias, mut sums) = (of(self.bias, row), sums);
        sums.iter_mut()
            .for_each(|sum| *sum = sum.wrapping_add(bias));
        sums
    }
}

/// Integers of eight bits: `round((sum + bias) * scale) + zero`, within what the datatype has. Ties
/// are rounded to even numbers, and the product is one of 32 bits, as in ONNX Runtime.
#[derive(Clone, Copy, Debug)]
pub struct Requantized<'a, N> {
    /// What is added to each row; empty for nothing.
    pub bias: &'a [i32],
    /// What each row is multiplied with.
    pub scales: &'a [f32],
    /// The integer that stands for zero.
    pub zero: N,
}

/// `round((sum + bias) * scale)` between two ends. Vectors are written down here, since compilers call a
/// function for each element of `array::map`.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "reads arrays as vectors")]
#[inline(always)]
fn rounded(
    sums: &[i32; COLUMNS],
    (bias, scale): (i32, f32),
    [least, most]: [f32; 2],
) -> [i32; COLUMNS] {
    use std::arch::wasm32::{
        f32x4_convert_i32x4, f32x4_mul, f32x4_nearest, f32x4_pmax, f32x4_pmin, f32x4_splat,
        i32x4_add, i32x4_splat, i32x4_trunc_sat_f32x4, v128, v128_load, v128_store,
    };

    let mut rounded = [0; COLUMNS];
    let (from, to) = (
        (&raw const *sums).cast::<v128>(),
        (&raw mut rounded).cast::<v128>(),
    );
    for half in 0..2 {
        // SAFETY: the arrays are two vectors each.
        unsafe {
            let sum = i32x4_add(v128_load(from.add(half)), i32x4_splat(bias));
            let value = f32x4_mul(f32x4_convert_i32x4(sum), f32x4_splat(scale));
            let value = f32x4_pmin(f32x4_pmax(value, f32x4_splat(least)), f32x4_splat(most));
            let value = i32x4_trunc_sat_f32x4(f32x4_nearest(value));
            v128_store(to.add(half), value);
        }
    }
    rounded
}

/// `round((sum + bias) * scale)` between two ends.
#[cfg(not(target_family = "wasm"))]
fn rounded(
    sums: &[i32; COLUMNS],
    (bias, scale): (i32, f32),
    [least, most]: [f32; 2],
) -> [i32; COLUMNS] {
    sums.map(|sum| {
        let value = sum.wrapping_add(bias) as f32 * scale;
        value.clamp(least, most).round_ties_even() as i32
    })
}

macro_rules! requantized {
    ($($integer:ident)*) => {
        $(impl Finish for Requantized<'_, $integer> {
            type Output = $integer;

            #[inline(always)]
            fn finish(&self, row: usize, sums: [i32; COLUMNS]) -> [$integer; COLUMNS] {
                let (bias, scale) = (of(self.bias, row), of(self.scales, row));
                let zero = i32::from(self.zero);
                let least = i32::from($integer::MIN).wrapping_sub(zero) as f32;
                let most = i32::from($integer::MAX).wrapping_sub(zero) as f32;
                let rounded = rounded(&sums, (bias, scale), [least, most]);
                let mut values = [0; COLUMNS];
                for (value, rounded) in values.iter_mut().zip(&rounded) {
                    *value = rounded.wrapping_add(zero) as $integer;
                }
                values
            }
        })*
    };
}

requantized!(i8 u8);

/// Numbers with a point: `sum * scale + bias`.
#[derive(Clone, Copy, Debug)]
pub struct Scaled<'a> {
    /// What each row is multiplied with.
    pub scales: &'a [f32],
    /// What is added to each row; empty for nothing.
    pub bias: &'a [f32],
}

impl Finish for Scaled<'_> {
    type Output = f32;

    #[inline(always)]
    fn finish(&self, row: usize, sums: [i32; COLUMNS]) -> [f32; COLUMNS] {
        let (scale, bias) = (of(self.scales, row), of(self.bias, row));
        let mut values = [0.0; COLUMNS];
        for (value, sum) in values.iter_mut().zip(&sums) {
            *value = *sum as f32 * scale + bias;
        }
        values
    }
}
