//! `LinearClassifier` and `LinearRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::labels::Labels;
use super::rows::{Rows, declared, dot, only};
use super::transform::Transform;
use crate::ops::operator::{Built, Operator, build};

/// Products of features and coefficients.
#[derive(Debug)]
struct Linear {
    /// Those of the first target, then those of the next.
    coefficients: Vec<f32>,
    /// What is added, one for each target.
    intercepts: Vec<f32>,
    transform: Transform,
}

impl Linear {
    /// The coefficients of a node, for so many targets where it does not say.
    ///
    /// # Errors
    /// They are not consistent.
    fn of(node: &NodeProto, targets: usize) -> TractResult<Self> {
        let floats = |name| node.get_attr_opt_slice::<f32>(name);
        let coefficients = floats("coefficients")?.unwrap_or_default().to_vec();
        let intercepts = floats("intercepts")?.unwrap_or_default().to_vec();
        let intercepts = match intercepts.len() {
            0 => vec![0.0; targets],
            _ => intercepts,
        };
        let targets = intercepts.len();
        ensure!(
            !coefficients.is_empty() && coefficients.len().is_multiple_of(targets),
            "{} coefficients for {targets} targets",
            coefficients.len()
        );
        Ok(Self {
            coefficients,
            intercepts,
            transform: Transform::of(node)?,
        })
    }

    /// How many features a row has.
    fn width(&self) -> usize {
        self.coefficients.len() / self.intercepts.len()
    }

    /// How many scores a row gets.
    fn targets(&self) -> usize {
        self.intercepts.len()
    }

    /// The scores of all rows, not yet transformed.
    fn scores(&self, inputs: &[TValue]) -> TractResult<Vec<f32>> {
        let input = only(inputs)?;
        let rows = Rows::<f32>::of(input)?;
        let width = self.width();
        ensure!(
            rows.width == width,
            "{} features instead of {width}",
            rows.width
        );
        let mut scores = Vec::with_capacity(rows.count * self.targets());
        for row in rows.iter() {
            let targets = self.coefficients.chunks_exact(width).zip(&self.intercepts);
            scores.extend(targets.map(|(factors, intercept)| dot(row, factors) + intercept));
        }
        Ok(scores)
    }
}

/// Scores of classes, and which class has the best.
#[derive(Debug)]
struct LinearClassifier {
    linear: Linear,
    labels: Labels,
    /// One score stands for two classes.
    is_binary: bool,
}

pub(super) fn classifier(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_ints")?;
    let linear = Linear::of(node, labels.len())?;
    let is_one = linear.targets() == 1;
    ensure!(
        is_one || linear.targets() <= labels.len(),
        "{} labels for {} classes",
        labels.len(),
        linear.targets()
    );
    build(LinearClassifier {
        linear,
        is_binary: is_one && labels.len() == 2,
        labels: if is_one { labels.of_two() } else { labels },
    })
}

impl LinearClassifier {
    /// The class of a row, by its number, and its scores as they are answered.
    fn decide(&self, scores: &mut [f32], answers: &mut Vec<f32>) -> usize {
        if let [score] = scores {
            let class = usize::from(*score > 0.0);
            match self.is_binary {
                true => answers.extend(self.linear.transform.apply_to_both(*score, true)),
                false => answers.push(self.linear.transform.apply_alone(*score)),
            }
            return class;
        }
        let best = |best: (usize, f32), (class, score): (usize, &f32)| {
            if *score > best.1 {
                (class, *score)
            } else {
                best
            }
        };
        let start = (0, scores.first().copied().unwrap_or_default());
        let (class, _) = scores.iter().enumerate().fold(start, best);
        self.linear.transform.apply(scores);
        answers.extend_from_slice(scores);
        class
    }

    /// How many scores are answered for a row.
    fn answers(&self) -> usize {
        if self.is_binary {
            2
        } else {
            self.linear.targets()
        }
    }
}

impl Operator for LinearClassifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn count(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, Some(self.linear.width()))?;
        let labels = self.labels.datum_type().fact([rows.clone()]);
        Ok(tvec!(
            labels,
            DatumType::F32.fact([rows, self.answers().to_dim()])
        ))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut scores = self.linear.scores(inputs)?;
        let mut answers = Vec::with_capacity(scores.len());
        let rows = scores.chunks_exact_mut(self.linear.targets());
        let classes: Vec<usize> = rows.map(|row| self.decide(row, &mut answers)).collect();
        let answers = Tensor::from_shape(&[classes.len(), self.answers()], &answers)?;
        Ok(tvec!(self.labels.tensor(&classes)?, answers))
    }
}

/// Scores as they are.
#[derive(Debug)]
struct LinearRegressor(Linear);

pub(super) fn regressor(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("targets")?.unwrap_or(1);
    ensure!(targets > 0, "no targets");
    let linear = Linear::of(node, targets)?;
    ensure!(
        linear.targets() == targets,
        "{} intercepts for {targets} targets",
        linear.targets()
    );
    build(LinearRegressor(linear))
}

impl Operator for LinearRegressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, Some(self.0.width()))?;
        Ok(tvec!(
            DatumType::F32.fact([rows, self.0.targets().to_dim()])
        ))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut scores = self.0.scores(inputs)?;
        let targets = self.0.targets();
        for row in scores.chunks_exact_mut(targets) {
            match row {
                [score] => *score = self.0.transform.apply_alone(*score),
                scores => self.0.transform.apply(scores),
            }
        }
        let scores = Tensor::from_shape(&[scores.len() / targets, targets], &scores)?;
        Ok(tvec!(scores))
    }
}
