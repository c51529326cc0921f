//! From trees as a file describes them to [`Forest`]: every test becomes "at most", and children come
//! before their parents, so that no walk is endless.

use std::ops::Range;

use tract_onnx::tract_core::internal::*;

use super::forest::{Branch, Forest, Weight};
use super::plan::{Plan, Split, Test, To};
use crate::ml::number::Number;

impl<T: Number> Forest<T> {
    /// The forest of this plan.
    ///
    /// # Errors
    /// There is a cycle.
    pub(super) fn grow(plan: &Plan) -> TractResult<Self> {
        let mut growth = Growth {
            plan,
            branches: Vec::with_capacity(plan.splits.len()),
            stages: vec![Stage::Unseen; plan.splits.len()],
        };
        let roots = plan.roots.iter().map(|root| growth.tree(*root));
        let roots = roots.collect::<TractResult<_>>()?;
        let branches = growth.branches;
        ensure!(
            branches.len() + plan.leaves.len() < u32::MAX as usize,
            "too many nodes"
        );
        let (leaves, weights) = leaves(plan);
        let features = plan.splits.iter().map(|split| split.feature as usize + 1);
        Ok(Self {
            roots,
            branches,
            leaves,
            weights,
            targets: plan.targets,
            width: features.max().unwrap_or(0),
        })
    }
}

/// What all leaves add, one behind the other, and where that of each one is.
fn leaves<T: Number>(plan: &Plan) -> (Vec<Range<u32>>, Vec<Weight<T>>) {
    let mut weights = Vec::with_capacity(plan.leaves.len());
    let mut range = |leaf: &Vec<(u32, f64)>| {
        let start = weights.len() as u32;
        weights.extend(leaf.iter().map(|(target, value)| Weight {
            target: *target,
            value: T::of(*value),
        }));
        start..weights.len() as u32
    };
    let ranges = plan.leaves.iter().map(&mut range).collect();
    (ranges, weights)
}

/// How far a split has come.
#[derive(Clone, Copy)]
enum Stage {
    Unseen,
    /// Its children are on their way.
    Open,
    /// What stands for it.
    Placed(u32),
}

struct Growth<'a, T> {
    plan: &'a Plan,
    branches: Vec<Branch<T>>,
    stages: Vec<Stage>,
}

impl<T: Number> Growth<'_, T> {
    /// Places a tree. Trees may be deeper than the stack, and branches may meet again, which those of
    /// LightGBM do: it asks for one category after the other.
    fn tree(&mut self, root: To) -> TractResult<u32> {
        let plan = self.plan;
        let mut path = vec![root];
        while let Some(To::Split(at)) = path.last().copied() {
            let (Some(stage), Some(split)) = (self.stages.get(at), plan.splits.get(at)) else {
                bail!("node {at} does not exist");
            };
            match stage {
                Stage::Unseen => {
                    self.set(at, Stage::Open);
                    for child in [split.yes, split.no] {
                        match self.stage(child) {
                            Some(Stage::Open) => bail!("a tree has a cycle"),
                            Some(Stage::Unseen) => path.push(child),
                            _ => {}
                        }
                    }
                }
                Stage::Open => {
                    let place = self.split(split)?;
                    self.set(at, Stage::Placed(place));
                    path.pop();
                }
                // Another way has led here in the meantime.
                Stage::Placed(_) => {
                    path.pop();
                }
            }
        }
        self.place(root)
    }

    fn set(&mut self, split: usize, stage: Stage) {
        let old = self.stages.get_mut(split);
        old.into_iter().for_each(|old| *old = stage);
    }

    /// How far a split has come; nothing if it is a leaf.
    fn stage(&self, to: To) -> Option<Stage> {
        match to {
            To::Split(at) => self.stages.get(at).copied(),
            To::Leaf(_) => None,
        }
    }

    /// What stands for a leaf, or for a split that is placed.
    fn place(&self, to: To) -> TractResult<u32> {
        match (to, self.stage(to)) {
            (To::Leaf(leaf), _) => Ok(!(leaf as u32)),
            (_, Some(Stage::Placed(place))) => Ok(place),
            (To::Split(at), _) => bail!("node {at} has no place"),
        }
    }

    /// Places a split whose children are placed. Of numbers, "at least" is the opposite of "below",
    /// and to be below a number is to be at most the next smaller one.
    fn split(&mut self, split: &Split) -> TractResult<u32> {
        let (yes, no) = (self.place(split.yes)?, self.place(split.no)?);
        let mut branch = Branch::new(split.feature, T::NONE, yes, no);
        let mut opposite = Branch::new(split.feature, T::NONE, no, yes);
        if split.takes_missing {
            branch.take_missing();
        } else {
            opposite.take_missing();
        }
        Ok(match &split.test {
            Test::AtMost(threshold) => self.push(branch.at_most(T::of(*threshold))),
            Test::Below(threshold) => self.push(branch.at_most(T::of(*threshold).below())),
            // No number is at least what is none.
            Test::AtLeast(threshold) | Test::Above(threshold) if threshold.is_nan() => {
                self.push(branch)
            }
            Test::AtLeast(threshold) => self.push(opposite.at_most(T::of(*threshold).below())),
            Test::Above(threshold) => self.push(opposite.at_most(T::of(*threshold))),
            Test::Equal(number) => self.among(&[T::of(*number)], branch),
            // What is no number is unequal to all.
            Test::Unequal(number) => {
                let opposite = Branch::new(split.feature, T::NONE, no, yes);
                self.among(&[T::of(*number)], opposite)
            }
            Test::Among(members) => {
                let members: Vec<T> = members.iter().map(|member| T::of(*member)).collect();
                match members.as_slice() {
                    [] => self.push(branch),
                    members => self.among(members, branch),
                }
            }
        })
    }

    /// Places branches that find out, by halves, whether a feature is among these numbers, which are
    /// sorted.
    fn among(&mut self, members: &[T], branch: Branch<T>) -> u32 {
        let (smaller, rest) = members.split_at(members.len() / 2);
        let Some((member, larger)) = rest.split_first() else {
            return branch.no;
        };
        let plain = Branch::new(branch.feature(), T::NONE, branch.yes, branch.no);
        let (below, above) = (self.among(smaller, plain), self.among(larger, plain));
        let equal = Branch::new(branch.feature(), member.below(), below, branch.yes);
        let yes = self.push(equal);
        self.push(Branch {
            yes,
            no: above,
            ..branch.at_most(*member)
        })
    }

    fn push(&mut self, branch: Branch<T>) -> u32 {
        self.branches.push(branch);
        self.branches.len() as u32 - 1
    }
}
