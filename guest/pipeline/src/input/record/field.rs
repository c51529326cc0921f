//! One field of a record: what it may hold, and the columns that it becomes.

use std::collections::BTreeMap;

use glovebox_protocol::{Datatype, TensorSpec};
use serde::Deserialize;
use serde_json::Value;

use super::categories::{Categories, Code};
use crate::input::rows::{Cell, Number};
use crate::input::values::Values;
use crate::input::{given, named};
use crate::scaling::Scaling;

/// A field of a record.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Field {
    pub(super) name: String,
    /// The input that it goes into, if that is neither the only one nor called as the field.
    tensor: Option<String>,
    kind: Kind,
    /// What stands for a value that is missing.
    missing: Option<Substitute>,
    /// What stands for a category that is none of those known.
    unknown: Option<Substitute>,
}

enum Kind {
    /// A number; or a text, where the input is one of texts.
    Plain(Option<Scaling>),
    Category(Categories),
}

/// What stands in the place of a value.
enum Substitute {
    /// A number, in all columns of the field.
    Number(f64),
    /// A text, one of the categories, or "nan".
    Text(String),
}

/// A field as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    tensor: Option<String>,
    categories: Option<BTreeMap<String, f64>>,
    one_hot: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    missing: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    unknown: Option<Value>,
    mean: Option<f64>,
    scale: Option<f64>,
}

impl TryFrom<Value> for Field {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let written: Written = named("field", value)?;
        let name = written.name.clone();
        Self::new(written).map_err(|why| format!("[input] field {name:?}: {why}"))
    }
}

impl Field {
    fn new(written: Written) -> Result<Self, String> {
        let scaling = Scaling::new(written.mean, written.scale)?;
        let kind = match (written.categories, written.one_hot) {
            (None, None) => Kind::Plain(scaling),
            (Some(_), Some(_)) => return Err("give categories or one_hot, not both".into()),
            _ if scaling.is_some() => return Err("mean and scale are for numbers".into()),
            (Some(numbers), None) => Kind::Category(Categories::numbers(numbers)?),
            (None, Some(names)) => Kind::Category(Categories::columns(names)?),
        };
        let field = Self {
            name: written.name,
            tensor: written.tensor,
            kind,
            missing: written.missing.map(Substitute::read).transpose()?,
            unknown: written.unknown.map(Substitute::read).transpose()?,
        };
        field.check_substitutes()?;
        Ok(field)
    }

    fn check_substitutes(&self) -> Result<(), String> {
        let Kind::Category(categories) = &self.kind else {
            return match self.unknown {
                Some(_) => Err("unknown is for categories and one_hot".into()),
                None => Ok(()),
            };
        };
        for (key, substitute) in [("missing", &self.missing), ("unknown", &self.unknown)] {
            if let Some(Substitute::Text(text)) = substitute
                && categories.code(text).is_none()
            {
                return Err(format!("{key} = {text:?} is none of its categories"));
            }
        }
        Ok(())
    }

    /// The name of the input that it goes into.
    pub(super) fn target<'a>(&'a self, inputs: &'a [TensorSpec]) -> &'a str {
        match (&self.tensor, inputs) {
            (Some(tensor), _) => tensor,
            (None, [only]) => &only.name,
            (None, _) => &self.name,
        }
    }

    /// How many columns it becomes.
    pub(super) fn width(&self) -> usize {
        match &self.kind {
            Kind::Plain(_) => 1,
            Kind::Category(categories) => categories.width(),
        }
    }

    /// Whether what it stands for can be in an input of this type.
    pub(super) fn check(&self, datatype: Datatype) -> Result<(), String> {
        let mut values = Values::new(datatype);
        match &self.kind {
            Kind::Plain(Some(_)) if !values.are_real() => Err(format!(
                "mean and scale make FP32 or FP64, and its input is {datatype}"
            )),
            Kind::Plain(_) if self.missing.is_none() => Ok(()),
            Kind::Plain(_) => self
                .encode(&Cell::Missing, &mut values)
                .map_err(|why| format!("what stands for a missing value {why}")),
            Kind::Category(categories) => {
                let substitutes = [&self.missing, &self.unknown].into_iter().flatten();
                let substitutes = substitutes.filter_map(|by| by.code(categories));
                let mut codes = categories.codes().chain(substitutes);
                codes
                    .try_for_each(|code| categories.push(code, &mut values))
                    .map_err(|why| format!("what a category becomes {why}"))
            }
        }
    }

    /// Appends what its columns hold for a cell.
    ///
    /// # Errors
    /// What is wrong with the cell.
    pub(super) fn encode(&self, cell: &Cell<'_>, values: &mut Values) -> Result<(), String> {
        match &self.kind {
            Kind::Plain(_) if values.are_texts() => match (cell.text(), &self.missing) {
                (Some(text), _) => values.push_text(text),
                (None, Some(Substitute::Text(text))) => values.push_text(text),
                (None, Some(Substitute::Number(_))) => Err("must be a text".into()),
                (None, None) => Err("is missing".into()),
            },
            Kind::Plain(scaling) => {
                let scaled = |number: Number| match scaling {
                    Some(scaling) => Number::from(scaling.apply(number.real)),
                    None => number,
                };
                match cell.number()? {
                    Some(number) => values
                        .push(scaled(number))
                        .map_err(|why| format!("{why}: {cell}")),
                    None => values.push(scaled(self.missing_number()?)),
                }
            }
            Kind::Category(categories) => categories.push(self.code(cell, categories)?, values),
        }
    }

    fn missing_number(&self) -> Result<Number, String> {
        match &self.missing {
            None => Err("is missing".into()),
            Some(Substitute::Number(number)) => Ok(Number::from(*number)),
            Some(Substitute::Text(text)) if text == "nan" => Ok(Number::from(f64::NAN)),
            Some(Substitute::Text(_)) => Err("must be a number, or \"nan\"".into()),
        }
    }

    fn code(&self, cell: &Cell<'_>, categories: &Categories) -> Result<Code, String> {
        let instead = |by: &Option<Substitute>| by.as_ref().and_then(|by| by.code(categories));
        let Some(text) = cell.text() else {
            return instead(&self.missing).ok_or_else(|| "is missing".into());
        };
        let known = categories.code(text).or_else(|| instead(&self.unknown));
        known.ok_or_else(|| {
            let known = categories.listed();
            format!("has the unknown category {cell}; known are {known}")
        })
    }
}

impl Substitute {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Bool(truth) => Ok(Self::Number(f64::from(u8::from(truth)))),
            value => value.as_f64().map(Self::Number).ok_or_else(|| {
                "missing and unknown are a number or a text; no number is \"nan\"".into()
            }),
        }
    }

    fn code(&self, categories: &Categories) -> Option<Code> {
        match self {
            Self::Number(number) => Some(Code::Everywhere(*number)),
            Self::Text(category) => categories.code(category),
        }
    }
}
