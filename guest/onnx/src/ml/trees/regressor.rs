//! `TreeEnsembleRegressor`: scores as they are.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::ensemble::{Outcome, ensemble};
use super::forest::{Aggregate, Forest, Score};
use super::plan::{Names, Plan, reals};
use crate::ml::number::Number;
use crate::ml::transform::Transform;
use crate::ops::operator::Built;

/// What is done with the scores of targets.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    pub(super) name: &'static str,
    pub(super) count: usize,
    pub(super) aggregate: Aggregate,
    pub(super) transform: Transform,
    /// What is added to the score of each target; nothing, or one for each.
    pub(super) base: Vec<f64>,
    /// The answers have the type of the features, and are not all FP32.
    pub(super) keeps_type: bool,
}

pub(in crate::ml) fn regressor(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let count = targets(node)?;
    let names = Names {
        leaves: "target",
        targets: count,
    };
    let plan = Plan::of(context, node, &names)?;
    let base = reals(context, node, "base_values")?;
    ensure!(
        base.is_empty() || base.len() == count,
        "base_values has {} elements for {count} targets",
        base.len()
    );
    let aggregate: Option<&str> = node.get_attr_opt("aggregate_function")?;
    let targets = Targets {
        name: "TreeEnsembleRegressor",
        count,
        aggregate: match aggregate.unwrap_or("SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Least,
            "MAX" => Aggregate::Most,
            other => bail!("aggregate_function {other:?} does not exist"),
        },
        transform: Transform::of(node)?,
        base,
        keeps_type: false,
    };
    ensemble(plan, targets)
}

/// How many scores a row may get. A file of a few bytes could ask for any number of them.
const MOST_TARGETS: i64 = 1 << 16;

/// How many scores a row gets.
///
/// # Errors
/// None, or too many.
pub(super) fn targets(node: &NodeProto) -> TractResult<usize> {
    let count: i64 = node.get_attr_opt("n_targets")?.unwrap_or(0);
    ensure!(
        (1..=MOST_TARGETS).contains(&count),
        "n_targets is {count}, not between 1 and {MOST_TARGETS}"
    );
    Ok(usize::try_from(count)?)
}

impl Targets {
    fn answer<T: Number>(&self, scores: &mut [Score<T>], trees: T, answers: &mut [T]) {
        if self.aggregate == Aggregate::Average {
            scores
                .iter_mut()
                .for_each(|score| score.value = score.value / trees);
        }
        for (score, base) in scores.iter_mut().zip(&self.base) {
            score.value += T::of(*base);
        }
        match (scores, answers) {
            ([score], [answer]) => *answer = self.transform.apply_alone(score.value),
            (scores, answers) => {
                for (answer, score) in answers.iter_mut().zip(scores) {
                    *answer = score.answer();
                }
                self.transform.apply(answers);
            }
        }
    }

    fn datum_type(&self, features: DatumType) -> DatumType {
        match features {
            DatumType::F64 if self.keeps_type => DatumType::F64,
            _ => DatumType::F32,
        }
    }
}

impl Outcome for Targets {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aggregate(&self) -> Aggregate {
        self.aggregate
    }

    fn outputs(&self, rows: TDim, features: DatumType) -> TVec<TypedFact> {
        let datum_type = self.datum_type(features);
        tvec!(datum_type.fact([rows, self.count.to_dim()]))
    }

    fn outcome<T: Number>(
        &self,
        forest: &Forest<T>,
        mut scores: Vec<Score<T>>,
    ) -> TractResult<TVec<Tensor>> {
        let trees = T::of(forest.roots.len() as f64);
        let mut answers = vec![T::default(); scores.len()];
        let rows = scores.chunks_exact_mut(self.count);
        for (scores, answers) in rows.zip(answers.chunks_exact_mut(self.count)) {
            self.answer(scores, trees, answers);
        }
        let answers = Tensor::from_shape(&[answers.len() / self.count, self.count], &answers)?;
        let datum_type = self.datum_type(T::datum_type());
        Ok(tvec!(answers.cast_to_dt(datum_type)?.into_owned()))
    }
}
