//! Four numbers at once: a vector register on wasm, an array elsewhere.
#![allow(unsafe_code, reason = "works on addresses that tract passes")]

pub(crate) const LANES: usize = 4;

#[cfg(target_family = "wasm")]
mod vector {
    use std::arch::wasm32::{
        f32x4, f32x4_add, f32x4_div, f32x4_gt, f32x4_lt, f32x4_mul, f32x4_pmax, f32x4_pmin,
        f32x4_relaxed_madd, f32x4_splat, f32x4_sqrt, f32x4_sub, i32x4_shl, i32x4_shuffle, v128,
        v128_andnot, v128_bitselect, v128_load, v128_store,
    };

    use super::LANES;

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes(v128);

    impl Lanes {
        #[inline(always)]
        pub(crate) fn splat(value: f32) -> Self {
            Self(f32x4_splat(value))
        }

        #[inline(always)]
        pub(crate) fn of([a, b, c, d]: [f32; LANES]) -> Self {
            Self(f32x4(a, b, c, d))
        }

        /// The even lanes of a vector, then the odd lanes of another.
        #[inline(always)]
        pub(crate) fn even_odd(even: Self, odd: Self) -> Self {
            Self(i32x4_shuffle::<0, 2, 5, 7>(even.0, odd.0))
        }

        /// A lane of one, a lane of the other.
        #[inline(always)]
        pub(crate) fn zip(a: Self, b: Self) -> [Self; 2] {
            [
                Self(i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0)),
                Self(i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0)),
            ]
        }

        /// `self + a * b`, rounded once or twice.
        #[inline(always)]
        pub(crate) fn add_product(self, a: Self, b: Self) -> Self {
            Self(f32x4_relaxed_madd(a.0, b.0, self.0))
        }

        #[inline(always)]
        pub(crate) unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's promise; any alignment is allowed.
            Self(unsafe { v128_load(from.cast()) })
        }

        #[inline(always)]
        pub(crate) unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's promise; any alignment is allowed.
            unsafe { v128_store(to.cast(), self.0) }
        }

        #[inline(always)]
        pub(crate) fn add(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn sub(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn mul(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn div(self, other: Self) -> Self {
            Self(f32x4_div(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn sqrt(self) -> Self {
            Self(f32x4_sqrt(self.0))
        }

        #[inline(always)]
        pub(crate) fn min(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }

        #[inline(always)]
        pub(crate) fn max(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        /// Zeros where a number is less than a bound.
        #[inline(always)]
        pub(crate) fn unless_less(self, number: Self, bound: Self) -> Self {
            Self(v128_andnot(self.0, f32x4_lt(number.0, bound.0)))
        }

        /// Numbers whose exponents are the lowest eight bits of these.
        #[inline(always)]
        pub(crate) fn low_bits_as_exponents(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }

        #[inline(always)]
        pub(crate) fn leaky(self, slope: Self) -> Self {
            let is_positive = f32x4_gt(self.0, f32x4_splat(0.0));
            Self(v128_bitselect(
                self.0,
                f32x4_mul(self.0, slope.0),
                is_positive,
            ))
        }

        #[inline(always)]
        pub(crate) fn turn([a, b, c, d]: [Self; LANES]) -> [Self; LANES] {
            let ab = i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
            let cd = i32x4_shuffle::<0, 4, 1, 5>(c.0, d.0);
            let upper_ab = i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
            let upper_cd = i32x4_shuffle::<2, 6, 3, 7>(c.0, d.0);
            [
                Self(i32x4_shuffle::<0, 1, 4, 5>(ab, cd)),
                Self(i32x4_shuffle::<2, 3, 6, 7>(ab, cd)),
                Self(i32x4_shuffle::<0, 1, 4, 5>(upper_ab, upper_cd)),
                Self(i32x4_shuffle::<2, 3, 6, 7>(upper_ab, upper_cd)),
            ]
        }

        /// Rows of four columns of the products of a vector of rows, turned by 0 to 3 lanes, with
        /// the columns: lane `l` of turn `t` belongs to row `l + t`. First the odd lanes move on by
        /// one turn, then the upper ones by two.
        #[inline(always)]
        pub(crate) fn rows_of([a, b, c, d]: [Self; LANES]) -> [Self; LANES] {
            let odd = |turn: Self, before: Self| i32x4_shuffle::<0, 5, 2, 7>(turn.0, before.0);
            let [a, b, c, d] = [odd(a, d), odd(b, a), odd(c, b), odd(d, c)];
            [
                Self(i32x4_shuffle::<0, 1, 6, 7>(a, c)),
                Self(i32x4_shuffle::<0, 1, 6, 7>(b, d)),
                Self(i32x4_shuffle::<0, 1, 6, 7>(c, a)),
                Self(i32x4_shuffle::<0, 1, 6, 7>(d, b)),
            ]
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod vector {
    use super::LANES;

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes([f32; LANES]);

    impl Lanes {
        pub(crate) fn splat(value: f32) -> Self {
            Self([value; LANES])
        }

        pub(crate) fn of(lanes: [f32; LANES]) -> Self {
            Self(lanes)
        }

        pub(crate) fn even_odd(even: Self, odd: Self) -> Self {
            let ([a, _, b, _], [_, c, _, d]) = (even.0, odd.0);
            Self([a, b, c, d])
        }

        pub(crate) fn zip(a: Self, b: Self) -> [Self; 2] {
            let ([a, b, c, d], [e, f, g, h]) = (a.0, b.0);
            [Self([a, e, b, f]), Self([c, g, d, h])]
        }

        pub(crate) fn add_product(self, a: Self, b: Self) -> Self {
            self.add(a.mul(b))
        }

        pub(crate) unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's promise.
            Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
        }

        pub(crate) unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
        }

        fn with(self, other: Self, function: impl Fn(f32, f32) -> f32) -> Self {
            let mut lanes = self.0;
            lanes
                .iter_mut()
                .zip(other.0)
                .for_each(|(a, b)| *a = function(*a, b));
            Self(lanes)
        }

        pub(crate) fn add(self, other: Self) -> Self {
            self.with(other, |a, b| a + b)
        }

        pub(crate) fn sub(self, other: Self) -> Self {
            self.with(other, |a, b| a - b)
        }

        pub(crate) fn mul(self, other: Self) -> Self {
            self.with(other, |a, b| a * b)
        }

        pub(crate) fn div(self, other: Self) -> Self {
            self.with(other, |a, b| a / b)
        }

        pub(crate) fn sqrt(self) -> Self {
            self.with(self, |a, _| a.sqrt())
        }

        pub(crate) fn min(self, other: Self) -> Self {
            self.with(other, |a, b| if b < a { b } else { a })
        }

        pub(crate) fn max(self, other: Self) -> Self {
            self.with(other, |a, b| if a < b { b } else { a })
        }

        pub(crate) fn unless_less(self, number: Self, bound: Self) -> Self {
            let is_less = number.with(bound, |a, b| f32::from(a < b));
            self.with(is_less, |a, is_less| if is_less == 0.0 { a } else { 0.0 })
        }

        pub(crate) fn low_bits_as_exponents(self) -> Self {
            self.with(self, |a, _| f32::from_bits(a.to_bits() << 23))
        }

        pub(crate) fn leaky(self, slope: Self) -> Self {
            self.with(slope, |a, slope| if a > 0.0 { a } else { a * slope })
        }

        pub(crate) fn turn(rows: [Self; LANES]) -> [Self; LANES] {
            let [a, b, c, d] = [0, 1, 2, 3].map(|column: usize| {
                Self(rows.map(|row| row.0.get(column).copied().unwrap_or_default()))
            });
            [a, b, c, d]
        }
    }
}

pub(crate) use vector::Lanes;

impl Lanes {
    /// The numbers themselves.
    #[inline(always)]
    pub(crate) fn numbers(self) -> [f32; LANES] {
        let mut numbers = [0f32; LANES];
        // SAFETY: room for a vector.
        unsafe { self.store(numbers.as_mut_ptr()) };
        numbers
    }

    /// `c0 + c1 * x + c2 * x^2 + ...`; nothing is zero.
    #[inline(always)]
    pub(crate) fn polynomial(self, coefficients: &[f32]) -> Self {
        let Some((highest, mut rest)) = coefficients.split_last() else {
            return Self::splat(0.0);
        };
        let mut value = Self::splat(*highest);
        // An iterator with a function of vectors would stay a call, which passes them through memory.
        while let Some((coefficient, lower)) = rest.split_last() {
            value = Self::splat(*coefficient).add_product(value, self);
            rest = lower;
        }
        value
    }

    /// The sum of the numbers.
    #[inline(always)]
    pub(crate) fn total(self) -> f32 {
        let [a, b, c, d] = self.numbers();
        (a + b) + (c + d)
    }
}
