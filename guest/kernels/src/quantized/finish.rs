//! What is made of sums before they are stored.

use super::dot::COLUMNS;
use super::eight::{Eight, added, narrow_i8, narrow_u8, rounded, scaled};

/// What is made of sums.
pub trait Finish {
    /// A value.
    type Output: Copy + Default;

    /// The values for sums of a row.
    fn finish(&self, row: usize, sums: Eight) -> [Self::Output; COLUMNS];
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
    fn finish(&self, row: usize, sums: Eight) -> Eight {
        added(&sums, of(self.bias, row))
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

macro_rules! requantized {
    ($($integer:ident by $narrow:ident;)*) => {
        $(impl Finish for Requantized<'_, $integer> {
            type Output = $integer;

            #[inline(always)]
            fn finish(&self, row: usize, sums: Eight) -> [$integer; COLUMNS] {
                let (bias, scale) = (of(self.bias, row), of(self.scales, row));
                let zero = i32::from(self.zero);
                let least = i32::from($integer::MIN).wrapping_sub(zero) as f32;
                let most = i32::from($integer::MAX).wrapping_sub(zero) as f32;
                $narrow(&rounded(&sums, (bias, scale), [least, most]), zero)
            }
        })*
    };
}

requantized! {
    i8 by narrow_i8;
    u8 by narrow_u8;
}

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
    fn finish(&self, row: usize, sums: Eight) -> [f32; COLUMNS] {
        scaled(&sums, (of(self.bias, row), of(self.scales, row)))
    }
}
