//! What classes are called, and maps from these names to scores.

use std::collections::BTreeSet;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::DOMAIN;
use super::labels::Labels;

/// So many nodes may come between a classifier and an output that has its scores.
const MOST_BETWEEN: usize = 8;

/// Outputs that have a score for each class, with the names of these.
pub type ClassNames = Vec<(String, Vec<String>)>;

/// Takes maps off the end of a graph: what is left of such an output is the tensor of scores, under the
/// same name. What the classes of all outputs are called.
pub(crate) fn take_off_maps(graph: &mut GraphProto) -> ClassNames {
    let mut names = ClassNames::new();
    let outputs: Vec<String> = graph
        .output
        .iter()
        .map(|output| output.name.clone())
        .collect();
    let inputs = graph.node.iter().flat_map(|node| &node.input);
    let used: BTreeSet<String> = inputs.cloned().collect();
    let is_map = |node: &&mut NodeProto| node.domain == DOMAIN && node.op_type == "ZipMap";
    for node in graph.node.iter_mut().filter(is_map) {
        let Some(output) = node.output.first().cloned() else {
            continue;
        };
        if outputs.contains(&output) && !used.contains(&output) {
            if let Ok(labels) = Labels::of(node, "classlabels_int64s") {
                names.push((output, labels.names()));
            }
            *node = NodeProto {
                op_type: "Identity".into(),
                domain: String::new(),
                attribute: Vec::new(),
                ..node.clone()
            };
        }
    }
    for output in outputs {
        if !names.iter().any(|(name, _)| *name == output)
            && let Some(labels) = labels(graph, &output)
        {
            names.push((output, labels));
        }
    }
    names
}

/// The labels of the classifier whose scores an output has, maybe after some that keep their order.
fn labels(graph: &GraphProto, output: &str) -> Option<Vec<String>> {
    let mut tensor = output;
    for _ in 0..=MOST_BETWEEN {
        let makes = |node: &&NodeProto| node.output.iter().any(|output| output == tensor);
        let node = graph.node.iter().find(makes)?;
        let numbers = match node.op_type.as_str() {
            "Cast" | "Identity" | "Normalizer" => {
                tensor = node.input.first()?;
                continue;
            }
            "TreeEnsembleClassifier" => "classlabels_int64s",
            "LinearClassifier" | "SVMClassifier" => "classlabels_ints",
            _ => return None,
        };
        let are_scores = node.output.get(1).is_some_and(|scores| scores == tensor);
        return Labels::of(node, numbers)
            .ok()
            .filter(|_| are_scores)
            .map(Labels::names);
    }
    None
}
