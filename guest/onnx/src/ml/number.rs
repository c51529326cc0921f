//! The numbers that features, thresholds and scores are: those of inputs of FP64, else FP32.

use std::ops::{Add, AddAssign, Div, Neg};

use tract_onnx::tract_core::internal::*;

/// FP32 or FP64.
pub(super) trait Number:
    Datum
    + Copy
    + PartialOrd
    + From<f32>
    + Add<Output = Self>
    + AddAssign
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// What is no number.
    const NONE: Self;

    /// The nearest one.
    fn of(number: f64) -> Self;

    /// The nearest one of FP32.
    fn narrow(self) -> f32;

    /// The next smaller one; what is no number if there is none.
    fn below(self) -> Self;
}

impl Number for f32 {
    const NONE: Self = Self::NAN;

    fn of(number: f64) -> Self {
        number as Self
    }

    fn narrow(self) -> f32 {
        self
    }

    fn below(self) -> Self {
        match self {
            Self::NEG_INFINITY => Self::NAN,
            number => number.next_down(),
        }
    }
}

impl Number for f64 {
    const NONE: Self = Self::NAN;

    fn of(number: f64) -> Self {
        number
    }

    fn narrow(self) -> f32 {
        self as f32
    }

    fn below(self) -> Self {
        match self {
            Self::NEG_INFINITY => Self::NAN,
            number => number.next_down(),
        }
    }
}
