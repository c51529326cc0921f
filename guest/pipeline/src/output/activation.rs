//! What turns a model's numbers into scores.

use serde::Deserialize;

/// What turns the model's numbers into scores.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Activation {
    #[default]
    None,
    Softmax,
    Sigmoid,
}

impl Activation {
    /// The scores of one row.
    pub(super) fn apply(self, row: &[f32]) -> Vec<f32> {
        match self {
            Self::None => row.to_vec(),
            Self::Sigmoid => row
                .iter()
                .map(|logit| 1.0 / (1.0 + (-logit).exp()))
                .collect(),
            Self::Softmax => {
                // The largest logit is subtracted, so that no exponential overflows.
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exponentials: Vec<f32> =
                    row.iter().map(|logit| (logit - largest).exp()).collect();
                let sum: f32 = exponentials.iter().sum();
                exponentials
                    .iter()
                    .map(|exponential| exponential / sum)
                    .collect()
            }
        }
    }
}
