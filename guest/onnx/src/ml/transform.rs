//! What is done to scores at the end: `post_transform`.

use std::f32::consts::{PI, SQRT_2};

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::number::Number;

/// What scores become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Softmax,
    Logistic,
    /// Softmax among scores that are not zero.
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// What a node's attribute says.
    ///
    /// # Errors
    /// There is no such transform.
    pub(super) fn of(node: &NodeProto) -> TractResult<Self> {
        let name: Option<&str> = node.get_attr_opt("post_transform")?;
        Ok(match name.unwrap_or("NONE") {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => bail!("post_transform {other:?} does not exist"),
        })
    }

    /// Applies it to the scores of a row. Like ONNX Runtime, in FP32.
    pub(super) fn apply<T: Number>(self, scores: &mut [T]) {
        match self {
            Self::None => {}
            Self::Softmax => softmax(scores, |_| true),
            Self::SoftmaxZero => softmax(scores, |score| score.abs() > 1e-7),
            Self::Logistic => each(scores, logistic),
            Self::Probit => each(scores, probit),
        }
    }

    /// Applies it to the only score of a row, which ONNX Runtime changes in one case only.
    pub(super) fn apply_alone<T: Number>(self, score: T) -> T {
        match self {
            Self::Probit => probit(score.narrow()).into(),
            _ => score,
        }
    }

    /// The scores of two classes, where one stands for both; `is_share` if it is a part of one.
    pub(super) fn apply_to_both<T: Number>(self, score: T, is_share: bool) -> [T; 2] {
        match self {
            Self::Probit => [probit(score.narrow()).into(), T::default()],
            _ if is_share => [T::from(1.0) + -score, score],
            Self::Logistic => {
                let score = score.narrow();
                [logistic(-score).into(), logistic(score).into()]
            }
            _ => [-score, score],
        }
    }
}

fn each<T: Number>(scores: &mut [T], mut transform: impl FnMut(f32) -> f32) {
    for score in scores {
        *score = transform(score.narrow()).into();
    }
}

/// Scores that do not take part stay what they are, in proportion.
fn softmax<T: Number>(scores: &mut [T], takes_part: impl Fn(f32) -> bool) {
    let narrow = scores.iter().map(|score| score.narrow());
    let largest = narrow.fold(
        f32::MIN,
        |most, score| if score > most { score } else { most },
    );
    let mut sum = 0.0;
    each(scores, |score| {
        if !takes_part(score) {
            return score * (-largest).exp();
        }
        let power = (score - largest).exp();
        sum += power;
        power
    });
    each(scores, |score| score / sum);
}

pub(super) fn logistic(score: f32) -> f32 {
    let upper = 1.0 / (1.0 + (-score.abs()).exp());
    if score < 0.0 { 1.0 - upper } else { upper }
}

/// The inverse of the normal distribution, by Winitzki's approximation of the inverse error function.
fn probit(share: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * share - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (PI * A) + 0.5 * log;
    let root = (half * half - log / A).sqrt();
    SQRT_2 * sign * (root - half).sqrt()
}
