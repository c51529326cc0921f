//! What the outputs of a model say of `[output]`.

use glovebox_protocol::{Datatype, TensorSpec};
use serde_json::Value;

use super::input::Media;
use super::{Assumption, Row, Table};
use crate::limits;
use crate::pack::config::ModelConfig;

/// Parts of the names of outputs that hold scores.
const SCORES: [&str; 4] = ["logit", "prob", "score", "softmax"];
/// Parts of the names of outputs that hold the number of a class.
const LABELS: [&str; 2] = ["label", "class"];
/// What exporters call a vector that was trained for something else than to stand for a text.
const POOLER: &str = "pooler_output";

/// An output, and what it probably is.
struct Reading<'a> {
    spec: &'a TensorSpec,
    kind: &'static str,
    certain: bool,
    /// Keys beside `kind` and `tensor`.
    more: Vec<Row>,
}

/// Keys of `[output]`, those that are written among them.
pub(super) fn guess(
    outputs: &[TensorSpec],
    config: &ModelConfig,
    media: Option<Media<'_>>,
) -> Vec<Assumption> {
    let (spec, rows) = match &config.output {
        Some(written) => match only_tensor(written, outputs) {
            Some(spec) => (spec, vec![tensor(spec, true)]),
            None => return Vec::new(),
        },
        None => match media.and_then(|media| answer(outputs, media)) {
            Some(reading) => (reading.spec, reading.rows(outputs)),
            None => return Vec::new(),
        },
    };
    Table::Output.assume(&Table::Output.says(spec), rows)
}

/// The tensor of a kind that is written, if only one can be it.
fn only_tensor<'a>(written: &Value, outputs: &'a [TensorSpec]) -> Option<&'a TensorSpec> {
    match super::kind(written)? {
        "classification" => match scores(outputs) {
            Some((spec, true)) => Some(spec),
            _ => only(of_rank(outputs, 2)).or_else(|| labels(outputs)),
        },
        "embedding" => match written.get("pooling").and_then(Value::as_str) {
            Some("none") => only(of_rank(outputs, 2)),
            Some(_) => only(of_rank(outputs, 3)),
            None => only(of_rank(outputs, 2)).or_else(|| only(of_rank(outputs, 3))),
        },
        "token_classification" => only(of_rank(outputs, 3)),
        "detection" if written.get("boxes").is_none() => only(of_rank(outputs, 3)),
        "segmentation" | "regression" => only(outputs.iter()),
        _ => None,
    }
}

/// What a model of such media probably answers.
fn answer<'a>(outputs: &'a [TensorSpec], media: Media<'_>) -> Option<Reading<'a>> {
    let reading = match media.kind {
        "text" => labelled_tokens(outputs)
            .or_else(|| classification(outputs).filter(|reading| reading.certain))
            .or_else(|| embedding(outputs)),
        "image" => classification(outputs)
            .or_else(|| segmentation(outputs))
            .or_else(|| detection(outputs)),
        "record" | "series" => classification(outputs)
            .filter(|reading| reading.certain)
            .or_else(|| regression(outputs))
            .or_else(|| classification(outputs)),
        _ => return None,
    };
    let reading = reading.or_else(|| label(outputs))?;
    Some(Reading {
        certain: reading.certain && media.certain,
        ..reading
    })
}

impl Reading<'_> {
    fn rows(self, outputs: &[TensorSpec]) -> Vec<Row> {
        let is_only = self.certain || outputs.len() == 1;
        let mut rows = vec![("kind", self.kind.into(), self.certain)];
        rows.push(tensor(self.spec, is_only));
        rows.extend(self.more);
        rows
    }
}

/// A score for each of some classes. What the numbers mean, only a name can tell.
fn classification(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let (spec, certain) = scores(outputs)?;
    let softmax = ("activation", "softmax".into(), true);
    let is_logits = is_named(spec, &["logit"]);
    Some(Reading {
        spec,
        kind: "classification",
        certain,
        more: is_logits.then_some(softmax).into_iter().collect(),
    })
}

/// The output that holds a score for each of some classes, and whether its name says so and no other
/// name does.
fn scores(outputs: &[TensorSpec]) -> Option<(&TensorSpec, bool)> {
    let has_classes = |spec: &&TensorSpec| spec.shape.last() != Some(&1);
    let rows: Vec<_> = of_rank(outputs, 2).filter(has_classes).collect();
    let is_scores = |spec: &&TensorSpec| is_named(spec, &SCORES);
    let mut named = rows.iter().copied().filter(is_scores);
    match (named.next(), named.next()) {
        (Some(spec), None) => Some((spec, true)),
        (Some(spec), Some(_)) => Some((spec, false)),
        (None, _) => rows.first().map(|spec| (*spec, false)),
    }
}

/// The label of each row, if that is all there is. A whole number may also be a count.
fn label(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let spec = labels(outputs)?;
    Some(Reading {
        spec,
        kind: "classification",
        certain: spec.datatype == Datatype::Bytes || is_named(spec, &LABELS),
        more: Vec::new(),
    })
}

/// The only output, if it can hold labels.
fn labels(outputs: &[TensorSpec]) -> Option<&TensorSpec> {
    let can_be = |spec: &&TensorSpec| {
        matches!(
            spec.datatype,
            Datatype::Bytes | Datatype::Int64 | Datatype::Int32
        ) && matches!(spec.shape.as_slice(), [_] | [_, 1])
    };
    only(outputs.iter()).filter(can_be)
}

/// One number for each row, if that is all there is.
fn regression(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let is_number =
        |spec: &&TensorSpec| is_float(spec) && matches!(spec.shape.as_slice(), [_] | [_, 1]);
    Some(Reading {
        spec: only(outputs.iter()).filter(is_number)?,
        kind: "regression",
        certain: true,
        more: Vec::new(),
    })
}

/// A score for each of some labels, for each token.
fn labelled_tokens(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let spec = of_rank(outputs, 3).find(|spec| is_named(spec, &SCORES))?;
    Some(Reading {
        spec,
        kind: "token_classification",
        certain: false,
        more: vec![("labels", super::names("label", *spec.shape.last()?)?, false)],
    })
}

/// A vector for each text, or one for each token.
fn embedding(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let is_vector = |spec: &&TensorSpec| spec.shape.last() != Some(&1) && spec.name != POOLER;
    let (spec, more) = match of_rank(outputs, 2).find(is_vector) {
        Some(spec) => (spec, Vec::new()),
        None => {
            let pooling = ("pooling", "mean".into(), false);
            let normalise = ("normalise", true.into(), false);
            (of_rank(outputs, 3).next()?, vec![pooling, normalise])
        }
    };
    Some(Reading {
        spec,
        kind: "embedding",
        certain: false,
        more,
    })
}

/// A score for each of some classes, for each pixel.
fn segmentation(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let is_mask = |spec: &&TensorSpec| {
        let classes = spec.shape.get(1);
        classes.is_some_and(|classes| (1..=limits::GUESSED_NAMES).contains(classes))
    };
    Some(Reading {
        spec: of_rank(outputs, 4).find(is_mask)?,
        kind: "segmentation",
        certain: false,
        more: Vec::new(),
    })
}

/// Boxes in the rows or columns of one output, as the models of the YOLO family have them.
fn detection(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let spec = only(of_rank(outputs, 3))?;
    let [_, rows, columns] = *spec.shape.as_slice() else {
        return None;
    };
    // Four numbers of a box, and a score at least.
    if rows.min(columns) < 5 {
        return None;
    }
    let transposed = columns > rows;
    let (row, format) = match (transposed, columns) {
        (true, _) => ("box scores", "cxcywh"),
        (false, 6) => ("box score class", "xyxy"),
        (false, _) => ("box objectness scores", "cxcywh"),
    };
    Some(Reading {
        spec,
        kind: "detection",
        certain: false,
        more: vec![
            ("row", row.into(), false),
            ("transposed", transposed.into(), false),
            ("format", format.into(), false),
        ],
    })
}

fn tensor(spec: &TensorSpec, certain: bool) -> Row {
    ("tensor", spec.name.as_str().into(), certain)
}

fn of_rank(outputs: &[TensorSpec], rank: usize) -> impl Iterator<Item = &TensorSpec> {
    let has_rank = move |spec: &&TensorSpec| is_float(spec) && spec.shape.len() == rank;
    outputs.iter().filter(has_rank)
}

fn is_float(spec: &TensorSpec) -> bool {
    matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64)
}

fn only<'a>(mut specs: impl Iterator<Item = &'a TensorSpec>) -> Option<&'a TensorSpec> {
    let first = specs.next()?;
    specs.next().is_none().then_some(first)
}

fn is_named(spec: &TensorSpec, parts: &[&str]) -> bool {
    let name = spec.name.to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}
