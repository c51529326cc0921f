//! What `model.toml` leaves out, as far as the model's signature tells it.
//!
//! A guess is certain where there is hardly another reading; `pack` takes only those, and of a table
//! whose kind is not certain nothing. `init` writes all of them down, for a person to read.

mod input;
mod output;

use std::fmt;

use glovebox_protocol::{Signature, TensorSpec};
use serde::Serialize;
use serde_json::Value;

use super::config::ModelConfig;
use crate::{limits, text};

/// A key that is not written, and what it probably is.
#[derive(Clone, Debug, Serialize)]
pub struct Assumption {
    /// The table that it is in.
    pub table: Table,
    /// The key.
    pub key: &'static str,
    /// Its value, as it would be written. Names in it are the model's own, as they are.
    pub value: Value,
    /// What speaks for it. Names in it are escaped.
    pub since: String,
    /// Whether there is hardly another reading, the table being of its kind.
    #[serde(skip)]
    pub certain: bool,
}

/// A table that a signature says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// How media becomes tensors.
    Input,
    /// How tensors become an answer.
    Output,
}

/// A key, its value, and whether that is certain.
type Row = (&'static str, Value, bool);

impl Table {
    /// What it is called in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }

    fn of(self, config: &ModelConfig) -> Option<&Value> {
        match self {
            Self::Input => config.input.as_ref(),
            Self::Output => config.output.as_ref(),
        }
    }

    /// What one tensor of the signature says.
    fn says(self, spec: &TensorSpec) -> String {
        let (name, tensor) = (text::quoted(&spec.name), text::tensor(spec));
        format!("{} {name} is {tensor}", self.name())
    }

    /// Keys for which there is one reason.
    fn assume(self, since: &str, rows: Vec<Row>) -> Vec<Assumption> {
        let assumption = |(key, value, certain)| Assumption {
            table: self,
            key,
            value,
            since: since.to_owned(),
            certain,
        };
        rows.into_iter().map(assumption).collect()
    }
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = text::escape(&self.value.to_string());
        let (table, key, since) = (self.table.name(), self.key, &self.since);
        write!(f, "[{table}] {key} = {value}, since {since}")
    }
}

/// All that can be guessed of what the configuration leaves out.
pub fn guess(signature: &Signature, config: &ModelConfig) -> Vec<Assumption> {
    let input = input::guess(&signature.inputs, config);
    let media = input::kind(config, &input);
    let output = output::guess(&signature.outputs, config, media);
    let is_left_out = |assumption: &Assumption| {
        let written = assumption.table.of(config);
        written.is_none_or(|written| written.get(assumption.key).is_none())
    };
    let all = input.iter().chain(&output);
    all.filter(|assumption| is_left_out(assumption))
        .cloned()
        .collect()
}

/// What is certain of it.
pub(super) fn certain(signature: &Signature, config: &ModelConfig) -> Vec<Assumption> {
    let mut guess = guess(signature, config);
    let kinds = guess.iter().filter(|assumption| assumption.key == "kind");
    let unsure = kinds.filter(|kind| !kind.certain).map(|kind| kind.table);
    let unsure: Vec<_> = unsure.collect();
    guess.retain(|assumption| assumption.certain && !unsure.contains(&assumption.table));
    guess
}

/// Whether both tables are written, with all that could be assumed.
pub(super) fn is_complete(config: &ModelConfig) -> bool {
    let is_whole = |table: &Option<Value>| table.as_ref().is_some_and(is_whole);
    is_whole(&config.input) && is_whole(&config.output)
}

/// Whether a table has all keys that could be assumed.
pub(super) fn is_whole(table: &Value) -> bool {
    let has = |key| table.get(key).is_some();
    match kind(table) {
        Some("image") => has("colour") && has("width") && has("height"),
        Some("text") => has("tokenizer"),
        Some("detection") => has("tensor") || has("boxes"),
        Some(
            "classification" | "regression" | "embedding" | "token_classification" | "segmentation",
        ) => has("tensor"),
        _ => true,
    }
}

/// Names that somebody has to change, if they are not too many for that.
fn names(what: &str, count: i64) -> Option<Value> {
    let is_readable = (1..=limits::GUESSED_NAMES).contains(&count);
    let name = |number: i64| format!("{what}_{number}");
    is_readable.then(|| (1..=count).map(name).collect())
}

fn kind(table: &Value) -> Option<&str> {
    table.get("kind").and_then(Value::as_str)
}
