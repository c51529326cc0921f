//! From a JSON body to tensors: the part that requests and responses share.
//!
//! `data` may stand before `datatype` and `shape`, so it is kept as borrowed text until all of the
//! tensor has been seen. serde_json checks that text on its way; `tokens` and `data` then read it
//! without checking it again.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::data::read_data;
use crate::tail::Tail;
use crate::tensor::{MAX_RANK, check_shape};
use crate::{Datatype, Error, Tensor, quote};

/// Reads a body that is JSON and nothing else.
pub(crate) fn decode<'a, T: Body<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let (decoded, end) = parse::<T>(body)?;
    // Before the end is checked: binary tensors stand behind the JSON, and "trailing characters"
    // would help nobody.
    for tensor in decoded.tensors() {
        tensor.refuse_binary_data()?;
    }
    end?;
    Ok(decoded)
}

/// Reads the JSON before binary tensors.
pub(crate) fn decode_header<'a, T: Body<'a>>(header: &'a [u8]) -> Result<T, Error> {
    let (decoded, end) = parse::<T>(header)?;
    end?;
    Ok(decoded)
}

/// The body, and whether nothing stands behind it.
fn parse<'a, T: Body<'a>>(text: &'a [u8]) -> Result<(T, Result<(), Error>), Error> {
    let error = |error| Error::Json {
        what: T::NAME,
        problem: quote::json_problem(&error),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let decoded = T::deserialize(&mut deserializer).map_err(error)?;
    Ok((decoded, deserializer.end().map_err(error)))
}

/// The form of a body, its tensors not read yet.
pub(crate) trait Body<'a>: Deserialize<'a> {
    /// What an error calls it.
    const NAME: &'static str;

    fn tensors(&self) -> &[JsonTensor<'a>];
}

/// A tensor in a body, its data still text.
#[derive(Deserialize)]
pub(crate) struct JsonTensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    shape: Dimensions,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    parameters: Option<TensorParameters>,
}

/// The parameters of a tensor that mean something here; all others are dropped.
#[derive(Default, Deserialize)]
struct TensorParameters {
    binary_data_size: Option<u64>,
    shared_memory_region: Option<IgnoredAny>,
}

impl JsonTensor<'_> {
    /// Reads the data by the tensor's own datatype and shape: from the JSON, or from what stands
    /// behind it.
    pub(crate) fn into_tensor(self, tail: &mut Tail<'_>) -> Result<Tensor, Error> {
        let datatype: Datatype = self.datatype.parse()?;
        let TensorParameters {
            binary_data_size,
            shared_memory_region,
        } = self.parameters.unwrap_or_default();
        let name = self.name.into_owned();
        if shared_memory_region.is_some() {
            return Err(Error::SharedMemory { tensor: name });
        }
        let shape = self.shape.into_shape(&name)?;
        let elements = check_shape(&name, &shape)?;
        match (binary_data_size, self.data) {
            (Some(size), None) => {
                let data = tail.take(&name, size)?;
                Tensor::new(name, datatype, shape, data)
            }
            (None, Some(text)) => Ok(Tensor {
                data: read_json(&name, datatype, elements, text)?,
                name,
                datatype,
                shape,
            }),
            (Some(_), Some(_)) => Err(data_error(
                name,
                "it has both `data` and binary_data_size; send one of them",
            )),
            (None, None) => Err(missing_data(name, datatype)),
        }
    }

    fn refuse_binary_data(&self) -> Result<(), Error> {
        match &self.parameters {
            Some(TensorParameters {
                binary_data_size: Some(_),
                ..
            }) => Err(Error::BinaryData {
                tensor: self.name.as_ref().to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

fn read_json(
    name: &str,
    datatype: Datatype,
    elements: u64,
    text: &RawValue,
) -> Result<Vec<u8>, Error> {
    match datatype.has_json_form() {
        true => read_data(name, datatype, elements, text),
        false => Err(Error::NoJsonForm {
            tensor: name.to_owned(),
            datatype,
        }),
    }
}

fn missing_data(tensor: String, datatype: Datatype) -> Error {
    match datatype.has_json_form() {
        true => data_error(
            tensor,
            "`data` is missing; send the elements as a JSON array",
        ),
        false => Error::NoJsonForm { tensor, datatype },
    }
}

fn data_error(tensor: String, problem: &str) -> Error {
    Error::Data {
        tensor,
        problem: problem.to_owned(),
    }
}

/// The most tensors in one body. Each costs far more memory than its few bytes of text.
const MAX_TENSORS: usize = 1024;

/// A list that is refused when it becomes long.
pub(crate) struct Few<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX_TENSORS} tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Few<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element()? {
            if items.len() == MAX_TENSORS {
                return Err(A::Error::invalid_length(MAX_TENSORS + 1, &self));
            }
            items.push(item);
        }
        Ok(Few(items))
    }
}

/// A shape as it came: perhaps negative, and at most one dimension longer than allowed, so that a
/// long one takes no memory before it is refused.
struct Dimensions(Vec<i128>);

impl Dimensions {
    fn into_shape(self, tensor: &str) -> Result<Vec<u64>, Error> {
        let read = |(position, dimension)| {
            u64::try_from(dimension).map_err(|_| Error::Shape {
                tensor: tensor.to_owned(),
                problem: format!("dimension {position} of the shape is {dimension}; give the actual size, 0 or more"),
            })
        };
        self.0.into_iter().enumerate().map(read).collect()
    }
}

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DimensionsVisitor)
    }
}

struct DimensionsVisitor;

impl<'de> Visitor<'de> for DimensionsVisitor {
    type Value = Dimensions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shape: an array of whole numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Dimensions, A::Error> {
        let mut dimensions = Vec::new();
        while dimensions.len() <= MAX_RANK {
            match array.next_element()? {
                Some(dimension) => dimensions.push(dimension),
                None => return Ok(Dimensions(dimensions)),
            }
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Dimensions(dimensions))
    }
}
