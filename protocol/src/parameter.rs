//! The parameters of a request: a flat map that the protocol leaves to servers and models.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The most parameters a request may have. Each costs far more memory than its few bytes of text.
const MAX_PARAMETERS: usize = 256;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// The value of one parameter, in the forms that JSON and gRPC both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int64(i64),
    /// A whole number above the range of `i64`.
    Uint64(u64),
    /// Any other number.
    Double(f64),
    /// A text.
    String(String),
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParameterVisitor)
    }
}

/// Reads parameters; `null` is none. Unlike serde's own reading of a map it refuses a name that
/// comes twice.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Parameters, D::Error> {
    deserializer.deserialize_any(ParametersVisitor)
}

/// Refuses arrays and objects: the protocol's map is flat.
struct ParameterVisitor;

impl Visitor<'_> for ParameterVisitor {
    type Value = Parameter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter: a string, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parameter, E> {
        Ok(Parameter::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parameter, E> {
        Ok(Parameter::Int64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parameter, E> {
        Ok(i64::try_from(value).map_or(Parameter::Uint64(value), Parameter::Int64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parameter, E> {
        Ok(Parameter::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parameter, E> {
        Ok(Parameter::String(value.to_owned()))
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_unit<E>(self) -> Result<Parameters, E> {
        Ok(Parameters::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut parameters = Parameters::new();
        while let Some((name, value)) = map.next_entry()? {
            if parameters.insert(name, value).is_some() {
                return Err(A::Error::custom("a parameter is named more than once"));
            }
            if parameters.len() > MAX_PARAMETERS {
                let problem = format!("more than {MAX_PARAMETERS} parameters");
                return Err(A::Error::custom(problem));
            }
        }
        Ok(parameters)
    }
}
