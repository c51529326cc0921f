//! `TreeEnsembleClassifier`: scores of classes, and which class has the best.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::ensemble::{Outcome, ensemble};
use super::forest::{Forest, Score};
use super::plan::{Names, Plan, reals};
use crate::ml::labels::Labels;
use crate::ml::number::Number;
use crate::ml::transform::Transform;
use crate::ops::operator::Built;

/// What is done with the scores of classes.
#[derive(Clone, Debug)]
struct Classes {
    /// How many there are.
    count: usize,
    labels: Labels,
    transform: Transform,
    base: Vec<f64>,
    /// Only one of them has weights.
    is_one_sided: bool,
    /// No weight is negative.
    is_positive: bool,
}

pub(in crate::ml) fn classifier(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::of(node, "classlabels_int64s")?;
    let names = Names {
        leaves: "class",
        targets: labels.len(),
    };
    let plan = Plan::of(context, node, &names)?;
    let base = reals(context, node, "base_values")?;
    let is_fit = match labels.len() {
        2 => base.len() <= 2,
        classes => base.is_empty() || base.len() == classes,
    };
    ensure!(
        is_fit,
        "base_values has {} elements for {} classes",
        base.len(),
        labels.len()
    );
    let mut weights = plan.leaves.iter().flatten();
    let first = weights.clone().next().map(|(class, _)| class);
    let classes = Classes {
        count: labels.len(),
        transform: Transform::of(node)?,
        base,
        is_one_sided: weights.clone().all(|(class, _)| Some(class) == first),
        is_positive: weights.all(|(_, weight)| *weight >= 0.0),
        labels: match labels.len() {
            1 => labels.of_two(),
            _ => labels,
        },
    };
    ensemble(plan, classes)
}

impl Classes {
    /// The class of a row, by its number, and its scores as they are answered.
    fn decide<T: Number>(&self, scores: &mut [Score<T>], answers: &mut [T]) -> usize {
        match scores {
            [score] => {
                score.value += self.base.last().map_or(T::default(), |base| T::of(*base));
                answers.fill(self.transform.apply_alone(score.value));
                usize::from(score.value > T::default())
            }
            [first, second] => self.decide_between(first, second, answers),
            scores => {
                for (score, base) in scores.iter_mut().zip(&self.base) {
                    score.value += T::of(*base);
                    score.is_set = true;
                }
                self.answer(scores, answers);
                best(scores)
            }
        }
    }

    /// Which of two classes. ONNX says little of them; this is what ONNX Runtime makes of it.
    fn decide_between<T: Number>(
        &self,
        first: &mut Score<T>,
        second: &mut Score<T>,
        answers: &mut [T],
    ) -> usize {
        let mut is_alone = !second.is_set;
        match self.base.as_slice() {
            [_, base] if second.is_set => {
                second.value = T::of(*base) + first.value;
                first.value = -second.value;
            }
            [base, other] => {
                first.value += T::of(*base);
                second.value += T::of(*other);
                is_alone = false;
            }
            [base] => first.value += T::of(*base),
            _ => {}
        }
        let decisive = if second.is_set {
            second.value
        } else {
            first.answer()
        };
        let is_share = self.is_one_sided && self.is_positive;
        let threshold = T::from(if is_share { 0.5 } else { 0.0 });
        match (is_alone, answers) {
            (true, [no, yes]) => [*no, *yes] = self.transform.apply_to_both(first.value, is_share),
            (_, answers) => self.answer(&[*first, *second], answers),
        }
        usize::from(decisive > threshold)
    }

    fn answer<T: Number>(&self, scores: &[Score<T>], answers: &mut [T]) {
        for (answer, score) in answers.iter_mut().zip(scores) {
            *answer = score.answer();
        }
        self.transform.apply(answers);
    }
}

impl Outcome for Classes {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn count(&self) -> usize {
        2
    }

    fn outputs(&self, rows: TDim, _: DatumType) -> TVec<TypedFact> {
        let labels = self.labels.datum_type().fact([rows.clone()]);
        let scores = DatumType::F32.fact([rows, self.count.to_dim()]);
        tvec!(labels, scores)
    }

    fn outcome<T: Number>(
        &self,
        forest: &Forest<T>,
        mut scores: Vec<Score<T>>,
    ) -> TractResult<TVec<Tensor>> {
        let mut answers = vec![T::default(); scores.len()];
        let rows = scores.chunks_exact_mut(forest.targets);
        let rows = rows.zip(answers.chunks_exact_mut(forest.targets));
        let classes = rows.map(|(scores, answers)| self.decide(scores, answers));
        let classes: Vec<usize> = classes.collect();
        let answers = Tensor::from_shape(&[classes.len(), forest.targets], &answers)?;
        let answers = answers.cast_to::<f32>()?.into_owned();
        Ok(tvec!(self.labels.tensor(&classes)?, answers))
    }
}

/// The first of the classes that have the largest score.
fn best<T: Number>(scores: &[Score<T>]) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (class, score) in scores.iter().enumerate().filter(|(_, score)| score.is_set) {
        if best.is_none_or(|(_, most)| score.value > most) {
            best = Some((class, score.value));
        }
    }
    best.map_or(0, |(class, _)| class)
}
