//! Tensors of the protocol to tensors of tract and back.

use glovebox_protocol::{CallError, Datatype, Tensor};
use tract_onnx::prelude::{self as tract, DatumType, IntoTValue, TValue};

use crate::error::failed;

/// A tensor as tract takes it. The shape and the data have been checked against each other.
///
/// # Errors
/// Strings that are not UTF-8, or BF16.
pub fn to_tract(tensor: &Tensor) -> Result<TValue, CallError> {
    let shape: Vec<usize> = tensor
        .shape
        .iter()
        .map(|dimension| *dimension as usize)
        .collect();
    if tensor.datatype == Datatype::Bytes {
        return strings_to_tract(tensor, &shape);
    }
    let invalid = || {
        CallError::InvalidInput(format!(
            "input {:?}: {} is not supported",
            tensor.name, tensor.datatype
        ))
    };
    let datum_type = datum_type(tensor.datatype).ok_or_else(invalid)?;
    let mut value = tract::Tensor::zero_dt(datum_type, &shape).map_err(|error| failed(&error))?;
    let bytes = value.as_bytes_mut();
    if bytes.len() != tensor.data.len() {
        return Err(invalid());
    }
    bytes.copy_from_slice(&tensor.data);
    if tensor.datatype == Datatype::Bool {
        // Any other value than 0 and 1 in a `bool` would be undefined behaviour.
        bytes
            .iter_mut()
            .for_each(|byte| *byte = u8::from(*byte != 0));
    }
    Ok(value.into_tvalue())
}

fn strings_to_tract(tensor: &Tensor, shape: &[usize]) -> Result<TValue, CallError> {
    let invalid = |why: &str| CallError::InvalidInput(format!("input {:?}: {why}", tensor.name));
    let text = |element: &[u8]| std::str::from_utf8(element).map(str::to_owned);
    let strings = tensor.bytes_elements().map(text).collect::<Result<_, _>>();
    let strings: Vec<String> = strings.map_err(|_| invalid("a string is not UTF-8"))?;
    let array = tract::tract_ndarray::ArrayD::from_shape_vec(shape, strings)
        .map_err(|_| invalid("the shape does not fit the number of strings"))?;
    Ok(tract::Tensor::from(array).into_tvalue())
}

/// A tensor as the protocol has it.
///
/// # Errors
/// Its datatype is none of the protocol's, or its strings are larger than 4 GiB.
pub fn from_tract(name: &str, value: TValue) -> Result<Tensor, CallError> {
    let unsupported = || {
        CallError::Failed(format!(
            "output {name:?} has datatype {:?}",
            value.datum_type()
        ))
    };
    let datatype = datatype(value.datum_type()).ok_or_else(unsupported)?;
    let shape = value
        .shape()
        .iter()
        .map(|dimension| *dimension as u64)
        .collect();
    let data = match value.datum_type() {
        DatumType::String => strings_from_tract(&value)?,
        DatumType::TDim => bytes_of(&*value.cast_to::<i64>().map_err(|error| failed(&error))?)?,
        _ => bytes_of(&value)?,
    };
    Ok(Tensor {
        name: name.to_owned(),
        datatype,
        shape,
        data,
    })
}

fn bytes_of(tensor: &tract::Tensor) -> Result<Vec<u8>, CallError> {
    let plain = tensor.try_as_plain_ram().map_err(|error| failed(&error))?;
    Ok(plain.as_bytes().to_vec())
}

fn strings_from_tract(tensor: &tract::Tensor) -> Result<Vec<u8>, CallError> {
    let strings = tensor
        .to_plain_array_view::<String>()
        .map_err(|error| failed(&error))?;
    let mut data = Vec::new();
    for text in &strings {
        if !glovebox_protocol::push_element(&mut data, text.as_bytes()) {
            return Err(CallError::Failed(
                "a string of the output is larger than 4 GiB".into(),
            ));
        }
    }
    Ok(data)
}

fn datum_type(datatype: Datatype) -> Option<DatumType> {
    Some(match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bf16 | Datatype::Bytes => return None,
    })
}

/// The protocol's name for a tract type.
pub(crate) fn datatype(datum_type: DatumType) -> Option<Datatype> {
    Some(match datum_type.unquantized() {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        // Dimensions computed by the graph are 64-bit integers to ONNX.
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        DatumType::String => Datatype::Bytes,
        _ => return None,
    })
}
