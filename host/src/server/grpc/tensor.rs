//! Tensors of gRPC messages, raw or in typed lists, to tensors of the protocol and back.

mod list;

use std::iter;

use glovebox_grpc::inference as proto;
use glovebox_protocol::rest::{Forms, Refusal};
use glovebox_protocol::{
    Datatype, Error, InferRequest, InferResponse, MAX_RANK, Parameter, Parameters, Tensor,
    element_count, escape,
};
use proto::model_infer_response::InferOutputTensor;

use super::field::{Fields, Malformed, Value};
use super::infer::Asked;
use super::method::given;
use crate::limits;
use list::List;

/// A message as it lies there.
#[derive(Default)]
struct Parts<'a> {
    id: &'a str,
    parameters: Parameters,
    inputs: Vec<Input<'a>>,
    outputs: Vec<Output<'a>>,
    raw: Vec<&'a [u8]>,
}

/// An input, its data not read yet.
#[derive(Default)]
struct Input<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: Vec<u64>,
    contents: Option<&'a [u8]>,
}

/// An output that is wanted.
struct Output<'a> {
    name: &'a str,
    /// How many classes instead of the output itself; 0 for none.
    classes: u32,
}

/// Reads a request. Its tensors together take no more than `room` bytes: a typed list can hold numbers
/// of eight bytes in one byte each.
pub(super) fn request(
    message: &[u8],
    asked: &Asked,
    room: u64,
) -> Result<(InferRequest, Forms), Refusal> {
    let parts = Parts::read(message, asked)?;
    let is_raw = !parts.raw.is_empty();
    if is_raw && parts.inputs.iter().any(|input| input.contents.is_some()) {
        return Err(invalid(
            "the message has raw_input_contents and contents of an input; use one of them for all inputs",
        ));
    }
    if is_raw && parts.raw.len() != parts.inputs.len() {
        return Err(Refusal::InvalidRequest(format!(
            "raw_input_contents has {} entries for {} inputs; give one for each, in their order",
            parts.raw.len(),
            parts.inputs.len()
        )));
    }
    let (mut inputs, mut room) = (Vec::with_capacity(parts.inputs.len()), room);
    let raw = parts.raw.into_iter().map(Some).chain(iter::repeat(None));
    for (input, raw) in parts.inputs.into_iter().zip(raw) {
        let tensor = input.into_tensor(raw, room)?;
        room = room.saturating_sub(tensor.data.len() as u64);
        inputs.push(tensor);
    }
    let (mut outputs, mut forms) = (Vec::new(), Forms::default());
    for Output { name, classes } in parts.outputs {
        outputs.push(name.to_owned());
        if classes > 0 {
            forms.want_classes(name.to_owned(), classes);
        }
    }
    let request = InferRequest {
        id: given(parts.id).map(str::to_owned),
        inputs,
        outputs,
        parameters: parts.parameters,
    };
    Ok((request, forms))
}

impl<'a> Parts<'a> {
    fn read(message: &'a [u8], asked: &Asked) -> Result<Self, Refusal> {
        let mut parts = Self::default();
        for field in Fields::new(message) {
            let (number, value) = field?;
            match number {
                1 => same(value.text()?, &asked.name)?,
                2 => same(value.text()?, &asked.version)?,
                3 => parts.id = value.text()?,
                4 => parts.add_parameter(value.bytes()?)?,
                5 => push(&mut parts.inputs, Input::read(value.bytes()?)?)?,
                6 => push(&mut parts.outputs, Output::read(value.bytes()?)?)?,
                7 => push(&mut parts.raw, value.bytes()?)?,
                _ => {}
            }
        }
        Ok(parts)
    }

    fn add_parameter(&mut self, entry: &'a [u8]) -> Result<(), Refusal> {
        let (name, value) = entry_of(entry)?;
        if let Some(value) = parameter(value)? {
            self.parameters.insert(name.to_owned(), value);
        }
        match self.parameters.len() > limits::GRPC_PARAMETERS {
            true => Err(invalid("the message has too many parameters")),
            false => Ok(()),
        }
    }
}

/// The permit is for the model that stands at the beginning.
fn same(found: &str, asked: &str) -> Result<(), Refusal> {
    match found == asked {
        true => Ok(()),
        false => Err(invalid(
            "model_name and model_version must stand at the beginning of the message, once",
        )),
    }
}

/// Each takes far more memory than its few bytes in the message.
fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Refusal> {
    if list.len() == limits::GRPC_TENSORS {
        return Err(invalid("the message has too many tensors"));
    }
    list.push(item);
    Ok(())
}

impl<'a> Input<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let mut input = Self::default();
        for field in Fields::new(message) {
            let (number, value) = field?;
            match number {
                1 => input.name = value.text()?,
                2 => input.datatype = value.text()?,
                3 => input.add_dimensions(value)?,
                4 => refuse_shared_memory(value.bytes()?)?,
                5 if input.contents.is_some() => return Err(Malformed.into()),
                5 => input.contents = Some(value.bytes()?),
                _ => {}
            }
        }
        Ok(input)
    }

    /// A list of numbers comes packed or one by one.
    fn add_dimensions(&mut self, value: Value<'a>) -> Result<(), Refusal> {
        match value {
            Value::Varint(dimension) => self.add_dimension(dimension),
            Value::Bytes(packed) => {
                let mut packed = Fields::new(packed);
                while let Some(dimension) = packed.packed()? {
                    self.add_dimension(dimension)?;
                }
                Ok(())
            }
            _ => Err(Malformed.into()),
        }
    }

    fn add_dimension(&mut self, dimension: u64) -> Result<(), Refusal> {
        let problem = match i64::try_from(dimension) {
            Err(_) => format!("dimension {} is negative", dimension.cast_signed()),
            Ok(_) if self.shape.len() == MAX_RANK => {
                format!("a shape has at most {MAX_RANK} dimensions")
            }
            Ok(_) => {
                self.shape.push(dimension);
                return Ok(());
            }
        };
        let tensor = self.name.to_owned();
        Err(Error::Shape { tensor, problem }.into())
    }

    fn into_tensor(self, raw: Option<&[u8]>, room: u64) -> Result<Tensor, Refusal> {
        let datatype: Datatype = self.datatype.parse()?;
        let data = match raw {
            Some(raw) => raw.to_vec(),
            None => self.typed(datatype, room)?,
        };
        Ok(Tensor::new(self.name, datatype, self.shape, data)?)
    }

    fn typed(&self, datatype: Datatype, room: u64) -> Result<Vec<u8>, Refusal> {
        let Some(list) = List::of(datatype) else {
            let problem =
                format!("{datatype} has no typed contents; send it in raw_input_contents");
            return Err(self.problem(problem).into());
        };
        let elements = element_count(&self.shape);
        let bytes = elements.and_then(|count| count.checked_mul(datatype.element_bytes()? as u64));
        // The shape of BYTES says nothing about their size.
        let most = bytes.unwrap_or(room);
        if most > room {
            return Err(Refusal::TooLarge(format!(
                "tensor {:?} is larger than the model's body limit allows",
                escape(self.name)
            )));
        }
        let contents = self.contents.unwrap_or_default();
        list.read(contents, most).map_err(|problem| match problem {
            list::Problem::Malformed => Malformed.into(),
            list::Problem::Data(problem) => self.problem(problem).into(),
        })
    }

    fn problem(&self, problem: String) -> Error {
        Error::Data {
            tensor: self.name.to_owned(),
            problem,
        }
    }
}

impl<'a> Output<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let (mut name, mut classes) = ("", 0);
        for field in Fields::new(message) {
            match field? {
                (1, value) => name = value.text()?,
                (2, value) => {
                    let entry = value.bytes()?;
                    refuse_shared_memory(entry)?;
                    classes = classes_of(entry)?.unwrap_or(classes);
                }
                _ => {}
            }
        }
        Ok(Self { name, classes })
    }
}

/// A parameter that says that the data is elsewhere.
fn refuse_shared_memory(entry: &[u8]) -> Result<(), Refusal> {
    match entry_of(entry)?.0 == "shared_memory_region" {
        true => Err(invalid("shared memory is not offered; send the tensors")),
        false => Ok(()),
    }
}

/// How many classes a parameter asks for, if it is that one.
fn classes_of(entry: &[u8]) -> Result<Option<u32>, Refusal> {
    let (name, value) = entry_of(entry)?;
    if name != "classification" {
        return Ok(None);
    }
    let count = match parameter(value)? {
        Some(Parameter::Int64(count)) => u32::try_from(count).ok(),
        Some(Parameter::Uint64(count)) => u32::try_from(count).ok(),
        _ => None,
    };
    let wrong = "the parameter classification must be a number of classes";
    count.map(Some).ok_or_else(|| invalid(wrong))
}

/// Name and value of an entry of a map.
fn entry_of(entry: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut name, mut value) = ("", &[][..]);
    for field in Fields::new(entry) {
        match field? {
            (1, text) => name = text.text()?,
            (2, message) => value = message.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn parameter(message: &[u8]) -> Result<Option<Parameter>, Malformed> {
    let mut parameter = None;
    for field in Fields::new(message) {
        parameter = match field? {
            (1, Value::Varint(value)) => Some(Parameter::Bool(value != 0)),
            (2, Value::Varint(value)) => Some(Parameter::Int64(value.cast_signed())),
            (3, value) => Some(Parameter::String(value.text()?.to_owned())),
            (4, Value::Fixed64(value)) => Some(Parameter::Double(f64::from_le_bytes(value))),
            (5, Value::Varint(value)) => Some(whole(value)),
            _ => parameter,
        };
    }
    Ok(parameter)
}

fn whole(value: u64) -> Parameter {
    i64::try_from(value).map_or(Parameter::Uint64(value), Parameter::Int64)
}

fn invalid(problem: &str) -> Refusal {
    Refusal::InvalidRequest(problem.to_owned())
}

/// An answer as a message: always raw, as clients expect.
pub(super) fn response(response: InferResponse) -> proto::ModelInferResponse {
    let (outputs, raw) = response.outputs.into_iter().map(output_of).unzip();
    proto::ModelInferResponse {
        model_name: response.model_name,
        model_version: response.model_version.unwrap_or_default(),
        id: response.id.unwrap_or_default(),
        parameters: Default::default(),
        outputs,
        raw_output_contents: raw,
    }
}

fn output_of(tensor: Tensor) -> (InferOutputTensor, prost::bytes::Bytes) {
    let dimension = |dimension: u64| i64::try_from(dimension).unwrap_or(i64::MAX);
    let output = InferOutputTensor {
        name: tensor.name,
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape.into_iter().map(dimension).collect(),
        parameters: Default::default(),
        contents: None,
    };
    (output, tensor.data.into())
}
