//! What the outputs of a model say of `[output]`.

use glovebox_protocol::{Datatype, TensorSpec};
use serde_json::Value;

use super::input::Media;
use super::{Assumption, Row, Table};
use crate::limits;
use crate::pack::config::ModelConfig;

/// Parts of the names of outputs that hold scores.
const SCORES: [&str; 4] = ["logit", "prob", "score", "softmax"];
/// What exporters call a vector that is trained for something else than to stand for a text.
const POOLER: &str = "pooler_output";

/// An output with what it can be.
struct Reading<'a> {
    spec: &'a TensorSpec,
    certain: bool,
    rows: Vec<Row>,
}

/// Keys of `[output]`, those that are written among them.
pub(super) fn guess(
    outputs: &[TensorSpec],
    config: &ModelConfig,
    media: Option<Media<'_>>,
) -> Vec<Assumption> {
    let reading = match &config.output {
        Some(written) => written_kind(written, outputs),
        None => media.and_then(|media| answer(outputs, media)),
    };
    let Some(reading) = reading else {
        return Vec::new();
    };
    let since = Table::Output.says(reading.spec);
    Table::Output.assume(&since, reading.certain, reading.rows)
}

/// The tensor of a kind that is written, if only one can be it.
fn written_kind<'a>(written: &Value, outputs: &'a [TensorSpec]) -> Option<Reading<'a>> {
    let spec = match super::kind(written)? {
        "classification" => match scores(outputs) {
            Some((spec, true)) => Some(spec),
            _ => only(of_rank(outputs, 2)),
        },
        "embedding" => match written.get("pooling").and_then(Value::as_str) {
            Some("none") => only(of_rank(outputs, 2)),
            Some(_) => only(of_rank(outputs, 3)),
            None => only(of_rank(outputs, 2)).or_else(|| only(of_rank(outputs, 3))),
        },
        "token_classification" => only(of_rank(outputs, 3)),
        "detection" if written.get("boxes").is_none() => only(of_rank(outputs, 3)),
        "segmentation" => only(outputs.iter()),
        _ => None,
    };
    Some(Reading {
        rows: vec![tensor(spec?)],
        spec: spec?,
        certain: true,
    })
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
        "record" => classification(outputs),
        _ => None,
    }?;
    Some(Reading {
        certain: reading.certain && media.certain,
        ..reading
    })
}

/// A score for each of some classes. What the numbers mean, only a name can tell.
fn classification(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let (spec, certain) = scores(outputs)?;
    let mut rows = vec![("kind", "classification".into(), true), tensor(spec)];
    if is_named(spec, &["logit"]) {
        rows.push(("activation", "softmax".into(), true));
    }
    Some(Reading {
        spec,
        certain,
        rows,
    })
}

/// The output that holds a score for each of some classes, and whether its name says so and it is the
/// only one.
fn scores(outputs: &[TensorSpec]) -> Option<(&TensorSpec, bool)> {
    let has_classes = |spec: &&TensorSpec| spec.shape.last() != Some(&1);
    let rows: Vec<_> = of_rank(outputs, 2).filter(has_classes).collect();
    let mut named = rows.iter().copied().filter(|spec| is_named(spec, &SCORES));
    match (named.next(), named.next()) {
        (Some(spec), None) => Some((spec, true)),
        (Some(spec), Some(_)) => Some((spec, false)),
        (None, _) => rows.first().map(|spec| (*spec, false)),
    }
}

/// A score for each of some labels, for each token.
fn labelled_tokens(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let spec = of_rank(outputs, 3).find(|spec| is_named(spec, &SCORES))?;
    let count = *spec.shape.last()?;
    if !(2..=limits::GUESSED_NAMES).contains(&count) {
        return None;
    }
    let labels: Vec<_> = (1..=count).map(|label| format!("label_{label}")).collect();
    Some(Reading {
        spec,
        certain: false,
        rows: vec![
            ("kind", "token_classification".into(), true),
            tensor(spec),
            ("labels", labels.into(), false),
        ],
    })
}

/// A vector for each text, or one for each token.
fn embedding(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let is_vector = |spec: &&TensorSpec| spec.shape.last() != Some(&1) && spec.name != POOLER;
    let kind = ("kind", "embedding".into(), true);
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
        certain: false,
        rows: [vec![kind, tensor(spec)], more].concat(),
    })
}

/// A score for each of some classes, for each pixel.
fn segmentation(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let is_mask = |spec: &&TensorSpec| {
        let classes = spec.shape.get(1).copied();
        classes.is_some_and(|classes| (1..=limits::GUESSED_NAMES).contains(&classes))
    };
    let spec = of_rank(outputs, 4).find(is_mask)?;
    Some(Reading {
        spec,
        certain: false,
        rows: vec![("kind", "segmentation".into(), true), tensor(spec)],
    })
}

/// Boxes in the rows or columns of one output, as the models of the YOLO family have them.
fn detection(outputs: &[TensorSpec]) -> Option<Reading<'_>> {
    let spec = only(of_rank(outputs, 3))?;
    let [_, first, second] = *spec.shape.as_slice() else {
        return None;
    };
    let transposed = second > first;
    let (row, format) = match (transposed, second) {
        (true, _) => ("box scores", "cxcywh"),
        (false, 6) => ("box score class", "xyxy"),
        (false, _) => ("box objectness scores", "cxcywh"),
    };
    (first.min(second) > 4).then(|| Reading {
        spec,
        certain: false,
        rows: vec![
            ("kind", "detection".into(), true),
            tensor(spec),
            ("row", row.into(), false),
            ("transposed", transposed.into(), false),
            ("format", format.into(), false),
        ],
    })
}

fn tensor(spec: &TensorSpec) -> Row {
    ("tensor", spec.name.as_str().into(), true)
}

fn of_rank(outputs: &[TensorSpec], rank: usize) -> impl Iterator<Item = &TensorSpec> {
    let fits =
        move |spec: &&TensorSpec| spec.datatype == Datatype::Fp32 && spec.shape.len() == rank;
    outputs.iter().filter(fits)
}

fn only<'a>(mut specs: impl Iterator<Item = &'a TensorSpec>) -> Option<&'a TensorSpec> {
    let first = specs.next()?;
    specs.next().is_none().then_some(first)
}

fn is_named(spec: &TensorSpec, parts: &[&str]) -> bool {
    let name = spec.name.to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}
