//! The graph, which the host has: tensors of the protocol through `wasi:nn`.

use glovebox_protocol::{CallError, Datatype, Tensor, TensorSpec};

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "wasi:nn/ml@0.2.0-rc-2024-10-28",
        generate_all,
    });
}

use bindings::wasi::nn::errors::{Error, ErrorCode};
use bindings::wasi::nn::graph::load_by_name;
use bindings::wasi::nn::inference::{GraphExecutionContext, NamedTensor};
use bindings::wasi::nn::tensor::{self as nn, TensorType};

/// A graph, ready to run.
pub(crate) struct Graph(GraphExecutionContext);

impl Graph {
    /// The graph of this name.
    ///
    /// # Errors
    /// The host does not give it to this component.
    pub(crate) fn by_name(name: &str) -> Result<Self, CallError> {
        let context = load_by_name(name).and_then(|graph| graph.init_execution_context());
        context.map(Self).map_err(|error| explain(&error))
    }

    /// Runs it; the outputs that are wanted, in this order.
    ///
    /// # Errors
    /// The host refuses the inputs, fails, or has another graph.
    pub(crate) fn compute(
        &self,
        inputs: &[Tensor],
        wanted: &[&TensorSpec],
    ) -> Result<Vec<Tensor>, CallError> {
        let inputs = inputs.iter().map(lower).collect::<Result<_, _>>()?;
        let outputs = self.0.compute(inputs).map_err(|error| explain(&error))?;
        wanted.iter().map(|spec| lift(&outputs, spec)).collect()
    }
}

/// How a datatype is called in `wasi:nn`, where integers of the same width stand for others, bit by
/// bit; strings and integers of 16 bits have no place there.
pub(crate) fn tensor_type(datatype: Datatype) -> Option<TensorType> {
    Some(match datatype {
        Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => TensorType::U8,
        Datatype::Int32 | Datatype::Uint32 => TensorType::I32,
        Datatype::Int64 | Datatype::Uint64 => TensorType::I64,
        Datatype::Fp16 => TensorType::Fp16,
        Datatype::Bf16 => TensorType::Bf16,
        Datatype::Fp32 => TensorType::Fp32,
        Datatype::Fp64 => TensorType::Fp64,
        Datatype::Uint16 | Datatype::Int16 | Datatype::Bytes => return None,
    })
}

fn lower(tensor: &Tensor) -> Result<NamedTensor, CallError> {
    let name = &tensor.name;
    let unfit = |what: String| CallError::InvalidInput(format!("input {name:?}: {what}"));
    let datatype = tensor.datatype;
    let tensor_type =
        tensor_type(datatype).ok_or_else(|| unfit(format!("{datatype} is not supported")))?;
    let dimensions = tensor.shape.iter().map(|size| u32::try_from(*size));
    let dimensions: Vec<u32> = dimensions
        .collect::<Result<_, _>>()
        .map_err(|_| unfit(format!("shape {:?} is too large", tensor.shape)))?;
    let lowered = nn::Tensor::new(&dimensions, tensor_type, &tensor.data);
    Ok((name.clone(), lowered))
}

/// Signature and graph are of one file, so that what does not fit is the host's mistake.
fn lift(outputs: &[NamedTensor], spec: &TensorSpec) -> Result<Tensor, CallError> {
    let name = &spec.name;
    let other =
        |what: String| CallError::Failed(format!("the host's graph: output {name:?} {what}"));
    let found = outputs.iter().find(|(found, _)| found == name);
    let (_, tensor) = found.ok_or_else(|| other("is missing".into()))?;
    if tensor_type(spec.datatype) != Some(tensor.ty()) {
        return Err(other(format!(
            "is {:?}, not {}",
            tensor.ty(),
            spec.datatype
        )));
    }
    let shape: Vec<u64> = tensor.dimensions().into_iter().map(u64::from).collect();
    Tensor::new(name.as_str(), spec.datatype, shape, tensor.data())
        .map_err(|error| other(format!("is broken: {error}")))
}

/// Whose fault it is. Only inputs are the client's.
fn explain(error: &Error) -> CallError {
    match error.code() {
        ErrorCode::InvalidArgument => CallError::InvalidInput(error.data()),
        _ => CallError::Failed(error.data()),
    }
}
