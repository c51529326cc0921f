//! The answer that an example must get, and where another one differs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::PackError;
use crate::text;

/// An answer as `model.toml` has it. Keys that it leaves out may be anything.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Written there.
    Json(Value),
    /// In this file: JSON, or other bytes, which must be the same.
    File(PathBuf),
}

/// What stands in one place of an answer, and what should.
pub(super) struct Difference {
    place: String,
    expected: String,
    got: String,
}

impl Expected {
    /// What is written as `answer`: the name of a file in `dir`, or the answer itself.
    pub(super) fn written(value: Value, dir: &Path) -> Self {
        match value {
            Value::String(file) => Self::File(dir.join(file)),
            value => Self::Json(value),
        }
    }

    /// Where the body of an answer is another one, numbers being off by more than `tolerance`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn difference(
        &self,
        body: &[u8],
        tolerance: f64,
    ) -> Result<Option<Difference>, PackError> {
        let got: Option<Value> = serde_json::from_slice(body).ok();
        let path = match self {
            Self::Json(expected) => return Ok(differ(expected, got.as_ref(), tolerance)),
            Self::File(path) => path,
        };
        let file = fs::read(path).map_err(|source| PackError::ExampleFile {
            path: path.clone(),
            source,
        })?;
        Ok(match serde_json::from_slice(&file) {
            Ok(expected) => differ(&expected, got.as_ref(), tolerance),
            Err(_) if file == body => None,
            Err(_) => Some(Difference {
                place: String::new(),
                expected: format!("the bytes of {}", path.display()),
                got: "others".into(),
            }),
        })
    }
}

impl Difference {
    /// The example of this path is answered so.
    pub(super) fn into_error(self, path: PathBuf) -> PackError {
        let expected = match self.place.as_str() {
            "" => self.expected,
            place => format!("{} at {}", self.expected, text::escape(place)),
        };
        PackError::Example {
            path,
            expected,
            got: self.got,
        }
    }

    /// The same, seen from outside of the list or the object in which it is.
    fn inside(mut self, step: &str) -> Self {
        self.place.insert_str(0, step);
        self
    }
}

/// The first difference.
fn differ(expected: &Value, got: Option<&Value>, tolerance: f64) -> Option<Difference> {
    match (expected, got) {
        (Value::Object(expected), Some(Value::Object(got))) => {
            expected.iter().find_map(|(key, expected)| {
                let difference = differ(expected, got.get(key), tolerance)?;
                Some(difference.inside(&format!(".{key}")))
            })
        }
        (Value::Array(expected), Some(Value::Array(got))) if expected.len() == got.len() => {
            let mut pairs = expected.iter().zip(got).enumerate();
            pairs.find_map(|(index, (expected, got))| {
                let difference = differ(expected, Some(got), tolerance)?;
                Some(difference.inside(&format!("[{index}]")))
            })
        }
        (expected, Some(got)) if is_near(expected, got, tolerance) => None,
        (expected, got) => Some(Difference {
            place: String::new(),
            expected: match expected {
                Value::Number(number) => format!("{number} ± {tolerance}"),
                expected => shown(expected),
            },
            got: got.map_or_else(|| "nothing".into(), shown),
        }),
    }
}

fn is_near(expected: &Value, got: &Value, tolerance: f64) -> bool {
    match (expected.as_f64(), got.as_f64()) {
        (Some(expected), Some(got)) => (expected - got).abs() <= tolerance,
        _ => expected == got,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("a list of {}", values.len()),
        value => text::escape(&value.to_string()),
    }
}
