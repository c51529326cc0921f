//! Eight integers at once: two vectors on wasm, an array elsewhere. Vectors are written down here, since
//! compilers call a function for each element of `array::map`, and one for each pair of arrays.
#![allow(unsafe_code, reason = "reads arrays as vectors")]

use super::dot::COLUMNS;

/// Integers of 32 bits.
pub(super) type Eight = [i32; COLUMNS];

#[cfg(target_family = "wasm")]
mod vectors {
    use std::arch::wasm32::{
        f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_nearest, f32x4_pmax, f32x4_pmin,
        f32x4_splat, i8x16_narrow_i16x8, i16x8_narrow_i32x4, i32x4_add, i32x4_splat,
        i32x4_trunc_sat_f32x4, u8x16_narrow_i16x8, v128, v128_load, v128_store, v128_store64_lane,
    };

    use super::{COLUMNS, Eight};

    #[inline(always)]
    fn halves<Number>(numbers: &[Number; COLUMNS]) -> [v128; 2] {
        const { assert!(size_of::<Number>() == 4) };
        let from = (&raw const *numbers).cast();
        // SAFETY: eight numbers of 32 bits are two vectors.
        unsafe { [v128_load(from), v128_load(from.add(1))] }
    }

    #[inline(always)]
    fn whole_of([low, high]: [v128; 2]) -> Eight {
        let mut eight = [0; COLUMNS];
        let to = (&raw mut eight).cast();
        // SAFETY: eight numbers of 32 bits are two vectors.
        unsafe {
            v128_store(to, low);
            v128_store(to.add(1), high);
        }
        eight
    }

    #[inline(always)]
    pub(crate) fn whole(numbers: &[f32; COLUMNS]) -> Eight {
        let [low, high] = halves(numbers);
        whole_of([i32x4_trunc_sat_f32x4(low), i32x4_trunc_sat_f32x4(high)])
    }

    #[inline(always)]
    pub(crate) fn rounded(
        sums: &Eight,
        (bias, scale): (i32, f32),
        [least, most]: [f32; 2],
    ) -> Eight {
        let (bias, scale) = (i32x4_splat(bias), f32x4_splat(scale));
        let (least, most) = (f32x4_splat(least), f32x4_splat(most));
        let of = |sums: v128| {
            let value = f32x4_mul(f32x4_convert_i32x4(i32x4_add(sums, bias)), scale);
            let value = f32x4_pmin(f32x4_pmax(value, least), most);
            i32x4_trunc_sat_f32x4(f32x4_nearest(value))
        };
        let [low, high] = halves(sums);
        whole_of([of(low), of(high)])
    }

    #[inline(always)]
    pub(crate) fn added(sums: &Eight, bias: i32) -> Eight {
        let ([low, high], bias) = (halves(sums), i32x4_splat(bias));
        whole_of([i32x4_add(low, bias), i32x4_add(high, bias)])
    }

    #[inline(always)]
    pub(crate) fn scaled(sums: &Eight, (bias, scale): (f32, f32)) -> [f32; COLUMNS] {
        let (bias, scale) = (f32x4_splat(bias), f32x4_splat(scale));
        let mut numbers = [0.0; COLUMNS];
        let to = (&raw mut numbers).cast::<v128>();
        for (half, sums) in (0..).zip(halves(sums)) {
            let number = f32x4_add(f32x4_mul(f32x4_convert_i32x4(sums), scale), bias);
            // SAFETY: eight numbers of 32 bits are two vectors.
            unsafe { v128_store(to.add(half), number) };
        }
        numbers
    }

    macro_rules! narrow {
        ($($name:ident = $integer:ident by $instruction:ident;)*) => {
            $(#[inline(always)]
            pub(crate) fn $name(values: &Eight, zero: i32) -> [$integer; COLUMNS] {
                let ([low, high], zero) = (halves(values), i32x4_splat(zero));
                let words = i16x8_narrow_i32x4(i32x4_add(low, zero), i32x4_add(high, zero));
                let mut narrowed = [0; COLUMNS];
                // SAFETY: there is room for eight bytes.
                unsafe {
                    v128_store64_lane::<0>($instruction(words, words), (&raw mut narrowed).cast());
                }
                narrowed
            })*
        };
    }

    narrow! {
        narrow_i8 = i8 by i8x16_narrow_i16x8;
        narrow_u8 = u8 by u8x16_narrow_i16x8;
    }
}

#[cfg(not(target_family = "wasm"))]
mod vectors {
    use super::{COLUMNS, Eight};

    pub(crate) fn whole(numbers: &[f32; COLUMNS]) -> Eight {
        numbers.map(|number| number as i32)
    }

    pub(crate) fn rounded(
        sums: &Eight,
        (bias, scale): (i32, f32),
        [least, most]: [f32; 2],
    ) -> Eight {
        sums.map(|sum| {
            let value = sum.wrapping_add(bias) as f32 * scale;
            value.clamp(least, most).round_ties_even() as i32
        })
    }

    pub(crate) fn added(sums: &Eight, bias: i32) -> Eight {
        sums.map(|sum| sum.wrapping_add(bias))
    }

    pub(crate) fn scaled(sums: &Eight, (bias, scale): (f32, f32)) -> [f32; COLUMNS] {
        sums.map(|sum| sum as f32 * scale + bias)
    }

    pub(crate) fn narrow_i8(values: &Eight, zero: i32) -> [i8; COLUMNS] {
        values.map(|value| value.wrapping_add(zero) as i8)
    }

    pub(crate) fn narrow_u8(values: &Eight, zero: i32) -> [u8; COLUMNS] {
        values.map(|value| value.wrapping_add(zero) as u8)
    }
}

/// Sums and a number.
pub(super) use vectors::added;
/// `round((sum + bias) * scale)` between two ends.
pub(super) use vectors::rounded;
/// `sum * scale + bias`.
pub(super) use vectors::scaled;
/// Whole numbers as integers.
pub(super) use vectors::whole;
/// Integers of eight bits: what values within their ends are, moved by what stands for zero.
pub(super) use vectors::{narrow_i8, narrow_u8};
