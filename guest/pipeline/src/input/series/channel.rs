//! One channel of a series: a number at each step.

use serde::Deserialize;
use serde_json::Value;

use crate::input::rows::Cell;
use crate::input::{given, named};
use crate::scaling::Scaling;

/// A channel of a series.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Channel {
    pub(super) name: String,
    missing: Missing,
    scaling: Option<Scaling>,
}

/// What stands for a value that is missing.
enum Missing {
    /// Nothing: it is refused.
    Nothing,
    Number(f64),
    /// The value at the step before.
    Last,
}

/// A channel as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "given")]
    missing: Option<Value>,
    mean: Option<f64>,
    scale: Option<f64>,
}

impl TryFrom<Value> for Channel {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let written: Written = named("channel", value)?;
        let about = |why: String| format!("[input] channel {:?}: {why}", written.name);
        Ok(Self {
            scaling: Scaling::new(written.mean, written.scale).map_err(about)?,
            missing: Missing::read(written.missing.as_ref()).map_err(about)?,
            name: written.name,
        })
    }
}

impl Channel {
    /// A channel of this name, whose numbers stay as they are.
    pub(super) fn plain(name: &str) -> Self {
        Self {
            name: name.into(),
            missing: Missing::Nothing,
            scaling: None,
        }
    }

    /// The number of a cell as the model takes it, `last` being that of the step before.
    ///
    /// # Errors
    /// What is wrong with the cell.
    pub(super) fn number(&self, cell: &Cell<'_>, last: Option<f64>) -> Result<f64, String> {
        let number = match (cell.number()?, &self.missing) {
            (Some(number), _) => number.real,
            (None, Missing::Number(number)) => *number,
            (None, Missing::Last) => {
                return last.ok_or_else(|| "is missing, and there is no value before it".into());
            }
            (None, Missing::Nothing) => return Err("is missing".into()),
        };
        Ok(self.scaling.map_or(number, |scaling| scaling.apply(number)))
    }
}

impl Missing {
    fn read(value: Option<&Value>) -> Result<Self, String> {
        match value {
            None => Ok(Self::Nothing),
            Some(Value::String(text)) if text == "last" => Ok(Self::Last),
            Some(Value::String(text)) if text == "nan" => Ok(Self::Number(f64::NAN)),
            Some(value) => value.as_f64().map(Self::Number).ok_or_else(|| {
                "missing is a number, \"last\" for that of the step before, or \"nan\"".into()
            }),
        }
    }
}
