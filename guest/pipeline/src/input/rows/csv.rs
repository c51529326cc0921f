//! Rows of CSV: a header with the names in any order, then a line a row.

use csv::{Reader, ReaderBuilder, StringRecord};
use glovebox_protocol::quoted;

use super::{Cell, Each, Found, Place, Rows};
use crate::CallError;

/// Reads a header and the rows below it. Empty lines are no rows.
pub(super) fn read(rows: &Rows, text: &str, each: &mut Each<'_>) -> Result<Found, CallError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
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

/// Which name each column has.
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
    let mut names = rows.names.iter().enumerate();
    match names.find(|(place, _)| !columns.contains(place)) {
        Some((_, name)) => Err(format!("column {} is missing", quoted(name))),
        None => Ok(columns),
    }
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
