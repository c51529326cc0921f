//! Trees as a file describes them: those of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, whose
//! nodes are rows of parallel lists.

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_core::internal::*;

use crate::ops::elements::numbers;

/// Trees, not yet checked for cycles.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) splits: Vec<Split>,
    pub(super) leaves: Vec<Leaf>,
    /// Where each tree begins.
    pub(super) roots: Vec<To>,
    /// How many scores a row gets.
    pub(super) targets: usize,
}

/// A node that decides.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) feature: u32,
    pub(super) test: Test,
    /// Where a missing feature, which is NaN, goes instead of failing the test.
    pub(super) takes_missing: bool,
    pub(super) yes: To,
    pub(super) no: To,
}

/// What a node asks of a feature.
#[derive(Debug)]
pub(super) enum Test {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
    Equal(f64),
    Unequal(f64),
    /// Sorted.
    Among(Vec<f64>),
}

/// Where a node leads, or a tree begins: by number, in [`Plan::splits`] or [`Plan::leaves`].
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Split(usize),
    Leaf(usize),
}

/// What a leaf adds to the scores of which targets.
pub(super) type Leaf = Vec<(u32, f64)>;

/// What leaves are called: `class` or `target`.
pub(super) struct Names<'a> {
    pub(super) leaves: &'a str,
    /// How many scores there are.
    pub(super) targets: usize,
}

impl Plan {
    /// Reads the trees of a node.
    ///
    /// # Errors
    /// They are not consistent.
    pub(super) fn of(
        context: &ParsingContext<'_>,
        node: &NodeProto,
        names: &Names<'_>,
    ) -> TractResult<Self> {
        let nodes = Nodes::of(context, node)?;
        let mut plan = Self {
            splits: Vec::new(),
            leaves: Vec::new(),
            roots: Vec::new(),
            targets: names.targets,
        };
        let places = nodes.places(&mut plan)?;
        plan.weigh(context, node, names, &places)?;
        plan.split(&nodes, &places)?;
        plan.root(&nodes, &places)?;
        Ok(plan)
    }

    /// Reads what the leaves add.
    fn weigh(
        &mut self,
        context: &ParsingContext<'_>,
        node: &NodeProto,
        names: &Names<'_>,
        places: &Places,
    ) -> TractResult<()> {
        let name = |what: &str| format!("{}_{what}", names.leaves);
        let targets = whole(node, &name("ids"))?;
        let same = |list: &str, length| same_length(&name(list), length, "leaves", targets.len());
        let (trees, ids) = (
            whole(node, &name("treeids"))?,
            whole(node, &name("nodeids"))?,
        );
        let weights = reals(context, node, &name("weights"))?;
        same("treeids", trees.len())?;
        same("nodeids", ids.len())?;
        same("weights", weights.len())?;
        for (((tree, id), target), weight) in trees.iter().zip(ids).zip(targets).zip(weights) {
            let place = places.get(&(*tree, *id));
            let place = place.with_context(|| format!("tree {tree} has no node {id}, a leaf"))?;
            let target = u32::try_from(*target).ok();
            let target = target.filter(|target| (*target as usize) < self.targets);
            let target = target.with_context(|| {
                format!("{} has one that is not below {}", name("ids"), self.targets)
            })?;
            // Old converters wrote weights for all nodes; ONNX Runtime ignores those too.
            if let To::Leaf(leaf) = place
                && let Some(leaf) = self.leaves.get_mut(*leaf)
            {
                leaf.push((target, weight));
            }
        }
        for ((tree, id), place) in places {
            if let To::Leaf(leaf) = place {
                let adds = self.leaves.get(*leaf).is_some_and(|leaf| !leaf.is_empty());
                ensure!(adds, "tree {tree}: leaf {id} has no weight");
            }
        }
        Ok(())
    }

    /// Reads the nodes that are no leaves, in the order of their numbers.
    fn split(&mut self, nodes: &Nodes<'_>, places: &Places) -> TractResult<()> {
        for node in 0..nodes.count() {
            let place = |child: i64| {
                let place = places.get(&(at(nodes.trees, node)?, child)).copied();
                place.with_context(|| {
                    format!(
                        "node {} leads to {child}, which does not exist",
                        nodes.about(node)
                    )
                })
            };
            let Some(test) = nodes.test(node)? else {
                continue;
            };
            self.splits.push(Split {
                feature: feature(at(nodes.features, node)?)?,
                test,
                takes_missing: nodes.missing.get(node) == Some(&1),
                yes: place(at(nodes.yes, node)?)?,
                no: place(at(nodes.no, node)?)?,
            });
        }
        Ok(())
    }

    /// Finds out where each tree begins: at its only node that none leads to.
    fn root(&mut self, nodes: &Nodes<'_>, places: &Places) -> TractResult<()> {
        let mut is_child = (
            vec![false; self.splits.len()],
            vec![false; self.leaves.len()],
        );
        for child in self.splits.iter().flat_map(|split| [split.yes, split.no]) {
            let flag = match child {
                To::Split(at) => is_child.0.get_mut(at),
                To::Leaf(at) => is_child.1.get_mut(at),
            };
            flag.into_iter().for_each(|flag| *flag = true);
        }
        // In the order in which the trees are listed: their weights are added up in it.
        let mut roots: BTreeMap<i64, Option<To>> = BTreeMap::new();
        for ((tree, id), place) in places {
            let is_child = match place {
                To::Split(at) => is_child.0.get(*at),
                To::Leaf(at) => is_child.1.get(*at),
            };
            let root = roots.entry(*tree).or_default();
            if is_child == Some(&false) {
                ensure!(
                    root.is_none(),
                    "tree {tree} has two roots, one of them {id}"
                );
                *root = Some(*place);
            }
        }
        for tree in nodes.trees {
            if let Some(root) = roots.remove(tree) {
                let root = root.with_context(|| format!("tree {tree} has no root: a cycle"))?;
                self.roots.push(root);
            }
        }
        Ok(())
    }
}

/// Where nodes are, by tree and number.
type Places = BTreeMap<(i64, i64), To>;

/// The lists that describe nodes, all of the same length.
struct Nodes<'a> {
    trees: &'a [i64],
    ids: &'a [i64],
    features: &'a [i64],
    modes: &'a [Vec<u8>],
    thresholds: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    /// May be shorter.
    missing: &'a [i64],
}

impl<'a> Nodes<'a> {
    fn of(context: &ParsingContext<'_>, node: &'a NodeProto) -> TractResult<Self> {
        let modes = node.get_attr_opt_slice::<Vec<u8>>("nodes_modes")?;
        let nodes = Self {
            trees: whole(node, "nodes_treeids")?,
            ids: whole(node, "nodes_nodeids")?,
            features: whole(node, "nodes_featureids")?,
            modes: modes.unwrap_or_default(),
            thresholds: reals(context, node, "nodes_values")?,
            yes: whole(node, "nodes_truenodeids")?,
            no: whole(node, "nodes_falsenodeids")?,
            missing: whole(node, "nodes_missing_value_tracks_true")?,
        };
        ensure!(
            nodes.count() > 0,
            "nodes_nodeids is empty: there are no trees"
        );
        for (name, length) in [
            ("nodes_treeids", nodes.trees.len()),
            ("nodes_featureids", nodes.features.len()),
            ("nodes_modes", nodes.modes.len()),
            ("nodes_values", nodes.thresholds.len()),
            ("nodes_truenodeids", nodes.yes.len()),
            ("nodes_falsenodeids", nodes.no.len()),
        ] {
            same_length(name, length, "nodes", nodes.count())?;
        }
        Ok(nodes)
    }

    fn count(&self) -> usize {
        self.ids.len()
    }

    /// Numbers all nodes, and makes room for the leaves among them.
    fn places(&self, plan: &mut Plan) -> TractResult<Places> {
        let (mut places, mut splits) = (Places::new(), 0..);
        for (node, (tree, id)) in self.trees.iter().zip(self.ids).enumerate() {
            let place = if self.is_leaf(node) {
                plan.leaves.push(Leaf::new());
                To::Leaf(plan.leaves.len() - 1)
            } else {
                To::Split(splits.next().unwrap_or_default())
            };
            let other = places.insert((*tree, *id), place);
            ensure!(other.is_none(), "node {} is there twice", self.about(node));
        }
        Ok(places)
    }

    fn is_leaf(&self, node: usize) -> bool {
        self.modes.get(node).is_some_and(|mode| mode == b"LEAF")
    }

    /// What a node asks; nothing if it is a leaf.
    fn test(&self, node: usize) -> TractResult<Option<Test>> {
        let threshold = at(&self.thresholds, node)?;
        let mode = self.modes.get(node).map_or(&[] as &[u8], Vec::as_slice);
        Ok(Some(match mode {
            b"LEAF" => return Ok(None),
            b"BRANCH_LEQ" => Test::AtMost(threshold),
            b"BRANCH_LT" => Test::Below(threshold),
            b"BRANCH_GTE" => Test::AtLeast(threshold),
            b"BRANCH_GT" => Test::Above(threshold),
            b"BRANCH_EQ" => Test::Equal(threshold),
            b"BRANCH_NEQ" => Test::Unequal(threshold),
            other => bail!(
                "node {} has mode {:?}, which does not exist",
                self.about(node),
                String::from_utf8_lossy(other)
            ),
        }))
    }

    /// Which node this is.
    fn about(&self, node: usize) -> String {
        let (id, tree) = (self.ids.get(node), self.trees.get(node));
        format!("{} of tree {}", id.unwrap_or(&-1), tree.unwrap_or(&-1))
    }
}

/// A list of whole numbers; an empty one if there is none.
///
/// # Errors
/// The attribute is of another type.
pub(super) fn whole<'a>(node: &'a NodeProto, name: &str) -> TractResult<&'a [i64]> {
    Ok(node.get_attr_opt_slice(name)?.unwrap_or_default())
}

/// A list of numbers, which is an attribute or, for more digits, a tensor of almost the same name; an
/// empty one if there is neither.
///
/// # Errors
/// There are both, or they are of another type.
pub(super) fn reals(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    name: &str,
) -> TractResult<Vec<f64>> {
    let floats: &[f32] = node.get_attr_opt_slice(name)?.unwrap_or_default();
    let exact = tensor(context, node, &format!("{name}_as_tensor"))?;
    ensure!(
        floats.is_empty() || exact.is_empty(),
        "{name} and {name}_as_tensor are both there"
    );
    match exact.is_empty() {
        true => Ok(floats.iter().map(|float| f64::from(*float)).collect()),
        false => Ok(exact),
    }
}

/// The numbers of a tensor; none if it is not there.
///
/// # Errors
/// The attribute is no tensor of numbers.
pub(super) fn tensor(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    name: &str,
) -> TractResult<Vec<f64>> {
    let tensor: Option<&TensorProto> = node.get_attr_opt(name)?;
    tensor.map_or(Ok(Vec::new()), |tensor| {
        numbers(&context.load_tensor(tensor)?)
    })
}

/// The number of a feature.
///
/// # Errors
/// It is negative, or larger than any row is wide.
pub(super) fn feature(number: i64) -> TractResult<u32> {
    let feature = u32::try_from(number)
        .ok()
        .filter(|feature| *feature < 1 << 31);
    feature.with_context(|| format!("a node asks for feature {number}"))
}

/// # Errors
/// A list has not one element for each of what it describes.
pub(super) fn same_length(name: &str, length: usize, what: &str, count: usize) -> TractResult<()> {
    ensure!(
        length == count,
        "{name} has {length} elements for {count} {what}"
    );
    Ok(())
}

/// # Errors
/// There is no such element.
pub(super) fn at<N: Copy>(list: &[N], place: usize) -> TractResult<N> {
    let element = list.get(place).copied();
    element.with_context(|| format!("element {place} of {}", list.len()))
}
