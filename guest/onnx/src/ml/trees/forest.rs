//! Trees as they are walked through: all branches of all trees in one list.

use std::ops::Range;

use tract_onnx::tract_core::internal::*;

use crate::ml::number::Number;
use crate::ml::rows::Rows;

/// How many rows go through a tree while it is in the cache.
const ROWS: usize = 64;
/// Marks a branch whose missing feature counts as at most its threshold.
const TAKES_MISSING: u32 = 1 << 31;

/// Decision trees. What stands for a branch is its place in `branches`, which is behind those of its
/// children; a leaf is its place in `leaves`, all bits turned over.
#[derive(Debug)]
pub(super) struct Forest<T> {
    pub(super) roots: Vec<u32>,
    pub(super) branches: Vec<Branch<T>>,
    /// Which of the weights each leaf adds.
    pub(super) leaves: Vec<Range<u32>>,
    pub(super) weights: Vec<Weight<T>>,
    /// How many scores a row gets, at least one.
    pub(super) targets: usize,
    /// How many features a row must have.
    pub(super) width: usize,
}

/// "Yes" if a feature is at most the threshold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch<T> {
    pub(super) threshold: T,
    pub(super) feature: u32,
    pub(super) yes: u32,
    pub(super) no: u32,
}

/// What a leaf adds to one of a row's scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<T> {
    pub(super) target: u32,
    pub(super) value: T,
}

/// One of a row's scores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score<T> {
    pub(super) value: T,
    /// Whether any leaf has said something about it.
    pub(super) is_set: bool,
}

impl<T: Number> Score<T> {
    /// What ONNX Runtime answers: what was not set is zero.
    pub(super) fn answer(&self) -> T {
        if self.is_set {
            self.value
        } else {
            T::default()
        }
    }
}

impl<T: Number> Branch<T> {
    pub(super) fn new(feature: u32, threshold: T, yes: u32, no: u32) -> Self {
        Self {
            threshold,
            feature,
            yes,
            no,
        }
    }

    pub(super) fn at_most(self, threshold: T) -> Self {
        Self { threshold, ..self }
    }

    pub(super) fn take_missing(&mut self) {
        self.feature |= TAKES_MISSING;
    }

    /// The number of its feature.
    pub(super) fn feature(&self) -> u32 {
        self.feature & !TAKES_MISSING
    }

    fn next(&self, row: &[T]) -> u32 {
        let feature = row.get(self.feature() as usize).copied().unwrap_or(T::NONE);
        let is_missing = feature.partial_cmp(&feature).is_none();
        let is_at_most = feature <= self.threshold;
        if is_at_most || is_missing && self.feature & TAKES_MISSING != 0 {
            self.yes
        } else {
            self.no
        }
    }
}

/// How the weights of trees become a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Least,
    Most,
}

impl<T: Number> Forest<T> {
    /// The scores of all rows, row by row.
    ///
    /// # Errors
    /// The rows have fewer features than the trees ask for.
    pub(super) fn scores(
        &self,
        rows: &Rows<T>,
        aggregate: Aggregate,
    ) -> TractResult<Vec<Score<T>>> {
        self.check(rows.width)?;
        let count = rows.count.checked_mul(self.targets);
        let mut scores = vec![Score::default(); count.context("too many rows")?];
        match aggregate {
            Aggregate::Sum | Aggregate::Average => {
                self.walk(rows, &mut scores, |score, weight| score.value += weight);
            }
            Aggregate::Least => self.walk(rows, &mut scores, |score, weight| {
                if !score.is_set || weight < score.value {
                    score.value = weight;
                }
            }),
            Aggregate::Most => self.walk(rows, &mut scores, |score, weight| {
                if !score.is_set || weight > score.value {
                    score.value = weight;
                }
            }),
        }
        Ok(scores)
    }

    /// # Errors
    /// Rows of this width have fewer features than the trees ask for.
    pub(super) fn check(&self, width: usize) -> TractResult<()> {
        let asked = self.width;
        ensure!(
            asked <= width,
            "the trees ask for {asked} features, and a row has {width}"
        );
        Ok(())
    }

    fn walk(&self, rows: &Rows<T>, scores: &mut [Score<T>], mut add: impl FnMut(&mut Score<T>, T)) {
        let blocks = scores.chunks_mut(ROWS * self.targets);
        for (start, block) in (0..).step_by(ROWS).zip(blocks) {
            for root in &self.roots {
                for (row, scores) in (start..).zip(block.chunks_exact_mut(self.targets)) {
                    for weight in self.leaf(*root, rows.row(row)) {
                        if let Some(score) = scores.get_mut(weight.target as usize) {
                            add(score, weight.value);
                            score.is_set = true;
                        }
                    }
                }
            }
        }
    }

    /// What the leaf adds at which a row ends. Each step leads to a smaller place, or to a leaf, which
    /// is outside.
    fn leaf(&self, root: u32, row: &[T]) -> &[Weight<T>] {
        let mut place = root;
        while let Some(branch) = self.branches.get(place as usize) {
            place = branch.next(row);
        }
        let range = self.leaves.get(!place as usize);
        let weights =
            range.and_then(|range| self.weights.get(range.start as usize..range.end as usize));
        weights.unwrap_or_default()
    }
}
