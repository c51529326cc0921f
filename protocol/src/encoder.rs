//! From tensors to JSON. Elements go from the tensor's bytes into the text one by one, with nothing
//! in between.

use serde::Serialize;
use serde::ser::{Error as _, SerializeStruct, Serializer};

use crate::{Datatype, Error, Tensor};

/// Writes a body that holds `tensors`, and the data of those behind it that are not in the JSON.
/// Gives the length of the JSON too.
pub(crate) fn encode(
    what: &'static str,
    body: &impl Serialize,
    tensors: &[EncodedTensor<'_>],
) -> Result<(Vec<u8>, usize), Error> {
    // Room for the longest text that the elements can have: growing would hold two copies at
    // times, and room that is not used costs nothing.
    let sizes = tensors.iter().map(EncodedTensor::longest);
    let capacity = sizes.fold(0, usize::saturating_add);
    let mut text = Vec::new();
    // Without it the text grows as it must.
    let _ = text.try_reserve(capacity);
    serde_json::to_writer(&mut text, body).map_err(|error| Error::Json {
        what,
        problem: crate::quote::json_problem(&error),
    })?;
    let length = text.len();
    for tensor in tensors.iter().filter(|tensor| tensor.is_binary) {
        text.extend_from_slice(&tensor.tensor.data);
    }
    Ok((text, length))
}

/// The most bytes that a tensor's elements take as JSON, commas included.
fn longest(tensor: &Tensor) -> usize {
    let element = match tensor.datatype {
        Datatype::Bool => "false,".len(),
        Datatype::Uint8 => "255,".len(),
        Datatype::Int8 => "-128,".len(),
        Datatype::Uint16 => "65535,".len(),
        Datatype::Int16 => "-32768,".len(),
        Datatype::Uint32 => "4294967295,".len(),
        Datatype::Int32 => "-2147483648,".len(),
        Datatype::Uint64 | Datatype::Int64 => "-9223372036854775808,".len() + 1,
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 => "-1.1754944e-38,".len() + 2,
        Datatype::Fp64 => "-2.2250738585072014e-308,".len(),
        // A control character is written `\u0001`; the length before an element makes up for its
        // quotes and comma.
        Datatype::Bytes => "\\u0001".len(),
    };
    let bytes = tensor.datatype.element_bytes().unwrap_or(1);
    (tensor.data.len() / bytes).saturating_mul(element)
}

/// A tensor that has the form it is written in, checked when it was made.
pub(crate) struct EncodedTensor<'a> {
    tensor: &'a Tensor,
    is_binary: bool,
}

impl<'a> EncodedTensor<'a> {
    /// All of them as JSON.
    pub(crate) fn all(tensors: &'a [Tensor]) -> Result<Vec<Self>, Error> {
        tensors
            .iter()
            .map(|tensor| Self::new(tensor, false))
            .collect()
    }

    /// A tensor whose data stands in the JSON, or behind it.
    pub(crate) fn new(tensor: &'a Tensor, is_binary: bool) -> Result<Self, Error> {
        tensor.check()?;
        if !is_binary {
            check_json_form(tensor)?;
        }
        Ok(Self { tensor, is_binary })
    }

    fn longest(&self) -> usize {
        match self.is_binary {
            true => self.tensor.data.len(),
            false => longest(self.tensor),
        }
    }
}

fn check_json_form(tensor: &Tensor) -> Result<(), Error> {
    if !tensor.datatype.has_json_form() {
        return Err(Error::NoJsonForm {
            tensor: tensor.name.clone(),
            datatype: tensor.datatype,
        });
    }
    match tensor.datatype {
        Datatype::Bytes => check_utf8(tensor),
        _ => Ok(()),
    }
}

fn check_utf8(tensor: &Tensor) -> Result<(), Error> {
    let position = tensor
        .bytes_elements()
        .position(|element| std::str::from_utf8(element).is_err());
    match position {
        None => Ok(()),
        Some(index) => Err(Error::NotText {
            tensor: tensor.name.clone(),
            index: index as u64,
        }),
    }
}

impl Serialize for EncodedTensor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { tensor, is_binary } = self;
        let mut fields = serializer.serialize_struct("Tensor", 4)?;
        fields.serialize_field("name", &tensor.name)?;
        fields.serialize_field("datatype", &tensor.datatype)?;
        fields.serialize_field("shape", &tensor.shape)?;
        match is_binary {
            true => {
                let binary_data_size = tensor.data.len();
                fields.serialize_field("parameters", &BinaryParameters { binary_data_size })?;
            }
            false => fields.serialize_field("data", &Elements(tensor))?,
        }
        fields.end()
    }
}

/// What says that a tensor's data stands behind the JSON.
#[derive(Serialize)]
struct BinaryParameters {
    binary_data_size: usize,
}

struct Elements<'a>(&'a Tensor);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = self.0.data.as_slice();
        match self.0.datatype {
            Datatype::Bool => serializer.collect_seq(data.iter().map(|byte| *byte != 0)),
            Datatype::Uint8 => serializer.collect_seq(data),
            Datatype::Uint16 => numbers(serializer, data, u16::from_le_bytes),
            Datatype::Uint32 => numbers(serializer, data, u32::from_le_bytes),
            Datatype::Uint64 => numbers(serializer, data, u64::from_le_bytes),
            Datatype::Int8 => numbers(serializer, data, i8::from_le_bytes),
            Datatype::Int16 => numbers(serializer, data, i16::from_le_bytes),
            Datatype::Int32 => numbers(serializer, data, i32::from_le_bytes),
            Datatype::Int64 => numbers(serializer, data, i64::from_le_bytes),
            Datatype::Fp32 => numbers(serializer, data, f32::from_le_bytes),
            Datatype::Fp64 => numbers(serializer, data, f64::from_le_bytes),
            Datatype::Bytes => serializer.collect_seq(self.0.bytes_elements().map(Text)),
            Datatype::Fp16 | Datatype::Bf16 => {
                Err(S::Error::custom("the datatype has no JSON form"))
            }
        }
    }
}

/// serde_json writes NaN and infinities as `null`, which is the rule that the crate documents.
fn numbers<S: Serializer, T: Serialize, const N: usize>(
    serializer: S,
    data: &[u8],
    number: impl Fn([u8; N]) -> T,
) -> Result<S::Ok, S::Error> {
    let (elements, _) = data.as_chunks::<N>();
    serializer.collect_seq(elements.iter().map(|bytes| number(*bytes)))
}

/// One BYTES element.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.0).map_err(S::Error::custom)?;
        serializer.serialize_str(text)
    }
}
