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
use crate::tensor::{MAX_RANK, check_shape};
use crate::{Datatype, Error, Tensor, quote};

/// Reads a whole body.
pub(crate) fn decode<'a, T: Body<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let error = |error| Error::Json {
        what: T::NAME,
        problem: quote::json_problem(&error),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let decoded = T::deserialize(&mut deserializer).map_err(error)?;
    // Before the end is checked: binary tensors stand behind the JSON, and "trailing characters"
    // would help nobody.
    for tensor in decoded.tensors() {
        tensor.refuse_binary_data()?;
    }
    deserializer.end().map_err(error)?;
    Ok(decoded)
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

/// The parameters of a tensor, all but one of them dropped.
#[derive(Deserialize)]
struct TensorParameters {
    binary_data_size: Option<IgnoredAny>,
}

impl JsonTensor<'_> {
    /// Reads the data by the tensor's own datatype and shape.
    pub(crate) fn into_tensor(self) -> Result<Tensor, Error> {
        let datatype: Datatype = self.datatype.parse()?;
        let name = self.name.into_owned();
        let shape = self.shape.into_shape(&name)?;
        let elements = check_shape(&name, &shape)?;
        if !datatype.has_json_form() {
            return Err(Error::NoJsonForm {
                tensor: name,
                datatype,
            });
        }
        let Some(text) = self.data else {
            let problem = "`data` is missing; send the elements as a JSON array".into();
            return Err(Error::Data {
                tensor: name,
                problem,
            });
        };
        let data = read_data(&name, datatype, elements, text)?;
        Ok(Tensor {
            name,
            datatype,
            shape,
            data,
        })
    }

    fn refuse_binary_data(&self) -> Result<(), Error> {
        match &self.parameters {
            Some(TensorParameters {
                binary_data_size: Some(_),
            }) => Err(Error::BinaryData {
                tensor: self.name.as_ref().to_owned(),
            }),
            _ => Ok(()),
        }
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
