//! Tensors to numbers that people asked for.

use std::collections::BTreeSet;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::{Deserialize, Serialize, Serializer};

use super::json;
use super::numbers::{self, unfit};
use crate::CallError;
use crate::input::Origin;
use crate::scaling::Scaling;

/// `[output] kind = "regression"`: one number or more for each record, series, picture or text.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Regression {
    tensor: String,
    names: Vec<String>,
    /// What to undo: nothing, the same for all numbers, or one for each.
    scalings: Vec<Option<Scaling>>,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The output that holds the numbers.
    tensor: String,
    /// What each is called.
    #[serde(default)]
    names: Vec<String>,
    mean: Option<Numbers>,
    scale: Option<Numbers>,
}

/// A number for all, or one for each.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "mean and scale are a number, or a list of numbers"
)]
enum Numbers {
    All(f64),
    Each(Vec<f64>),
}

/// The answer to one record.
struct Prediction<'a> {
    names: &'a [String],
    numbers: Vec<Number>,
}

/// A number with the digits that it has.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Single(f32),
    Double(f64),
}

impl TryFrom<Written> for Regression {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut seen = BTreeSet::new();
        if let Some(name) = written.names.iter().find(|name| !seen.insert(*name)) {
            return Err(format!("[output] names has {name:?} twice"));
        }
        Ok(Self {
            scalings: scalings(written.mean, written.scale)?,
            tensor: written.tensor,
            names: written.names,
        })
    }
}

fn scalings(mean: Option<Numbers>, scale: Option<Numbers>) -> Result<Vec<Option<Scaling>>, String> {
    let count = [&mean, &scale].into_iter().flatten().map(Numbers::count);
    let count = count.max().unwrap_or(1);
    if count == 0 {
        return Err("[output] mean or scale is an empty list".into());
    }
    let scaling = |index| {
        let of = |numbers: &Option<Numbers>| numbers.as_ref().map(|n| n.at(index)).transpose();
        Scaling::new(of(&mean)?, of(&scale)?)
    };
    let scalings = (0..count).map(scaling).collect::<Result<_, _>>();
    scalings.map_err(|why| format!("[output] {why}"))
}

impl Numbers {
    fn count(&self) -> usize {
        match self {
            Self::All(_) => 1,
            Self::Each(numbers) => numbers.len(),
        }
    }

    fn at(&self, index: usize) -> Result<f64, String> {
        match self {
            Self::All(number) => Ok(*number),
            Self::Each(numbers) => numbers
                .get(index)
                .copied()
                .ok_or_else(|| "mean and scale have not as many numbers as each other".into()),
        }
    }
}

impl Regression {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let spec = numbers::spec(outputs, &self.tensor)?;
        if !numbers::is_read(spec.datatype) {
            return Err(format!(
                "[output] tensor {:?} is {}, which holds no numbers that an answer could have",
                self.tensor, spec.datatype
            ));
        }
        match spec.shape.as_slice() {
            // Of a table [records], of a series [numbers]: the answer tells.
            [] | [_] => Ok(()),
            [_, sizes @ ..] => {
                let sizes = sizes.iter().map(|size| usize::try_from(*size).ok());
                let count = sizes.reduce(|count, size| count?.checked_mul(size?));
                count
                    .flatten()
                    .map_or(Ok(()), |count| self.check_count(count))
            }
        }
    }

    fn check_count(&self, count: usize) -> Result<(), String> {
        for (key, given, least) in [
            ("names", self.names.len(), 1),
            ("mean and scale", self.scalings.len(), 2),
        ] {
            if given >= least && given != count {
                return Err(format!(
                    "[output] {key} are for {given} numbers, and {:?} has {count} for each record",
                    self.tensor
                ));
            }
        }
        Ok(())
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// The numbers of each row.
    pub(crate) fn answer(&self, origin: &Origin, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
        let tensor = numbers::tensor(outputs, &self.tensor)?;
        let rows = origin.count().unwrap_or(1);
        let is_listed = rows == 1 || tensor.shape.first() == Some(&(rows as u64));
        let numbers = numbers::doubles(tensor)?;
        let count = numbers.len().checked_div(rows).unwrap_or(0);
        if !is_listed || count == 0 {
            return Err(unfit(&self.tensor, "has no number for each record"));
        }
        let fits = self.check_count(count);
        fits.map_err(|why| unfit(&self.tensor, &why))?;
        let rows = numbers.chunks_exact(count);
        let predictions = rows.map(|row| self.prediction(tensor.datatype, row));
        json(origin, &predictions.collect::<Vec<_>>())
    }

    fn prediction(&self, datatype: Datatype, row: &[f64]) -> Prediction<'_> {
        let scalings = self.scalings.iter().cycle();
        let unscaled = row.iter().zip(scalings).map(|(number, scaling)| {
            let number = scaling.map_or(*number, |scaling| scaling.undo(*number));
            match datatype {
                Datatype::Fp32 => Number::Single(number as f32),
                _ => Number::Double(number),
            }
        });
        Prediction {
            names: &self.names,
            numbers: unscaled.collect(),
        }
    }
}

/// By name, if there are names.
impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.names, self.numbers.as_slice()) {
            ([], [number]) => serializer.collect_map([("value", number)]),
            ([], numbers) => serializer.collect_map([("values", numbers)]),
            (names, numbers) => serializer.collect_map(names.iter().zip(numbers)),
        }
    }
}
