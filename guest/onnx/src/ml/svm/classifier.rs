//! `SVMClassifier`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::kernel::{Kernel, floats};
use super::probability::{Shares, pairs};
use crate::ml::labels::Labels;
use crate::ml::rows::declared;
use crate::ml::transform::{Transform, logistic};
use crate::ops::operator::{Built, Operator, build};

/// So many classes have matrices of pairs that any machine can hold.
const MOST_CLASSES: usize = 4096;

/// Which class a row belongs to, and its scores.
#[derive(Debug)]
struct SvmClassifier {
    kernel: Kernel,
    mode: Mode,
    labels: Labels,
    transform: Transform,
    rho: Vec<f32>,
    /// No coefficient is negative.
    is_positive: bool,
}

/// What the scores are about.
#[derive(Debug)]
enum Mode {
    /// One score a class, as liblinear has them.
    Classes,
    /// One score a pair of classes, as libsvm has them.
    Pairs {
        /// Where the support vectors of each class begin, and where the last ones end.
        starts: Vec<usize>,
        /// For each class but the last one, how much each support vector counts.
        coefficients: Vec<f32>,
        /// By which the scores of pairs become probabilities of classes, for each pair; or none.
        sigmoids: Vec<(f32, f32)>,
    },
}

/// What is computed of one row, in room that the next one uses again.
struct Room {
    /// How alike the row is to each support vector.
    likenesses: Vec<f32>,
    /// One score a pair of classes.
    scores: Vec<f32>,
    /// How many pairs each class wins.
    votes: Vec<usize>,
    shares: Shares,
}

pub(in crate::ml) fn classifier(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_ints")?;
    let classes = labels.len();
    ensure!(
        (2..=MOST_CLASSES).contains(&classes),
        "{classes} classes, and not 2 to {MOST_CLASSES}"
    );
    let coefficients = floats(node, "coefficients", 1)?;
    let sizes: Vec<usize> = node
        .get_attr_opt_vec("vectors_per_class")?
        .unwrap_or_default();
    let count = sizes
        .iter()
        .try_fold(0, |sum: usize, size| sum.checked_add(*size));
    let count = count.context("vectors_per_class is too large")?;
    let is_positive = coefficients.iter().all(|coefficient| *coefficient >= 0.0);
    let (kernel, mode, rho) = match count {
        0 => (Kernel::linear(&coefficients, classes)?, Mode::Classes, 1),
        count => {
            let kernel = Kernel::of(node, count)?;
            (
                kernel,
                Mode::of_pairs(node, &sizes, classes)?,
                pairs(classes).count(),
            )
        }
    };
    build(SvmClassifier {
        kernel,
        mode,
        labels,
        transform: Transform::of(node)?,
        rho: floats(node, "rho", rho)?,
        is_positive,
    })
}

impl Mode {
    fn of_pairs(node: &NodeProto, sizes: &[usize], classes: usize) -> TractResult<Self> {
        ensure!(
            sizes.len() == classes,
            "vectors_per_class has {} elements for {classes} classes",
            sizes.len()
        );
        let mut starts = vec![0];
        starts.extend(sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        }));
        let count = starts.last().copied().unwrap_or_default();
        let pairs = pairs(classes).count();
        let least = count.checked_mul(classes - 1);
        let (a, b) = (floats(node, "prob_a", 0)?, floats(node, "prob_b", 0)?);
        ensure!(
            a.len() == b.len() && (a.is_empty() || a.len() >= pairs),
            "prob_a has {} and prob_b {} elements for {pairs} pairs",
            a.len(),
            b.len()
        );
        Ok(Self::Pairs {
            starts,
            coefficients: floats(node, "coefficients", least.context("too many")?)?,
            sigmoids: a.into_iter().zip(b).collect(),
        })
    }
}

impl SvmClassifier {
    /// How many scores are answered for a row.
    fn answers(&self) -> usize {
        let classes = self.labels.len();
        match &self.mode {
            Mode::Pairs { sigmoids, .. } if sigmoids.is_empty() && classes > 2 => {
                pairs(classes).count()
            }
            _ => classes,
        }
    }

    /// Room for a row.
    fn room(&self) -> Room {
        let classes = self.labels.len();
        let are_shared = matches!(&self.mode, Mode::Pairs { sigmoids, .. } if !sigmoids.is_empty());
        Room {
            likenesses: Vec::new(),
            scores: Vec::new(),
            votes: vec![0; classes],
            shares: Shares::new(if are_shared { classes } else { 0 }),
        }
    }

    /// The class of a row, by its number, and its scores as they are answered.
    fn decide(&self, row: &[f32], room: &mut Room, answers: &mut Vec<f32>) -> TractResult<usize> {
        self.kernel.measure(row, &mut room.likenesses);
        let start = answers.len();
        match &self.mode {
            Mode::Classes => {
                let rho = self.rho.first().copied().unwrap_or_default();
                answers.extend(room.likenesses.iter().map(|score| score + rho));
                let scores = answers.get_mut(start..).unwrap_or_default();
                let class = self.best(scores);
                self.transform.apply(scores);
                Ok(class)
            }
            Mode::Pairs {
                starts,
                coefficients,
                sigmoids,
            } => {
                self.score_pairs(starts, coefficients, room)?;
                let class = most_votes(&room.scores, &mut room.votes);
                match (room.scores.as_mut_slice(), sigmoids.as_slice()) {
                    ([score], []) => {
                        let is_share = self.transform != Transform::None;
                        answers.extend(self.transform.apply_to_both(*score, is_share));
                    }
                    (scores, []) => {
                        self.transform.apply(scores);
                        answers.extend_from_slice(scores);
                    }
                    (scores, sigmoids) => {
                        for (score, (a, b)) in scores.iter_mut().zip(sigmoids) {
                            *score = 1.0 - logistic(*score * a + b);
                        }
                        let shares = room.shares.share(scores);
                        self.transform.apply(shares);
                        answers.extend_from_slice(shares);
                    }
                }
                Ok(class)
            }
        }
    }

    /// The class with the best of the scores; of two classes, ONNX Runtime only asks for its sign.
    fn best(&self, scores: &[f32]) -> usize {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, score) in scores.iter().enumerate() {
            if *score > best.1 {
                best = (class, *score);
            }
        }
        let is_second = match self.is_positive {
            true => best.1 >= 0.5,
            false => best.1 > 0.0,
        };
        match scores.len() {
            2 if is_second => 1,
            _ => best.0,
        }
    }

    /// One score for each pair of classes, positive for the first one.
    fn score_pairs(
        &self,
        starts: &[usize],
        coefficients: &[f32],
        room: &mut Room,
    ) -> TractResult<()> {
        let likenesses = room.likenesses.as_slice();
        let sum = |row: usize, class| {
            let counts = coefficients.get(row * likenesses.len()..);
            let counts = part(counts.unwrap_or_default(), starts, class)?;
            let products = counts.iter().zip(part(likenesses, starts, class)?);
            let products = products.map(|(count, likeness)| f64::from(count * likeness));
            Ok::<_, TractError>(products.sum::<f64>())
        };
        room.scores.clear();
        for ((i, j), rho) in pairs(self.labels.len()).zip(&self.rho) {
            let score = sum(j - 1, i)? + sum(i, j)? + f64::from(*rho);
            room.scores.push(score as f32);
        }
        Ok(())
    }
}

/// What a list has for the support vectors of a class.
///
/// # Errors
/// It has fewer elements than there are support vectors.
fn part<'a>(list: &'a [f32], starts: &[usize], class: usize) -> TractResult<&'a [f32]> {
    let range = starts.get(class).zip(starts.get(class + 1));
    let part = range.and_then(|(start, end)| list.get(*start..*end));
    part.with_context(|| format!("nothing for the support vectors of class {class}"))
}

/// The first of the classes that win most pairs.
fn most_votes(scores: &[f32], votes: &mut [usize]) -> usize {
    votes.fill(0);
    for ((i, j), score) in pairs(votes.len()).zip(scores) {
        let winner = votes.get_mut(if *score > 0.0 { i } else { j });
        winner.into_iter().for_each(|votes| *votes += 1);
    }
    let most = votes.iter().max();
    votes
        .iter()
        .position(|votes| Some(votes) == most)
        .unwrap_or(0)
}

impl Operator for SvmClassifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn count(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, Some(self.kernel.width()))?;
        let labels = self.labels.datum_type().fact([rows.clone()]);
        Ok(tvec!(
            labels,
            DatumType::F32.fact([rows, self.answers().to_dim()])
        ))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = self.kernel.rows(inputs)?;
        let (mut room, mut answers) = (self.room(), Vec::new());
        let decide = |row: &[f32]| self.decide(row, &mut room, &mut answers);
        let classes: Vec<usize> = rows.iter().map(decide).collect::<TractResult<_>>()?;
        let answers = Tensor::from_shape(&[classes.len(), self.answers()], &answers)?;
        Ok(tvec!(self.labels.tensor(&classes)?, answers))
    }
}
