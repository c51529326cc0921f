//! Functions of one number, of many at once.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::exponential::{LEAST, MOST, exp};
use crate::lanes::Lanes;
use crate::strip::replace;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// The error function, within 1e-6 of its value.
    Erf,
    /// `x / 2 * (1 + erf(x / sqrt 2))`, within 1e-6 of `x`.
    Gelu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`, within 1e-6 of `x`.
    GeluTanh,
    /// `1 / (1 + exp(-x))`, within 1e-6 of its value; that of -87 for all below.
    Sigmoid,
    /// `x / (1 + exp(-x))`, within 1e-6 of its value; below -87, a number next to zero.
    Silu,
}

impl Curve {
    /// Puts the function's value in the place of each number.
    pub fn apply(self, numbers: &mut [f32]) {
        match self {
            Self::Erf => replace(numbers, 0.0, |_, x| erf(x)),
            Self::Gelu => replace(numbers, 0.0, |_, x| gelu(x)),
            Self::GeluTanh => replace(numbers, 0.0, |_, x| gelu_tanh(x)),
            Self::Sigmoid => replace(numbers, 0.0, |_, x| Lanes::splat(1.0).div(divisor(x))),
            Self::Silu => replace(numbers, 0.0, |_, x| x.div(divisor(x))),
        }
    }
}

/// From here on, one is nearest to the error function.
const END: f32 = 3.92;
/// `erf(x) / x` as a quotient of polynomials of `x^2`: those with the least largest error up to [`END`],
/// 2e-8 of the value.
const ABOVE: [f32; 6] = [
    FRAC_2_SQRT_PI,
    0.190_386_15,
    0.052_746_1,
    0.003_764_773_5,
    2.848_683_8e-4,
    2.050_294_1e-6,
];
const BELOW: [f32; 6] = [
    1.0,
    0.502_058_1,
    0.114_100_77,
    0.014_967_51,
    0.001_162_340_5,
    3.809_313_4e-5,
];

#[inline(always)]
fn erf(x: Lanes) -> Lanes {
    let x = x.max(Lanes::splat(-END)).min(Lanes::splat(END));
    let square = x.mul(x);
    let value = x
        .mul(square.polynomial(&ABOVE))
        .div(square.polynomial(&BELOW));
    // Rounding must not make it more than one: `1 + erf(x)` would change its sign.
    value.max(Lanes::splat(-1.0)).min(Lanes::splat(1.0))
}

#[inline(always)]
fn gelu(x: Lanes) -> Lanes {
    let half = x.mul(Lanes::splat(0.5));
    half.add_product(half, erf(x.mul(Lanes::splat(FRAC_1_SQRT_2))))
}

/// `(1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y))`, so this is `x / (1 + exp(x * (LINEAR + CUBIC * x^2)))`.
#[inline(always)]
fn gelu_tanh(x: Lanes) -> Lanes {
    /// `-2 * sqrt(2 / pi)`
    const LINEAR: f32 = -1.595_769;
    const CUBIC: f32 = LINEAR * 0.044_715;
    x.div(one_and_power(x.mul(x.mul(x).polynomial(&[LINEAR, CUBIC]))))
}

/// What a sigmoid divides by: `1 + exp(-x)`.
#[inline(always)]
fn divisor(x: Lanes) -> Lanes {
    one_and_power(x.mul(Lanes::splat(-1.0)))
}

/// `1 + exp(exponent)`
#[inline(always)]
fn one_and_power(exponent: Lanes) -> Lanes {
    let exponent = exponent.max(Lanes::splat(LEAST)).min(Lanes::splat(MOST));
    Lanes::splat(1.0).add(exp(exponent))
}
