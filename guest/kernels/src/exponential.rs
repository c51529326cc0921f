//! Powers of e.

use crate::lanes::Lanes;

/// The least and the most that [`exp`] takes: its values are neither subnormal nor infinite.
pub(crate) const LEAST: f32 = -87.0;
pub(crate) const MOST: f32 = 87.0;

/// Added to a small number, leaves its nearest whole number in the lowest bits, and 127 more: the bias
/// of exponents.
const ROUNDING: f32 = 12_582_912.0 + 127.0;
/// The logarithm of two in two parts; whole multiples of the first are exact.
const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
/// `(exp(r) - 1 - r) / r^2` for `r` up to half the logarithm of two: the polynomial with the least largest
/// error, 4e-9 of `exp(r)`.
const TERMS: [f32; 5] = [
    0.499_999_94,
    0.166_665_15,
    0.041_668_456,
    0.008_369_419,
    0.001_381_314_1,
];

/// `exp(x)`, within 1e-7 of it; `x` is from [`LEAST`] to [`MOST`], or not a number.
///
/// `x = k * ln 2 + r`, so `exp(x) = 2^k * exp(r)`.
#[inline(always)]
pub(crate) fn exp(x: Lanes) -> Lanes {
    let [high, low] = LN_2;
    let [high, low] = [Lanes::splat(-high), Lanes::splat(-low)];
    let rounded = Lanes::splat(ROUNDING).add_product(x, Lanes::splat(std::f32::consts::LOG2_E));
    let twos = rounded.sub(Lanes::splat(ROUNDING));
    let r = x.add_product(twos, high).add_product(twos, low);
    let one = Lanes::splat(1.0);
    let slope = one.add_product(r, r.polynomial(&TERMS));
    one.add_product(r, slope)
        .mul(rounded.low_bits_as_exponents())
}
