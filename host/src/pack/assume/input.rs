//! What the inputs of a model say of `[input]`.

use std::ops::RangeInclusive;

use glovebox_protocol::{Datatype, TensorSpec};
use serde_json::Value;

use super::{Assumption, Row, Table};
use crate::pack::config::ModelConfig;

/// Sides of pictures; what is smaller or larger is something else.
const SIDES: RangeInclusive<i64> = 8..=4096;
/// What stands for a side that the model leaves open: that of most models of pictures.
const USUAL_SIDE: i64 = 224;
const OPEN: i64 = -1;
/// What the inputs of models of texts are called.
const TOKENS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// What the model takes, and whether that is more than a guess.
#[derive(Clone, Copy)]
pub(super) struct Media<'a> {
    pub(super) kind: &'a str,
    pub(super) certain: bool,
}

/// What the model takes, by what is written or by what was guessed.
pub(super) fn kind<'a>(config: &'a ModelConfig, guess: &'a [Assumption]) -> Option<Media<'a>> {
    if let Some(written) = &config.input {
        let kind = super::kind(written)?;
        return Some(Media {
            kind,
            certain: true,
        });
    }
    let guessed = guess.iter().find(|assumption| assumption.key == "kind")?;
    Some(Media {
        kind: guessed.value.as_str()?,
        certain: guessed.certain,
    })
}

/// Keys of `[input]`, those that are written among them.
pub(super) fn guess(inputs: &[TensorSpec], config: &ModelConfig) -> Vec<Assumption> {
    let has_tokenizer = config.tokenizer.is_some();
    let Some(written) = &config.input else {
        let guess = text(inputs, has_tokenizer).or_else(|| match inputs {
            [spec] => image(spec)
                .or_else(|| record(spec))
                .or_else(|| series(spec)),
            inputs => columns(inputs),
        });
        return guess.unwrap_or_default();
    };
    match (super::kind(written), inputs) {
        (Some("image"), [spec]) => {
            let layout = written.get("layout").and_then(Value::as_str);
            let rows = picture(spec, layout).map(Picture::rows);
            Table::Input.assume(&Table::Input.says(spec), rows.unwrap_or_default())
        }
        (Some("text"), _) if has_tokenizer => Table::Input.assume("it is there", vec![tokenizer()]),
        _ => Vec::new(),
    }
}

/// A model of tokens beside its tokenizer takes texts.
fn text(inputs: &[TensorSpec], has_tokenizer: bool) -> Option<Vec<Assumption>> {
    let is_tokens = |spec: &TensorSpec| {
        let (name, datatype) = (spec.name.as_str(), spec.datatype);
        TOKENS.contains(&name)
            && matches!(datatype, Datatype::Int64 | Datatype::Int32)
            && spec.shape.len() == 2
    };
    let ids = inputs.iter().find(|spec| spec.name == TOKENS[0])?;
    if !has_tokenizer || !inputs.iter().all(is_tokens) {
        return None;
    }
    let since = format!("{}, and tokenizer.json is there", Table::Input.says(ids));
    let mut rows = vec![("kind", "text".into(), true), tokenizer()];
    if let Some(length @ 1..) = ids.shape.last().copied() {
        rows.push(("max_tokens", length.into(), true));
    }
    Some(Table::Input.assume(&since, rows))
}

fn tokenizer() -> Row {
    ("tokenizer", "tokenizer.json".into(), true)
}

/// Channels of colours and two sides are probably a picture; of bytes, certainly.
fn image(spec: &TensorSpec) -> Option<Vec<Assumption>> {
    let picture = picture(spec, None)?;
    let is_side = |side: i64| side == OPEN || SIDES.contains(&side);
    if !is_side(picture.width) || !is_side(picture.height) {
        return None;
    }
    let certain = spec.datatype == Datatype::Uint8;
    let kind = ("kind", "image".into(), certain);
    let rows = [vec![kind], picture.rows()].concat();
    Some(Table::Input.assume(&Table::Input.says(spec), rows))
}

/// How an input holds a picture.
struct Picture {
    colour: &'static str,
    width: i64,
    height: i64,
    layout: &'static str,
}

/// How an input of four dimensions holds a picture, if it can; with its axes in this order, if one is
/// given.
fn picture(spec: &TensorSpec, layout: Option<&str>) -> Option<Picture> {
    let [OPEN | 1, first, second, third] = *spec.shape.as_slice() else {
        return None;
    };
    if !matches!(spec.datatype, Datatype::Fp32 | Datatype::Uint8) {
        return None;
    }
    let is_last = match layout {
        Some(layout) => layout == "nhwc",
        None => !matches!(first, 1 | 3),
    };
    let (channels, height, width, layout) = match is_last {
        false => (first, second, third, "nchw"),
        true => (third, first, second, "nhwc"),
    };
    let colour = match channels {
        1 => "grey",
        3 => "rgb",
        _ => return None,
    };
    Some(Picture {
        colour,
        width,
        height,
        layout,
    })
}

impl Picture {
    fn rows(self) -> Vec<Row> {
        let side = |key, side: i64| match side {
            OPEN => (key, USUAL_SIDE.into(), false),
            side => (key, side.into(), true),
        };
        vec![
            ("colour", self.colour.into(), true),
            side("width", self.width),
            side("height", self.height),
            ("layout", self.layout.into(), true),
        ]
    }
}

/// Columns of numbers are probably fields, whose names nobody knows.
fn record(spec: &TensorSpec) -> Option<Vec<Assumption>> {
    let [_, columns] = *spec.shape.as_slice() else {
        return None;
    };
    let rows = vec![
        ("kind", "record".into(), false),
        ("fields", super::names("field", columns)?, false),
    ];
    is_float(spec).then(|| Table::Input.assume(&Table::Input.says(spec), rows))
}

/// An input for each column has the name of the field.
fn columns(inputs: &[TensorSpec]) -> Option<Vec<Assumption>> {
    let is_column = |spec: &TensorSpec| {
        let is_value = is_float(spec)
            || matches!(
                spec.datatype,
                Datatype::Int64 | Datatype::Int32 | Datatype::Bool | Datatype::Bytes
            );
        let is_one = matches!(spec.shape.as_slice(), [OPEN] | [OPEN, 1]);
        is_value && is_one && !TOKENS.contains(&spec.name.as_str())
    };
    if !inputs.iter().all(is_column) {
        return None;
    }
    let since = format!(
        "{}, and each of the others is one column, too",
        Table::Input.says(inputs.first()?)
    );
    let fields: Vec<_> = inputs.iter().map(|spec| spec.name.as_str()).collect();
    let rows = vec![
        ("kind", "record".into(), true),
        ("fields", fields.into(), true),
    ];
    Some(Table::Input.assume(&since, rows))
}

/// Numbers with two axes beside that of the rows may be steps with channels; of steps there are many,
/// or any number.
fn series(spec: &TensorSpec) -> Option<Vec<Assumption>> {
    let [OPEN | 1, first, second] = *spec.shape.as_slice() else {
        return None;
    };
    let (channels, layout) = match (first, second) {
        (_, OPEN) => (first, "channels_steps"),
        (OPEN, _) => (second, "steps_channels"),
        _ if first < second => (first, "channels_steps"),
        _ => (second, "steps_channels"),
    };
    let rows = vec![
        ("kind", "series".into(), false),
        ("channels", super::names("channel", channels)?, false),
        ("layout", layout.into(), false),
    ];
    is_float(spec).then(|| Table::Input.assume(&Table::Input.says(spec), rows))
}

fn is_float(spec: &TensorSpec) -> bool {
    matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64)
}
