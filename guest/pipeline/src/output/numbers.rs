//! The numbers of an output that an answer is made of.

use glovebox_protocol::{Datatype, Tensor, TensorSpec};

use crate::error::CallError;

/// An output of floats.
pub(super) struct Numbers {
    /// Its dimensions.
    pub(super) shape: Vec<usize>,
    /// Its elements, row by row.
    pub(super) values: Vec<f32>,
}

/// The declared output of this name, which must be one of floats.
pub(super) fn declared<'a>(
    outputs: &'a [TensorSpec],
    name: &str,
) -> Result<&'a TensorSpec, String> {
    let Some(spec) = outputs.iter().find(|spec| spec.name == name) else {
        let names: Vec<_> = outputs.iter().map(|spec| spec.name.as_str()).collect();
        return Err(format!(
            "[output] tensor {name:?} does not exist; the outputs are {}",
            names.join(", ")
        ));
    };
    if spec.datatype == Datatype::Fp32 {
        return Ok(spec);
    }
    Err(format!(
        "[output] tensor {name:?} is {}, scores must be FP32",
        spec.datatype
    ))
}

impl Numbers {
    /// The output of this name.
    pub(super) fn of(outputs: &[Tensor], name: &str) -> Result<Self, CallError> {
        let tensor = outputs
            .iter()
            .find(|tensor| tensor.name == name)
            .ok_or_else(|| unfit(name, "is missing"))?;
        let (elements, _) = tensor.data.as_chunks();
        Ok(Self {
            shape: tensor.shape.iter().map(|size| *size as usize).collect(),
            values: elements.iter().copied().map(f32::from_le_bytes).collect(),
        })
    }
}

/// The model has answered something else than it declares, or than its `model.toml` expects.
pub(super) fn unfit(name: &str, why: &str) -> CallError {
    CallError::Failed(format!("output {name:?} {why}"))
}
