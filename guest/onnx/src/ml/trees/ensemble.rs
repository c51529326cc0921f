//! An ensemble of trees as an operator.

use std::fmt::Debug;

use tract_onnx::tract_core::internal::*;

use super::forest::{Aggregate, Forest, Score};
use super::plan::Plan;
use crate::ml::number::Number;
use crate::ml::rows::{Rows, declared, only};
use crate::ops::operator::{Built, Operator, build};

/// What becomes of the scores of trees.
pub(super) trait Outcome: Clone + Debug + Send + Sync + 'static {
    /// The operator as ONNX calls it.
    fn name(&self) -> &'static str;

    /// How many outputs it has.
    fn count(&self) -> usize {
        1
    }

    /// How the weights of trees become a score.
    fn aggregate(&self) -> Aggregate {
        Aggregate::Sum
    }

    /// The outputs for so many rows of features of this type.
    fn outputs(&self, rows: TDim, features: DatumType) -> TVec<TypedFact>;

    /// The outputs for the scores of all rows.
    ///
    /// # Errors
    /// There is a bug here.
    fn outcome<T: Number>(
        &self,
        forest: &Forest<T>,
        scores: Vec<Score<T>>,
    ) -> TractResult<TVec<Tensor>>;
}

/// The operator for these trees.
///
/// # Errors
/// They have a cycle.
pub(super) fn ensemble(plan: Plan, outcome: impl Outcome) -> Built {
    build(Planned { plan, outcome })
}

/// Trees for features of a type that is not known yet.
#[derive(Debug)]
struct Planned<O> {
    plan: Plan,
    outcome: O,
}

/// Trees for features of one type.
#[derive(Debug)]
struct Grown<T, O> {
    forest: Forest<T>,
    outcome: O,
}

impl<O: Outcome> Planned<O> {
    fn grown<T: Number>(&self) -> TractResult<Grown<T, O>> {
        Ok(Grown {
            forest: Forest::grow(&self.plan)?,
            outcome: self.outcome.clone(),
        })
    }
}

impl<O: Outcome> Operator for Planned<O> {
    fn name(&self) -> &'static str {
        self.outcome.name()
    }

    fn count(&self) -> usize {
        self.outcome.count()
    }

    fn prepared(&self, inputs: &[&TypedFact]) -> TractResult<Option<Arc<dyn Operator>>> {
        let is_double = inputs
            .iter()
            .any(|input| input.datum_type == DatumType::F64);
        let grown: Arc<dyn Operator> = match is_double {
            true => Arc::new(self.grown::<f64>()?),
            false => Arc::new(self.grown::<f32>()?),
        };
        Ok(Some(grown))
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, None)?;
        let features = inputs
            .first()
            .map_or(DatumType::F32, |input| input.datum_type);
        Ok(self.outcome.outputs(rows, features))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        self.grown::<f64>()?.compute(inputs)
    }
}

impl<T: Number, O: Outcome> Operator for Grown<T, O> {
    fn name(&self) -> &'static str {
        self.outcome.name()
    }

    fn count(&self) -> usize {
        self.outcome.count()
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = declared(inputs, None)?;
        let width = inputs.first().and_then(|input| input.shape.last());
        if let Some(Ok(width)) = width.map(TDim::to_usize) {
            self.forest.check(width)?;
        }
        Ok(self.outcome.outputs(rows, T::datum_type()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let scores = self
            .forest
            .scores(&Rows::of(input)?, self.outcome.aggregate())?;
        self.outcome.outcome(&self.forest, scores)
    }
}
