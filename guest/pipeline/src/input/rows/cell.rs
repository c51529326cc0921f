//! One value of a row, before it is known what its field makes of it.

use std::fmt;

use glovebox_protocol::quoted;

/// One value of a row.
#[derive(Clone)]
pub(in crate::input) enum Cell<'a> {
    /// There is none, or it is `null`.
    Missing,
    Bool(bool),
    /// A number as JSON writes it.
    Number(&'a str),
    /// A text of JSON.
    Text(String),
    /// A cell of CSV, which can be any of these.
    Written(&'a str),
}

/// A finite number, or the NaN that the model's author puts in the place of a missing value.
#[derive(Clone, Copy)]
pub(in crate::input) struct Number {
    pub(in crate::input) real: f64,
    /// The same if it is a whole one, without losing digits.
    pub(in crate::input) whole: Option<i64>,
}

/// The whole numbers of 64 bits are below this, which a float can hold.
const WHOLE: f64 = 9_223_372_036_854_775_808.0;

impl<'a> Cell<'a> {
    /// The cell that a value of JSON is.
    ///
    /// # Errors
    /// It is a list, an object or a text that is not Unicode.
    pub(super) fn from_json(json: &'a str) -> Result<Self, String> {
        match json.as_bytes().first() {
            Some(b'n') => Ok(Self::Missing),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'[' | b'{') => Err("must be a single value, not a list or an object".into()),
            Some(b'"') => match serde_json::from_str(json) {
                Ok(text) => Ok(Self::Text(text)),
                Err(_) => Err("is a text with half a character in it".into()),
            },
            _ => Ok(Self::Number(json)),
        }
    }

    /// The number that it is; none if it is missing, empty or no number by its own account (NaN).
    ///
    /// # Errors
    /// It is something else.
    pub(in crate::input) fn number(&self) -> Result<Option<Number>, String> {
        let number = match self {
            Self::Missing => return Ok(None),
            Self::Bool(truth) => Some(Number::from(*truth)),
            Self::Number(text) => Number::read(text),
            Self::Written(text) => match text.trim() {
                "" => return Ok(None),
                text => Number::written(text),
            },
            Self::Text(text) if text.is_empty() => return Ok(None),
            Self::Text(_) => None,
        };
        match number {
            Some(number) if number.real.is_nan() => Ok(None),
            Some(number) if number.real.is_infinite() => Err(format!("is not finite: {self}")),
            Some(number) => Ok(Some(number)),
            None if self.has_decimal_comma() => Err(format!(
                "must be a number, not {self}; write decimals with a point, not with a comma"
            )),
            None => Err(format!("must be a number, not {self}")),
        }
    }

    /// Whether it would be a number if its comma were a point.
    fn has_decimal_comma(&self) -> bool {
        let text = self.text().unwrap_or_default();
        let with_point = text.trim().replacen(',', ".", 1);
        text.contains(',') && Number::read(&with_point).is_some()
    }

    /// The text that it is or is written as; none if it is missing or empty.
    pub(in crate::input) fn text(&self) -> Option<&str> {
        let text = match self {
            Self::Missing => return None,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(text) | Self::Written(text) => text,
            Self::Text(text) => text,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// As messages show it: the client's, so quoted and cut.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(self.text().unwrap_or_default()).fmt(f)
    }
}

impl Number {
    /// A number as JSON writes it, or CSV.
    fn read(text: &str) -> Option<Self> {
        let number = Self::from(text.parse::<f64>().ok()?);
        // A float may have rounded it.
        let whole = text.parse().ok().or(number.whole);
        Some(Self { whole, ..number })
    }

    /// A number or a truth value, as programs write it into CSV.
    fn written(text: &str) -> Option<Self> {
        match text {
            "true" | "True" | "TRUE" => Some(Self::from(true)),
            "false" | "False" | "FALSE" => Some(Self::from(false)),
            _ => Self::read(text),
        }
    }
}

impl From<f64> for Number {
    fn from(real: f64) -> Self {
        let is_whole = real.fract() == 0.0 && (-WHOLE..WHOLE).contains(&real);
        Self {
            real,
            whole: is_whole.then_some(real as i64),
        }
    }
}

impl From<bool> for Number {
    fn from(truth: bool) -> Self {
        Self::from(f64::from(u8::from(truth)))
    }
}
