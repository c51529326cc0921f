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
        Datatype::Fp32 => Ok(spec),
        other => Err(format!(
            "[output] tensor {name:?} is {other}, scores must be FP32"
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
        Datatype::Fp32 | Datatype::Uint8 | Datatype::Int32 | Datatype::Int64
    )
}

/// All elements. Whole numbers beyond 2^24 lose their last digits; classes are smaller.
pub(super) fn floats(tensor: &Tensor) -> Result<Vec<f32>, CallError> {
    let data = &tensor.data;
    Ok(match tensor.datatype {
        Datatype::Fp32 => read(data, f32::from_le_bytes),
        Datatype::Uint8 => data.iter().map(|level| f32::from(*level)).collect(),
        Datatype::Int32 => read(data, |bytes| i32::from_le_bytes(bytes) as f32),
        Datatype::Int64 => read(data, |bytes| i64::from_le_bytes(bytes) as f32),
        other => {
            return Err(CallError::Failed(format!(
                "output {:?} is {other}",
                tensor.name
            )));
        }
    })
}

fn read<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (elements, _) = data.as_chunks::<N>();
    elements.iter().map(|bytes| number(*bytes)).collect()
}
