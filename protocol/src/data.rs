//! The data of a tensor: from its text, flat or nested, straight to little-endian bytes.

use serde_json::value::RawValue;

use crate::element::{Append, append, refusal};
use crate::tensor::MAX_RANK;
use crate::tokens::{Token, Tokens};
use crate::{Datatype, Error, element};

/// Reads the data of a tensor whose shape holds `expected` elements.
pub(crate) fn read_data(
    tensor: &str,
    datatype: Datatype,
    expected: u64,
    text: &RawValue,
) -> Result<Vec<u8>, Error> {
    let text = text.get();
    let mut elements = Elements::new(tensor, datatype, expected, text.len());
    for token in Tokens::new(text) {
        match token {
            Token::Open => elements.open()?,
            Token::Close => elements.close()?,
            element => elements.push(element)?,
        }
    }
    elements.finish()
}

/// The elements that have come, with what has been learnt about the nesting.
struct Elements<'t> {
    tensor: &'t str,
    datatype: Datatype,
    append: Append,
    /// How many elements the shape holds.
    expected: u64,
    /// How many have come.
    count: u64,
    data: Vec<u8>,
    /// How many arrays are open.
    depth: usize,
    /// In how many arrays the first element stood; all others must stand in as many.
    element_depth: Option<usize>,
    levels: [Level; MAX_RANK],
}

/// What is known about the arrays at one depth.
#[derive(Clone, Copy, Default)]
struct Level {
    /// How many arrays the open one holds by now.
    arrays: u64,
    /// How many elements had come when the open array began; counting each of them here would take
    /// time.
    start: u64,
    /// The length of the first array that ended here; all others must have the same.
    length: Option<u64>,
}

impl<'t> Elements<'t> {
    /// Reserves for no more elements than `text_bytes` of JSON can hold, whatever the shape claims:
    /// each takes a character and a comma at least.
    fn new(tensor: &'t str, datatype: Datatype, expected: u64, text_bytes: usize) -> Self {
        let possible = text_bytes / 2;
        let elements =
            usize::try_from(expected).map_or(possible, |expected| expected.min(possible));
        let bytes = elements.checked_mul(datatype.element_bytes().unwrap_or(0));
        Self {
            tensor,
            datatype,
            append: append(datatype),
            expected,
            count: 0,
            data: Vec::with_capacity(bytes.unwrap_or(0)),
            depth: 0,
            element_depth: None,
            levels: [Level::default(); MAX_RANK],
        }
    }

    fn open(&mut self) -> Result<(), Error> {
        if let Some(parent) = self
            .depth
            .checked_sub(1)
            .and_then(|depth| self.levels.get_mut(depth))
        {
            parent.arrays += 1;
        }
        let Some(level) = self.levels.get_mut(self.depth) else {
            return Err(self.data_error(format!("`data` is nested deeper than {MAX_RANK} arrays")));
        };
        level.arrays = 0;
        level.start = self.count;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let holds_elements = self.element_depth == Some(self.depth);
        self.depth = self.depth.saturating_sub(1);
        let Some(level) = self.levels.get_mut(self.depth) else {
            return Ok(());
        };
        let length = match holds_elements {
            true => self.count - level.start,
            false => level.arrays,
        };
        let mixed = holds_elements && level.arrays > 0;
        let first = *level.length.get_or_insert(length);
        if mixed {
            return Err(
                self.data_error("`data` is ragged: an array holds both arrays and elements".into())
            );
        }
        if first != length {
            return Err(self.data_error(format!(
                "`data` is ragged: at depth {} an array of {length} follows one of {first}",
                self.depth + 1
            )));
        }
        Ok(())
    }

    fn push(&mut self, token: Token<'_>) -> Result<(), Error> {
        if *self.element_depth.get_or_insert(self.depth) != self.depth || self.depth == 0 {
            return Err(self.misplaced(token));
        }
        if self.count == self.expected {
            let expected = self.expected;
            return Err(self.data_error(format!(
                "its shape holds {expected} elements, `data` has more"
            )));
        }
        if !(self.append)(token, &mut self.data) {
            return Err(self.element_error(refusal(self.datatype, token)));
        }
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Error> {
        let Self {
            expected, count, ..
        } = self;
        match count == expected {
            true => Ok(self.data),
            false => Err(self.data_error(format!(
                "its shape holds {expected} elements, `data` has {count}"
            ))),
        }
    }

    #[cold]
    fn misplaced(&self, token: Token<'_>) -> Error {
        match self.depth {
            0 => self.data_error(format!(
                "`data` must be a JSON array, found {}",
                element::shown(token)
            )),
            _ => self.element_error(
                "`data` is ragged: the element is not nested as deep as the first".into(),
            ),
        }
    }

    fn element_error(&self, problem: String) -> Error {
        Error::Element {
            tensor: self.tensor.to_owned(),
            index: self.count,
            problem,
        }
    }

    fn data_error(&self, problem: String) -> Error {
        Error::Data {
            tensor: self.tensor.to_owned(),
            problem,
        }
    }
}
