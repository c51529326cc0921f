//! The graph, which the host has: tensors of the protocol through `wasi:nn`.

use glovebox_protocol::{CallError, Datatype, Tensor};

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

    /// Runs it; all of its outputs.
    ///
    /// # Errors
    /// The host refuses the inputs, or fails.
    pub(crate) fn compute(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
        let inputs = inputs.iter().map(lower).collect::<Result<_, _>>()?;
        let outputs = self.0.compute(inputs).map_err(|error| explain(&error))?;
        outputs.into_iter().map(lift).collect()
    }
}

/// What `wasi:nn` calls a datatype, if it has it.
pub(crate) fn tensor_type(datatype: Datatype) -> Option<TensorType> {
    Some(match datatype {
        Datatype::Fp16 => TensorType::Fp16,
        Datatype::Fp32 => TensorType::Fp32,
        Datatype::Fp64 => TensorType::Fp64,
        Datatype::Bf16 => TensorType::Bf16,
        Datatype::Uint8 => TensorType::U8,
        Datatype::Int32 => TensorType::I32,
        Datatype::Int64 => TensorType::I64,
        _ => return None,
    })
}

fn datatype(tensor_type: TensorType) -> Datatype {
    match tensor_type {
        TensorType::Fp16 => Datatype::Fp16,
        TensorType::Fp32 => Datatype::Fp32,
        TensorType::Fp64 => Datatype::Fp64,
        TensorType::Bf16 => Datatype::Bf16,
        TensorType::U8 => Datatype::Uint8,
        TensorType::I32 => Datatype::Int32,
        TensorType::I64 => Datatype::Int64,
    }
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

fn lift((name, tensor): NamedTensor) -> Result<Tensor, CallError> {
    let shape: Vec<u64> = tensor.dimensions().into_iter().map(u64::from).collect();
    let lifted = Tensor::new(name, datatype(tensor.ty()), shape, tensor.data());
    lifted.map_err(|error| CallError::Failed(format!("the host's graph: {error}")))
}

/// Whose fault it is. Only inputs are the client's.
fn explain(error: &Error) -> CallError {
    match error.code() {
        ErrorCode::InvalidArgument => CallError::InvalidInput(error.data()),
        _ => CallError::Failed(error.data()),
    }
}
