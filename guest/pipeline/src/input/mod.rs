//! `[input]`: media to tensors.

mod image;
mod record;
mod rows;
mod series;
pub(crate) mod text;
mod values;

use glovebox_protocol::{Tensor, TensorSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

pub(crate) use self::image::{Placement, Size};

use crate::CallError;
use rows::Found;
use text::Texts;

/// How media becomes tensors.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Input {
    Image(image::ImageInput),
    Record(record::RecordInput),
    Series(series::SeriesInput),
    Text(Box<text::TextInput>),
}

impl Input {
    /// What `kind` can be.
    pub(crate) const KINDS: [&str; 4] = ["image", "record", "series", "text"];
}

/// Media as the model takes it.
pub(crate) struct Decoded {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) origin: Origin,
}

/// What a model is tried with when it is packed.
pub struct Probe {
    /// What to ask it.
    pub tensors: Vec<Tensor>,
    /// What that is, for its author.
    pub about: String,
}

/// How long rows of tokens can be.
pub struct Lengths {
    /// Lengths in ascending order; a row that lies between two is padded to the longer one.
    pub lengths: Vec<usize>,
    /// The input that tells tokens from padding.
    pub mask: String,
}

/// What an answer has to know of the media that it answers.
pub(crate) enum Origin {
    /// Nothing but how many rows there are, which the tensors tell.
    Rows,
    /// How large the picture is, and where it lies on the model's input.
    Picture(Placement),
    /// How many records there are.
    Records(Found),
    /// Texts and their tokens.
    Texts(Texts),
}

impl Origin {
    /// Whether one answer is a list, as its media was.
    pub(crate) fn is_list(&self) -> bool {
        match self {
            Self::Rows | Self::Picture(_) => false,
            Self::Records(records) => records.is_list,
            Self::Texts(texts) => texts.is_list,
        }
    }

    /// How many answers there have to be, where the media tells it.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Self::Rows | Self::Picture(_) => None,
            Self::Records(records) => Some(records.count),
            Self::Texts(texts) => Some(texts.rows.len()),
        }
    }
}

impl Input {
    /// Fits the configuration to the model's inputs.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn fit(&mut self, inputs: &[TensorSpec]) -> Result<(), String> {
        match self {
            Self::Image(image) => image.check(only(inputs)?),
            Self::Record(record) => record.fit(inputs),
            Self::Series(series) => series.check(only(inputs)?),
            Self::Text(text) => text.check(inputs),
        }
    }

    /// The content types that become tensors.
    pub(crate) fn media(&self) -> &'static [&'static str] {
        match self {
            Self::Image(_) => image::MEDIA,
            Self::Record(_) => record::MEDIA,
            Self::Series(_) => series::MEDIA,
            Self::Text(_) => &["text/plain", "application/json"],
        }
    }

    /// What the model must be able to take, if media can be too much for it.
    pub(crate) fn probe(&self, inputs: &[TensorSpec]) -> Result<Option<Probe>, CallError> {
        match self {
            Self::Image(_) | Self::Record(_) | Self::Series(_) => Ok(None),
            Self::Text(text) => text.probe(inputs).map(Some),
        }
    }

    /// Decodes a body of one of these content types.
    pub(crate) fn decode(
        &self,
        inputs: &[TensorSpec],
        content_type: &str,
        body: &[u8],
    ) -> Result<Decoded, CallError> {
        let only = || only(inputs).map_err(CallError::Failed);
        let (tensors, origin) = match self {
            Self::Image(image) => {
                let (tensor, placement) = image.decode(only()?, content_type, body)?;
                (vec![tensor], Origin::Picture(placement))
            }
            Self::Record(record) => {
                let (tensors, found) = record.decode(content_type, body)?;
                (tensors, Origin::Records(found))
            }
            Self::Series(series) => {
                let tensor = series.decode(only()?, content_type, body)?;
                (vec![tensor], Origin::Rows)
            }
            Self::Text(text) => {
                let (tensors, texts) = text.decode(inputs, content_type, body)?;
                (tensors, Origin::Texts(texts))
            }
        };
        Ok(Decoded { tensors, origin })
    }
}

/// The input of a model that has one.
fn only(inputs: &[TensorSpec]) -> Result<&TensorSpec, String> {
    match inputs {
        [spec] => Ok(spec),
        _ => Err(format!(
            "[input] feeds one tensor, and the model has {} inputs",
            inputs.len()
        )),
    }
}

/// What is written as a table, or as the name alone that such a table would have.
///
/// # Errors
/// It is no such table; `what` it should be.
fn named<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, String> {
    let table = match value {
        Value::String(name) => json!({ "name": name }),
        table => table,
    };
    T::deserialize(&table).map_err(|error| format!("[input] {what} {table}: {error}"))
}

/// A value that is there, even if it is null: TOML's `nan` arrives so.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}
