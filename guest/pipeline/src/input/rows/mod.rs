//! Rows of named cells, as bodies of JSON, of a record a line, and of CSV hold them.

mod cell;
mod csv;
mod json;

use std::collections::BTreeMap;
use std::fmt;

use glovebox_protocol::{name_list, quoted};

pub(super) use self::cell::{Cell, Number};

use crate::CallError;

/// How rows are called, and how many there may be.
pub(super) struct Terms {
    pub(super) row: &'static str,
    pub(super) cell: &'static str,
    /// The most rows of a body.
    pub(super) most: usize,
    /// Whether a row may also be a list of its cells, or its only cell by itself.
    pub(super) is_ordered: bool,
}

/// What the rows of a body are made of.
pub(super) struct Rows {
    terms: Terms,
    names: Vec<String>,
    /// Where each name stands among `names`.
    places: BTreeMap<String, usize>,
}

/// The rows that a body held.
pub(crate) struct Found {
    /// Whether they came in a list, and the answer has to be one.
    pub(crate) is_list: bool,
    pub(crate) count: usize,
}

/// Takes the cells of one row, in the order of the names; or says what is wrong with them.
type Each<'a> = dyn FnMut(&[Cell<'_>]) -> Result<(), String> + 'a;

/// Where a row stands in its body.
enum Place {
    /// Which of the rows it is, from 0.
    Row(&'static str, usize),
    /// The line in which it begins, from 1.
    Line(u64),
}

impl Rows {
    /// Rows of cells of these names.
    ///
    /// # Errors
    /// There are no names, or one is empty or there twice.
    pub(super) fn new(terms: Terms, names: Vec<String>) -> Result<Self, String> {
        let cell = terms.cell;
        if names.is_empty() {
            return Err(format!("[input] names no {cell}"));
        }
        let mut places = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("[input] {cell} {place} has an empty name"));
            }
            if places.insert(name.clone(), place).is_some() {
                return Err(format!("[input] names {cell} {} twice", quoted(name)));
            }
        }
        Ok(Self {
            terms,
            names,
            places,
        })
    }

    /// Hands the rows of a body over, one after the other.
    ///
    /// # Errors
    /// The body is not what its content type says, has no rows or too many of them, or a row is not
    /// as it should be, which is then named.
    pub(super) fn read(
        &self,
        content_type: &str,
        body: &[u8],
        each: &mut Each<'_>,
    ) -> Result<Found, CallError> {
        let text = text(body)?;
        let found = match content_type {
            "text/csv" => csv::read(self, text, each)?,
            "text/tab-separated-values" => csv::tabs(self, text, each)?,
            "application/x-ndjson" => json::lines(self, text, each)?,
            _ => json::read(self, text, each)?,
        };
        match found.count {
            0 => Err(CallError::InvalidInput(format!(
                "the body holds no {}",
                self.terms.row
            ))),
            _ => Ok(found),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// A row without values.
    fn blank<'a>(&self) -> Vec<Cell<'a>> {
        vec![Cell::Missing; self.names.len()]
    }

    /// The names, for people.
    fn listed(&self) -> String {
        let names = name_list(self.names.iter().map(String::as_str));
        format!("the {}s are {names}", self.terms.cell)
    }

    /// What is wrong with the cell of this name.
    pub(super) fn about(&self, name: &str, why: &str) -> String {
        format!("{} {} {why}", self.terms.cell, quoted(name))
    }

    fn too_many(&self) -> CallError {
        let Terms { row, most, .. } = self.terms;
        CallError::TooLarge(format!("more than {most} {row}s; at most {most}"))
    }
}

impl Place {
    /// What is wrong with the row there, for the client.
    fn invalid(&self, why: impl fmt::Display) -> CallError {
        CallError::InvalidInput(match self {
            Self::Row(row, index) => format!("{row} {index}: {why}"),
            Self::Line(line) => format!("line {line}: {why}"),
        })
    }
}

/// The text that a body is, without the mark that some programs put before it.
fn text(body: &[u8]) -> Result<&str, CallError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (valid, _) = body.split_at(error.valid_up_to());
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        CallError::InvalidInput(format!("line {line}: the body is not UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
