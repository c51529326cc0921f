//! Rows of JSON: one, a list, or one a line.

use std::fmt;

use glovebox_protocol::quoted;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Cell, Each, Found, Place, Rows};
use crate::CallError;

/// Reads one row or a list of rows.
pub(super) fn read(rows: &Rows, text: &str, each: &mut Each<'_>) -> Result<Found, CallError> {
    let row = rows.terms.row;
    let is_list = text.trim_start().starts_with('[');
    if !is_list && rows.terms.is_ordered {
        let why = format!("expected a list of {row}s");
        return Err(CallError::InvalidInput(why));
    }
    if !is_list {
        one(rows, text, each).map_err(|why| Place::Row(row, 0).invalid(why))?;
        return Ok(Found { is_list, count: 1 });
    }
    let list = parsed(UpTo(rows.terms.most), text)
        .map_err(|why| CallError::InvalidInput(format!("the body is {why}")))?;
    let count = list.count;
    if count > rows.terms.most {
        return Err(rows.too_many());
    }
    for (index, item) in list.items.into_iter().enumerate() {
        one(rows, item.get(), each).map_err(|why| Place::Row(row, index).invalid(why))?;
    }
    Ok(Found { is_list, count })
}

/// Reads a row a line. Empty lines are no rows.
pub(super) fn lines(rows: &Rows, text: &str, each: &mut Each<'_>) -> Result<Found, CallError> {
    let lines = (1..).zip(text.lines());
    let mut count = 0;
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        if count == rows.terms.most {
            return Err(rows.too_many());
        }
        one(rows, line, each).map_err(|why| Place::Line(number).invalid(why))?;
        count += 1;
    }
    Ok(Found {
        is_list: true,
        count,
    })
}

fn one(rows: &Rows, json: &str, each: &mut Each<'_>) -> Result<(), String> {
    each(&cells(rows, json)?)
}

fn cells<'a>(rows: &Rows, json: &'a str) -> Result<Vec<Cell<'a>>, String> {
    let is_ordered = rows.terms.is_ordered;
    match (json.trim_start().as_bytes().first(), rows.names.as_slice()) {
        (Some(b'{'), _) => parsed(Fields(rows), json)?,
        (Some(b'['), _) if is_ordered => in_order(rows, json),
        (_, [only]) if is_ordered => Ok(vec![cell(rows, only, json)?]),
        _ => Err(format!(
            "expected an object with a value for each {}",
            rows.terms.cell
        )),
    }
}

fn in_order<'a>(rows: &Rows, json: &'a str) -> Result<Vec<Cell<'a>>, String> {
    let list = parsed(UpTo(rows.names.len()), json)?;
    if list.count != rows.names.len() {
        return Err(format!("{} values, but {}", list.count, rows.listed()));
    }
    let items = list.items.into_iter().zip(&rows.names);
    items
        .map(|(json, name)| cell(rows, name, json.get()))
        .collect()
}

fn cell<'a>(rows: &Rows, name: &str, json: &'a str) -> Result<Cell<'a>, String> {
    Cell::from_json(json).map_err(|why| rows.about(name, &why))
}

/// All of a text, read with `seed`.
fn parsed<'a, S: DeserializeSeed<'a>>(seed: S, json: &'a str) -> Result<S::Value, String> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut parser);
    value
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| format!("not JSON: {error}"))
}

/// A list, of which so many items are kept; the others are counted.
struct UpTo(usize);

struct List<'a> {
    items: Vec<&'a RawValue>,
    count: usize,
}

impl<'de> DeserializeSeed<'de> for UpTo {
    type Value = List<'de>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for UpTo {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.0 {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(List { items, count })
    }
}

/// An object with a value for each name, or what is wrong with it.
struct Fields<'a>(&'a Rows);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Result<Vec<Cell<'de>>, String>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Result<Vec<Cell<'de>>, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(rows) = self;
        let mut row = Row {
            rows,
            cells: rows.blank(),
            filled: vec![false; rows.names.len()],
        };
        let mut problem = None;
        while let Some(name) = map.next_key::<String>()? {
            let value: &RawValue = map.next_value()?;
            // The rest is read nevertheless: it may be no JSON.
            if problem.is_none() {
                problem = row.fill(&name, value.get()).err();
            }
        }
        Ok(problem.map_or(Ok(row.cells), Err))
    }
}

/// A row while its object is read.
struct Row<'a, 'de> {
    rows: &'a Rows,
    cells: Vec<Cell<'de>>,
    filled: Vec<bool>,
}

impl<'de> Row<'_, 'de> {
    fn fill(&mut self, name: &str, json: &'de str) -> Result<(), String> {
        let (rows, what) = (self.rows, self.rows.terms.cell);
        let unknown = || format!("unknown {what} {}; {}", quoted(name), rows.listed());
        let place = rows.place(name).ok_or_else(unknown)?;
        let (Some(place), Some(filled)) = (self.cells.get_mut(place), self.filled.get_mut(place))
        else {
            return Err(unknown());
        };
        if *filled {
            return Err(rows.about(name, "is there twice"));
        }
        *filled = true;
        *place = cell(rows, name, json)?;
        Ok(())
    }
}
