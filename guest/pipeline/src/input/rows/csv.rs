//! Rows of CSV: a header with the names in any order, then a line a row.

use csv::{Reader, ReaderBuilder, StringRecord};
use glovebox_protocol::quoted;

use super::{Cell, Each, Found, Place, Rows};
use crate::CallError;

/// What may stand between cells: the first one where the header does not tell.
const SEPARATORS: &[u8] = b",;\t";

/// Reads a header and the rows below it. Empty lines are no rows.
pub(super) fn read(rows: &Rows, text: &str, each: &mut Each<'_>) -> Result<Found, CallError> {
    separated(rows, text, separator(rows, text)?, each)
}

/// The same where tabs stand between cells.
pub(super) fn tabs(rows: &Rows, text: &str, each: &mut Each<'_>) -> Result<Found, CallError> {
    separated(rows, text, b'\t', each)
}

/// The separator that makes the most names of the header.
fn separator(rows: &Rows, text: &str) -> Result<u8, CallError> {
    let (mut best, mut most) = (b',', 0);
    for separator in SEPARATORS {
        let mut header = StringRecord::new();
        next(&mut reader(text, *separator), &mut header)?;
        let names = header.iter().filter(|name| rows.place(name).is_some());
        let count = names.count();
        if count > most {
            (best, most) = (*separator, count);
        }
    }
    Ok(best)
}

fn reader(text: &str, separator: u8) -> Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

fn separated(
    rows: &Rows,
    text: &str,
    separator: u8,
    each: &mut Each<'_>,
) -> Result<Found, CallError> {
    let mut reader = reader(text, separator);
    let mut line = StringRecord::new();
    if !next(&mut reader, &mut line)? {
        return Err(CallError::InvalidInput(format!(
            "the body is empty; it needs a header, in which {}",
            rows.listed()
        )));
    }
    let columns = header(rows, &line).map_err(|why| place(text, &line).invalid(why))?;
    let mut count = 0;
    while next(&mut reader, &mut line)? {
        if count == rows.terms.most {
            return Err(rows.too_many());
        }
        let row = cells(rows, &columns, &line);
        row.and_then(|row| each(&row))
            .map_err(|why| place(text, &line).invalid(why))?;
        count += 1;
    }
    Ok(Found {
        is_list: true,
        count,
    })
}

fn next(reader: &mut Reader<&[u8]>, line: &mut StringRecord) -> Result<bool, CallError> {
    let read = reader.read_record(line);
    read.map_err(|error| CallError::InvalidInput(format!("the body is not CSV: {error}")))
}

/// Which name each column has. One without a column has no value in any row.
fn header(rows: &Rows, header: &StringRecord) -> Result<Vec<usize>, String> {
    let mut columns = Vec::new();
    for name in header {
        let Some(place) = rows.place(name) else {
            return Err(format!(
                "unknown column {}; {}",
                quoted(name),
                rows.listed()
            ));
        };
        if columns.contains(&place) {
            return Err(format!("column {} is there twice", quoted(name)));
        }
        columns.push(place);
    }
    Ok(columns)
}

fn cells<'a>(
    rows: &Rows,
    columns: &[usize],
    line: &'a StringRecord,
) -> Result<Vec<Cell<'a>>, String> {
    if line.len() != columns.len() {
        return Err(format!(
            "{} cells, but the header has {}",
            line.len(),
            columns.len()
        ));
    }
    let mut cells = rows.blank();
    for (place, text) in columns.iter().zip(line) {
        if let Some(cell) = cells.get_mut(*place) {
            *cell = Cell::Written(text);
        }
    }
    Ok(cells)
}

/// Where a row begins. The reader counts empty lines before it as a part of it.
fn place(text: &str, line: &StringRecord) -> Place {
    let (byte, number) = line.position().map_or((0, 1), |at| (at.byte(), at.line()));
    let rest = text.as_bytes().iter().skip(byte as usize);
    let before = rest.take_while(|byte| matches!(byte, b'\r' | b'\n'));
    Place::Line(number + before.filter(|byte| **byte == b'\n').count() as u64)
}
