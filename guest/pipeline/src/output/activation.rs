//! What turns a model's numbers into scores.

use serde::Deserialize;

/// What turns the model's numbers into scores.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Activation {
    /// They are scores.
    #[default]
    None,
    /// All together add up to 1.
    Softmax,
    /// Each by itself, from 0 to 1.
    Sigmoid,
}

impl Activation {
    /// Turns the numbers of one row into scores.
    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Sigmoid => row.iter_mut().for_each(|score| *score = sigmoid(*score)),
            Self::Softmax => {
                // The largest logit is subtracted, so that no exponential overflows.
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter_mut()
                    .for_each(|score| *score = (*score - largest).exp());
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|score| *score /= sum);
            }
        }
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
