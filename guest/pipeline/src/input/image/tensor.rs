//! Levels to numbers, in the order of a tensor's axes.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;

use super::picture::Picture;
use crate::CallError;

/// The order of a tensor's axes, by the letters that everybody uses: number, channel, height, width.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

/// `(level * scale - mean) / std`, with a mean and a deviation for each channel.
pub(super) struct Normalisation<'a> {
    pub(super) scale: f32,
    pub(super) mean: &'a [f32],
    pub(super) std: &'a [f32],
}

impl Normalisation<'_> {
    fn apply(&self, level: u8, channel: usize) -> f32 {
        let mean = self.mean.get(channel).copied().unwrap_or(0.0);
        let std = self.std.get(channel).copied().unwrap_or(1.0);
        (f32::from(level) * self.scale - mean) / std
    }
}

impl Layout {
    /// The shape of a tensor that holds one picture.
    pub(super) fn shape(self, channels: u64, height: u64, width: u64) -> Vec<u64> {
        match self {
            Self::Nchw => vec![1, channels, height, width],
            Self::Nhwc => vec![1, height, width, channels],
        }
    }

    /// A picture as the tensor of `spec`: levels as they are where it is UINT8, normalised where it is
    /// FP32.
    pub(super) fn tensor(
        self,
        spec: &TensorSpec,
        picture: &Picture,
        normalisation: &Normalisation<'_>,
    ) -> Result<Tensor, CallError> {
        let (height, width) = (picture.size.height.into(), picture.size.width.into());
        let shape = self.shape(picture.channels as u64, height, width);
        let data = match spec.datatype {
            Datatype::Uint8 => self.arrange(picture, |level, _| [level]),
            _ => self.arrange(picture, |level, channel| {
                normalisation.apply(level, channel).to_le_bytes()
            }),
        };
        Ok(Tensor::new(spec.name.clone(), spec.datatype, shape, data)?)
    }

    fn arrange<const N: usize>(
        self,
        picture: &Picture,
        encode: impl Fn(u8, usize) -> [u8; N],
    ) -> Vec<u8> {
        let (levels, channels) = (&picture.levels, picture.channels);
        let mut data = vec![0; levels.len() * N];
        let (elements, _) = data.as_chunks_mut::<N>();
        match self {
            Self::Nhwc => {
                let numbered = levels.iter().zip((0..channels).cycle());
                for (element, (level, channel)) in elements.iter_mut().zip(numbered) {
                    *element = encode(*level, channel);
                }
            }
            Self::Nchw => {
                let planes = elements.chunks_exact_mut(levels.len() / channels);
                for (channel, plane) in planes.enumerate() {
                    let levels = levels.iter().skip(channel).step_by(channels);
                    for (element, level) in plane.iter_mut().zip(levels) {
                        *element = encode(*level, channel);
                    }
                }
            }
        }
        data
    }
}
