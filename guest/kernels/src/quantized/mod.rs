//! Products and convolutions of integers of eight bits, whose sums have 32.
//!
//! Weights are packed once, as bytes. What they are multiplied with is gathered for eight columns at a
//! time, as 16 bits from which the zero point has been taken, so that what is around an image is
//! zero. Weights seldom have a zero point; if they do, it is taken from the sums.
//!
//! ```text
//! for each 8 pixels, or 8 rows of the other matrix
//!     gather the columns, for the first cache
//!     for each 4 rows of weights
//!         their product, finished and stored
//! ```

mod convolution;
mod depthwise;
mod dot;
mod eight;
mod finish;
mod gather;
mod product;
mod weights;

pub use finish::{Finish, Requantized, Scaled, Summed};
pub use weights::{Shape, Weights};

/// Integers, each of which stands for how far it is from the zero point.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a, N> {
    /// Row by row.
    pub values: &'a [N],
    /// The integer that stands for zero; a value of the same datatype.
    pub zero: i16,
}

impl<N: Copy + Into<i16>> Quantized<'_, N> {
    /// How far an integer is from the zero point.
    fn centred(&self) -> impl Fn(N) -> i16 + use<N> {
        let zero = self.zero;
        move |value| value.into().wrapping_sub(zero)
    }
}
