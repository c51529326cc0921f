//! `TreeEnsemble`, which came with version 5 of ai.onnx.ml: leaves have lists of their own, and a node can
//! ask whether a feature is in a set.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::ensemble::ensemble;
use super::forest::Aggregate;
use super::plan::{Leaf, Plan, Split, Test, To, at, feature, same_length, tensor, whole};
use super::regressor::{Targets, targets};
use crate::ml::transform::Transform;
use crate::ops::operator::Built;

pub(in crate::ml) fn tree_ensemble(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let count = targets(node)?;
    let plan = Plan {
        leaves: leaves(context, node, count)?,
        splits: splits(context, node)?,
        roots: roots(node)?,
        targets: count,
    };
    let outcome = Targets {
        name: "TreeEnsemble",
        count,
        aggregate: match node.get_attr_opt::<i64>("aggregate_function")?.unwrap_or(1) {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Least,
            3 => Aggregate::Most,
            other => bail!("aggregate_function {other} does not exist"),
        },
        transform: match node.get_attr_opt::<i64>("post_transform")?.unwrap_or(0) {
            0 => Transform::None,
            1 => Transform::Softmax,
            2 => Transform::Logistic,
            3 => Transform::SoftmaxZero,
            4 => Transform::Probit,
            other => bail!("post_transform {other} does not exist"),
        },
        base: Vec::new(),
        keeps_type: true,
    };
    check(&plan)?;
    ensemble(plan, outcome)
}

fn leaves(context: &ParsingContext<'_>, node: &NodeProto, count: usize) -> TractResult<Vec<Leaf>> {
    let targets = whole(node, "leaf_targetids")?;
    let weights = tensor(context, node, "leaf_weights")?;
    same_length("leaf_weights", weights.len(), "leaves", targets.len())?;
    let leaf = |(target, weight): (&i64, f64)| {
        let target = u32::try_from(*target).ok();
        let target = target.filter(|target| (*target as usize) < count);
        let target =
            target.with_context(|| format!("leaf_targetids has one that is not below {count}"))?;
        Ok(vec![(target, weight)])
    };
    targets.iter().zip(weights).map(leaf).collect()
}

fn splits(context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<Vec<Split>> {
    let thresholds = tensor(context, node, "nodes_splits")?;
    let modes = tensor(context, node, "nodes_modes")?;
    let features = whole(node, "nodes_featureids")?;
    let missing = whole(node, "nodes_missing_value_tracks_true")?;
    let [yes, no] = ["true", "false"].map(|side| {
        let (ids, leaves) = (format!("nodes_{side}nodeids"), format!("nodes_{side}leafs"));
        Ok::<_, TractError>((whole(node, &ids)?, whole(node, &leaves)?))
    });
    let (yes, no) = (yes?, no?);
    let count = thresholds.len();
    for (name, length) in [
        ("nodes_modes", modes.len()),
        ("nodes_featureids", features.len()),
        ("nodes_truenodeids", yes.0.len()),
        ("nodes_trueleafs", yes.1.len()),
        ("nodes_falsenodeids", no.0.len()),
        ("nodes_falseleafs", no.1.len()),
    ] {
        same_length(name, length, "nodes", count)?;
    }
    let members = tensor(context, node, "membership_values")?;
    // One behind the other, with NaN between them.
    let mut sets = members.split(|member| member.is_nan()).map(<[f64]>::to_vec);
    let mut splits = Vec::with_capacity(count);
    for (index, threshold) in thresholds.into_iter().enumerate() {
        let test = match at(&modes, index)? as u8 {
            0 => Test::AtMost(threshold),
            1 => Test::Below(threshold),
            2 => Test::AtLeast(threshold),
            3 => Test::Above(threshold),
            4 => Test::Equal(threshold),
            5 => Test::Unequal(threshold),
            6 => {
                let set = sets.next();
                let mut set = set.context("membership_values has fewer sets than nodes ask for")?;
                set.sort_by(f64::total_cmp);
                Test::Among(set)
            }
            other => bail!("node {index} has mode {other}, which does not exist"),
        };
        splits.push(Split {
            feature: feature(at(features, index)?)?,
            test,
            takes_missing: missing.get(index) == Some(&1),
            yes: child(yes, index)?,
            no: child(no, index)?,
        });
    }
    Ok(splits)
}

/// Where a node leads on one side.
fn child((ids, are_leaves): (&[i64], &[i64]), node: usize) -> TractResult<To> {
    let id = at(ids, node)?;
    let child = usize::try_from(id).ok();
    let child =
        child.with_context(|| format!("node {node} leads to {id}, which does not exist"))?;
    Ok(match at(are_leaves, node)? {
        0 => To::Split(child),
        _ => To::Leaf(child),
    })
}

fn roots(node: &NodeProto) -> TractResult<Vec<To>> {
    let roots = whole(node, "tree_roots")?;
    ensure!(!roots.is_empty(), "tree_roots is empty: there are no trees");
    let root = |root: &i64| Ok(To::Split(usize::try_from(*root)?));
    let roots: TractResult<_> = roots.iter().map(root).collect();
    roots.context("tree_roots has a negative one")
}

/// # Errors
/// A node or a tree leads to what does not exist.
fn check(plan: &Plan) -> TractResult<()> {
    let children = plan.splits.iter().flat_map(|split| [split.yes, split.no]);
    for to in children.chain(plan.roots.iter().copied()) {
        let (what, number, count) = match to {
            To::Split(split) => ("node", split, plan.splits.len()),
            To::Leaf(leaf) => ("leaf", leaf, plan.leaves.len()),
        };
        ensure!(
            number < count,
            "the trees lead to {what} {number} of {count}"
        );
    }
    Ok(())
}
