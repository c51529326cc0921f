//! The request that is sent again and again: read, or made of the model's metadata.

use glovebox_protocol::{InferRequest, Tensor, TensorSpec, escape};

use super::BenchError;
use crate::limits;
use crate::model::example;

/// A request that the user gives.
pub(super) fn read(json: &[u8]) -> Result<InferRequest, BenchError> {
    InferRequest::from_json(json).map_err(BenchError::File)
}

/// A request that fits these inputs: open dimensions are 1, numbers are small.
pub(super) fn generate(inputs: &[TensorSpec]) -> Result<InferRequest, BenchError> {
    Ok(InferRequest {
        inputs: inputs.iter().map(tensor).collect::<Result<_, _>>()?,
        ..InferRequest::default()
    })
}

fn tensor(spec: &TensorSpec) -> Result<Tensor, BenchError> {
    example::tensor(spec, limits::BENCH_ELEMENTS).ok_or_else(|| {
        let (name, datatype) = (escape(&spec.name), spec.datatype);
        BenchError::Input(format!(
            "input {name:?} is {datatype} {:?}, which cannot be made up",
            spec.shape
        ))
    })
}
