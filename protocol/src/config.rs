//! The extension `model_configuration`: a model as Triton's own configuration would describe it.

use serde::Serialize;

use crate::{Datatype, Signature, TensorSpec};

/// The answer to `GET /v2/models/{model}/config`. Shapes include the batch, so `max_batch_size` is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The model's name.
    pub name: String,
    /// The framework and format, as in the model's metadata.
    pub platform: String,
    /// What runs it.
    pub backend: String,
    /// Always 0: dimensions are the whole shape.
    pub max_batch_size: u32,
    /// The tensors it takes.
    pub input: Vec<ConfigTensor>,
    /// The tensors it gives.
    pub output: Vec<ConfigTensor>,
}

/// A tensor in a model's configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigTensor {
    /// The tensor's name.
    pub name: String,
    /// Its datatype in Triton's words.
    pub data_type: &'static str,
    /// The size of each dimension; -1 is the caller's choice.
    pub dims: Vec<i64>,
}

impl ModelConfig {
    /// Describes a packed model.
    pub fn describe(name: &str, platform: &str, signature: &Signature) -> Self {
        let tensors = |specs: &[TensorSpec]| specs.iter().map(ConfigTensor::of).collect();
        Self {
            name: name.to_owned(),
            platform: platform.to_owned(),
            backend: "glovebox".into(),
            max_batch_size: 0,
            input: tensors(&signature.inputs),
            output: tensors(&signature.outputs),
        }
    }
}

impl ConfigTensor {
    fn of(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.clone(),
            data_type: data_type(spec.datatype),
            dims: spec.shape.clone(),
        }
    }
}

fn data_type(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "TYPE_BOOL",
        Datatype::Uint8 => "TYPE_UINT8",
        Datatype::Uint16 => "TYPE_UINT16",
        Datatype::Uint32 => "TYPE_UINT32",
        Datatype::Uint64 => "TYPE_UINT64",
        Datatype::Int8 => "TYPE_INT8",
        Datatype::Int16 => "TYPE_INT16",
        Datatype::Int32 => "TYPE_INT32",
        Datatype::Int64 => "TYPE_INT64",
        Datatype::Fp16 => "TYPE_FP16",
        Datatype::Bf16 => "TYPE_BF16",
        Datatype::Fp32 => "TYPE_FP32",
        Datatype::Fp64 => "TYPE_FP64",
        Datatype::Bytes => "TYPE_STRING",
    }
}
