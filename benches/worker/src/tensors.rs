//! Tensors in files of the format safetensors: the length of a header, the header in JSON, the
//! elements.

use std::fs;
use std::path::Path;

use glovebox_protocol::{Datatype, Tensor};
use serde_json::{Map, Value, json};

use crate::engine::Failure;

/// The name of an input and its shape.
pub type Shape = (String, Vec<u64>);

const DATATYPES: [(Datatype, &str); 6] = [
    (Datatype::Fp32, "F32"),
    (Datatype::Int64, "I64"),
    (Datatype::Int32, "I32"),
    (Datatype::Int8, "I8"),
    (Datatype::Uint8, "U8"),
    (Datatype::Bool, "BOOL"),
];

/// The tensors of a file.
///
/// # Errors
/// It cannot be read, or is of another format.
pub fn read(file: &Path) -> Result<Vec<Tensor>, Failure> {
    let bytes = fs::read(file)?;
    let (length, rest) = bytes.split_first_chunk().ok_or("the file is too short")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, data) = rest.split_at_checked(length).ok_or("the file is cut off")?;
    let header: Map<String, Value> = serde_json::from_slice(header)?;
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    tensors
        .map(|(name, entry)| tensor(name, entry, data))
        .collect()
}

fn tensor(name: &str, entry: &Value, data: &[u8]) -> Result<Tensor, Failure> {
    let known = DATATYPES.iter().find(|(_, dtype)| entry["dtype"] == *dtype);
    let (datatype, _) = known.ok_or_else(|| format!("{name} has another datatype"))?;
    let shape: Vec<u64> = serde_json::from_value(entry["shape"].clone())?;
    let (from, to): (usize, usize) = serde_json::from_value(entry["data_offsets"].clone())?;
    let data = data.get(from..to).ok_or("the file is cut off")?;
    Ok(Tensor::new(name, *datatype, shape, data)?)
}

/// Writes tensors into a file.
pub(crate) fn write(tensors: &[Tensor], file: &Path) -> Result<(), Failure> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for tensor in tensors {
        let known = DATATYPES.iter().find(|(name, _)| *name == tensor.datatype);
        let (_, dtype) = known.ok_or_else(|| format!("no file holds {}", tensor.datatype))?;
        let start = data.len();
        data.extend_from_slice(&tensor.data);
        let offsets = [start, data.len()];
        let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": offsets });
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::to_vec(&header)?;
    let length = (header.len() as u64).to_le_bytes();
    fs::write(file, [&length[..], &header, &data].concat())?;
    Ok(())
}

/// The names and shapes of tensors.
pub fn shapes(tensors: &[Tensor]) -> Vec<Shape> {
    let shape = |tensor: &Tensor| (tensor.name.clone(), tensor.shape.clone());
    tensors.iter().map(shape).collect()
}
