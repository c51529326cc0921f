//! What is done to a sum before it is stored.

use crate::lanes::{LANES, Lanes};

/// Bias before a sum, another tensor and bounds behind it.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// What each channel of the output begins with; empty for nothing.
    pub bias: &'a [f32],
    /// What is added to the output, of its size.
    pub addend: Option<&'a [f32]>,
    /// No value is less, unless it is infinite.
    pub least: f32,
    /// No value is more.
    pub most: f32,
}

impl Finish<'_> {
    /// What a channel begins with.
    pub(crate) fn bias_of(&self, channel: usize) -> f32 {
        self.bias.get(channel).copied().unwrap_or_default()
    }

    /// A number within the bounds; what is no number stays none.
    pub(crate) fn bounded(&self, number: f32) -> f32 {
        match number {
            number if number < self.least => self.least,
            number if number > self.most => self.most,
            _ => number,
        }
    }

    /// The bounds as vectors.
    #[inline(always)]
    pub(crate) fn bounds(&self) -> [Lanes; 2] {
        [Lanes::splat(self.least), Lanes::splat(self.most)]
    }
}

/// A vector within bounds.
#[inline(always)]
pub(crate) fn bounded(value: Lanes, [least, most]: [Lanes; 2]) -> Lanes {
    value.max(least).min(most)
}

/// Stores the first `count` numbers of a vector, all of them if there are more.
///
/// # Safety
/// There is room for so many.
#[inline(always)]
#[allow(unsafe_code, reason = "works on addresses that the caller vouches for")]
pub(crate) unsafe fn store_some(value: Lanes, to: *mut f32, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= LANES {
            value.store(to);
            return;
        }
        let mut numbers = [0f32; LANES];
        value.store(numbers.as_mut_ptr());
        to.copy_from_nonoverlapping(numbers.as_ptr(), count);
    }
}

/// Loads the first `count` numbers of a vector, all of them if there are more; the others are zeros.
///
/// # Safety
/// There are so many.
#[inline(always)]
#[allow(unsafe_code, reason = "works on addresses that the caller vouches for")]
pub(crate) unsafe fn load_some(from: *const f32, count: usize) -> Lanes {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= LANES {
            return Lanes::load(from);
        }
        let mut numbers = [0f32; LANES];
        numbers.as_mut_ptr().copy_from_nonoverlapping(from, count);
        Lanes::of(numbers)
    }
}
