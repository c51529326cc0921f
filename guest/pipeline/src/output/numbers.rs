//! Outputs of a model as numbers of one type.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};

use crate::CallError;

/// An output of floats.
pub(super) struct Numbers {
    /// Its dimensions.
    pub(super) shape: Vec<usize>,
    /// Its elements, row by row.
    pub(super) values: Vec<f32>,
}

impl Numbers {
    /// The output of this name.
    pub(super) fn of(outputs: &[Tensor], name: &str) -> Result<Self, CallError> {
        let tensor = tensor(outputs, name)?;
        Ok(Self {
            shape: tensor.shape.iter().map(|size| *size as usize).collect(),
            values: floats(tensor)?,
        })
    }
}

/// The description of the output of this name, which must be one of floats.
pub(super) fn declared<'a>(
    outputs: &'a [TensorSpec],
    name: &str,
) -> Result<&'a TensorSpec, String> {
    let spec = spec(outputs, name)?;
    match spec.datatype {
        Datatype::Fp32 | Datatype::Fp64 => Ok(spec),
        other => Err(format!(
            "[output] tensor {name:?} is {other}, scores must be FP32 or FP64"
        )),
    }
}

/// The model has answered something else than it declares, or than its `model.toml` expects.
pub(super) fn unfit(name: &str, why: &str) -> CallError {
    CallError::Failed(format!("output {name:?} {why}"))
}

/// The description of the output of this name.
pub(super) fn spec<'a>(outputs: &'a [TensorSpec], name: &str) -> Result<&'a TensorSpec, String> {
    outputs
        .iter()
        .find(|spec| spec.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = outputs.iter().map(|spec| spec.name.as_str()).collect();
            format!(
                "[output] tensor {name:?} does not exist; the outputs are {}",
                names.join(", ")
            )
        })
}

/// The output of this name.
pub(super) fn tensor<'a>(outputs: &'a [Tensor], name: &str) -> Result<&'a Tensor, CallError> {
    let found = outputs.iter().find(|tensor| tensor.name == name);
    found.ok_or_else(|| unfit(name, "is missing"))
}

/// Whether [`floats`] reads this type.
pub(super) fn is_read(datatype: Datatype) -> bool {
    matches!(
        datatype,
        Datatype::Fp32 | Datatype::Fp64 | Datatype::Uint8 | Datatype::Int32 | Datatype::Int64
    )
}

/// All elements. Whole numbers beyond 2^24 lose their last digits; classes are smaller.
pub(super) fn floats(tensor: &Tensor) -> Result<Vec<f32>, CallError> {
    let data = &tensor.data;
    Ok(match tensor.datatype {
        Datatype::Fp32 => read(data, f32::from_le_bytes),
        Datatype::Fp64 => read(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Datatype::Uint8 => data.iter().map(|level| f32::from(*level)).collect(),
        Datatype::Int32 => read(data, |bytes| i32::from_le_bytes(bytes) as f32),
        Datatype::Int64 => read(data, |bytes| i64::from_le_bytes(bytes) as f32),
        other => return Err(unfit(&tensor.name, &format!("is {other}"))),
    })
}

/// The same with the digits of FP64. Whole numbers beyond 2^53 lose theirs.
pub(super) fn doubles(tensor: &Tensor) -> Result<Vec<f64>, CallError> {
    Ok(match tensor.datatype {
        Datatype::Fp64 => read(&tensor.data, f64::from_le_bytes),
        Datatype::Int64 => read(&tensor.data, |bytes| i64::from_le_bytes(bytes) as f64),
        Datatype::Int32 => read(&tensor.data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        _ => floats(tensor)?.into_iter().map(f64::from).collect(),
    })
}

/// The elements of an output of whole numbers.
pub(super) fn whole(tensor: &Tensor) -> Result<Vec<i64>, CallError> {
    match tensor.datatype {
        Datatype::Int64 => Ok(read(&tensor.data, i64::from_le_bytes)),
        Datatype::Int32 => Ok(read(&tensor.data, |bytes| {
            i64::from(i32::from_le_bytes(bytes))
        })),
        other => Err(unfit(&tensor.name, &format!("is {other}"))),
    }
}

fn read<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = data.as_chunks::<N>();
    elements.iter().map(|bytes| number(*bytes)).collect()
}
