//! Local response normalisation: each number divided by what its neighbours in other channels amount
//! to.
//!
//! <https://onnx.ai/onnx/operators/onnx__LRN.html>
#![allow(unsafe_code, reason = "works on addresses within slices")]

use crate::finish::{load_some, store_some};
use crate::lanes::{LANES, Lanes};
use crate::size::WrongSize;

/// `x / (bias + alpha / size * sum of squares) ^ beta`.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// How many channels a number is compared with, itself included.
    pub size: usize,
    /// Factor of the sum.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// What is added to the sum.
    pub bias: f32,
}

impl Response {
    /// Normalises one image of so many channels.
    ///
    /// # Errors
    /// Image and output are not of the same size, or not of whole channels.
    pub fn normalize(
        &self,
        channels: usize,
        image: &[f32],
        output: &mut [f32],
    ) -> Result<(), WrongSize> {
        let pixels = image.len() / channels.max(1);
        WrongSize::check("image", image.len(), channels * pixels)?;
        WrongSize::check("output", output.len(), image.len())?;
        let behind = self.size / 2;
        let before = self.size.saturating_sub(1) / 2;
        for (channel, output) in output.chunks_exact_mut(pixels.max(1)).enumerate() {
            let first = channel.saturating_sub(before);
            let last = channels.min(channel + behind + 1);
            let neighbours = image.get(first * pixels..last * pixels).unwrap_or_default();
            let own = image.get(channel * pixels..).unwrap_or_default();
            self.channel(own, neighbours, output);
        }
        Ok(())
    }

    fn channel(&self, own: &[f32], neighbours: &[f32], output: &mut [f32]) {
        let (pixels, bias) = (output.len(), Lanes::splat(self.bias));
        let factor = Lanes::splat(self.alpha / self.size as f32);
        for pixel in (0..pixels).step_by(LANES) {
            let count = pixels - pixel;
            let mut squares = Lanes::splat(0.0);
            for neighbour in neighbours.chunks_exact(pixels) {
                // SAFETY: there are `count` pixels from here on.
                let value = unsafe { load_some(neighbour.as_ptr().add(pixel), count) };
                squares = squares.add_product(value, value);
            }
            let power = self.power(bias.add_product(factor, squares));
            // SAFETY: as above; the channel's own pixels are as many as the output's.
            unsafe {
                let value = load_some(own.as_ptr().add(pixel), count).div(power);
                store_some(value, output.as_mut_ptr().add(pixel), count);
            }
        }
    }

    /// To the power of `beta`, which is three quarters in nearly all models.
    #[inline(always)]
    fn power(&self, base: Lanes) -> Lanes {
        if self.beta == 0.75 {
            let root = base.sqrt();
            return root.mul(root.sqrt());
        }
        Lanes::of(base.numbers().map(|number| number.powf(self.beta)))
    }
}
