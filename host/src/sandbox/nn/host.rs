//! The functions of `wasi:nn`.

use std::sync::Arc;

use glovebox_protocol::{self as protocol, InferRequest, Signature};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::wasi::nn::errors::{self, ErrorCode};
use super::bindings::wasi::nn::graph::{self, ExecutionTarget, GraphEncoding};
use super::bindings::wasi::nn::inference;
use super::bindings::wasi::nn::tensor::{self, TensorType};
use super::run::{self, Failure, Inputs, Output};
use super::session::{Context, Loaded, Refusal, Session, Tensor};
use super::types::{datatype, tensor_type};
use crate::native::RunError;
use crate::sandbox::allowance::Stop;

type Refused<T> = Result<T, Resource<Refusal>>;
type Named = (String, Resource<Tensor>);

impl tensor::Host for Session {}

impl tensor::HostTensor for Session {
    fn new(
        &mut self,
        dimensions: Vec<u32>,
        ty: TensorType,
        data: Vec<u8>,
    ) -> Result<Resource<Tensor>> {
        let charge = self.charge(data.len())?;
        Ok(self.table.push(Tensor {
            dimensions,
            ty,
            data,
            charge,
        })?)
    }

    fn dimensions(&mut self, tensor: Resource<Tensor>) -> Result<Vec<u32>> {
        Ok(self.table.get(&tensor)?.dimensions.clone())
    }

    fn ty(&mut self, tensor: Resource<Tensor>) -> Result<TensorType> {
        Ok(self.table.get(&tensor)?.ty)
    }

    fn data(&mut self, tensor: Resource<Tensor>) -> Result<Vec<u8>> {
        let data = &self.table.get(&tensor)?.data;
        // There must be room for the copy, which lives until the component has its own.
        let _copy = self.charge(data.len())?;
        Ok(data.clone())
    }

    fn drop(&mut self, tensor: Resource<Tensor>) -> Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

impl graph::Host for Session {
    fn load(
        &mut self,
        _: Vec<Vec<u8>>,
        encoding: GraphEncoding,
        target: ExecutionTarget,
    ) -> Result<Refused<Resource<Loaded>>> {
        let (code, text) = match (encoding, target) {
            (GraphEncoding::Onnx | GraphEncoding::Autodetect, ExecutionTarget::Cpu) => (
                ErrorCode::Security,
                "this host runs graphs that its operator trusts, and none from bytes: use load-by-name",
            ),
            (GraphEncoding::Onnx | GraphEncoding::Autodetect, _) => (
                ErrorCode::UnsupportedOperation,
                "this host has no other target than cpu",
            ),
            _ => (
                ErrorCode::InvalidEncoding,
                "this host has no other encoding than onnx",
            ),
        };
        Ok(Err(self.refusal(code, text)?))
    }

    fn load_by_name(&mut self, name: String) -> Result<Refused<Resource<Loaded>>> {
        Ok(match self.graphs.get(&name) {
            Some(graph) => Ok(self.table.push(Loaded(Arc::clone(graph)))?),
            None => Err(self.refusal(
                ErrorCode::NotFound,
                "the manifest gives this component no graph of that name",
            )?),
        })
    }
}

impl graph::HostGraph for Session {
    fn init_execution_context(
        &mut self,
        graph: Resource<Loaded>,
    ) -> Result<Refused<Resource<Context>>> {
        let graph = Arc::clone(&self.table.get(&graph)?.0);
        Ok(Ok(self.table.push(Context(graph))?))
    }

    fn drop(&mut self, graph: Resource<Loaded>) -> Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

impl inference::Host for Session {}

impl inference::HostGraphExecutionContext for Session {
    async fn compute(
        &mut self,
        context: Resource<Context>,
        inputs: Vec<Named>,
    ) -> Result<Refused<Vec<Named>>> {
        let graph = Arc::clone(&self.table.get(&context)?.0);
        let inputs = match self.inputs(graph.signature(), inputs)? {
            Ok(inputs) => inputs,
            Err(error) => return self.fail(RunError::Invalid(error.to_string())),
        };
        let work = run::run(graph, inputs, Arc::clone(&self.allowance));
        match self.allowance.native(work).await? {
            Ok(outputs) => self.outputs(outputs),
            Err(Failure::Run(error)) => self.fail(error),
            Err(Failure::Stop(stop)) => Err(stop.into()),
        }
    }

    fn drop(&mut self, context: Resource<Context>) -> Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

impl Session {
    /// Takes the tensors out of the table: those that a graph of this signature wants, or why they are
    /// others.
    fn inputs(
        &mut self,
        signature: &Signature,
        named: Vec<Named>,
    ) -> Result<Result<Inputs, protocol::Error>> {
        let (mut inputs, mut charges) = (Vec::new(), Vec::new());
        for (name, tensor) in named {
            let tensor = self.table.delete(tensor)?;
            let wanted = signature.inputs.iter().find(|spec| spec.name == name);
            let datatype = datatype(tensor.ty, wanted.map(|spec| spec.datatype));
            let shape: Vec<u64> = tensor.dimensions.into_iter().map(u64::from).collect();
            match protocol::Tensor::new(name, datatype, shape, tensor.data) {
                Ok(input) => inputs.push(input),
                Err(error) => return Ok(Err(error)),
            }
            charges.push(tensor.charge);
        }
        let request = InferRequest {
            inputs,
            ..InferRequest::default()
        };
        let fits = signature.check(&request);
        Ok(fits.map(|()| Inputs {
            tensors: request.inputs,
            charges,
        }))
    }

    /// The outputs of datatypes that `wasi:nn` has.
    fn outputs(&mut self, outputs: Vec<Output>) -> Result<Refused<Vec<Named>>> {
        let mut named = Vec::with_capacity(outputs.len());
        for Output { tensor, charge } in outputs {
            let Some(ty) = tensor_type(tensor.datatype) else {
                continue;
            };
            let size = |size: &u64| u32::try_from(*size).ok();
            let dimensions: Option<Vec<u32>> = tensor.shape.iter().map(size).collect();
            let Some(dimensions) = dimensions else {
                let (name, shape) = (tensor.name, tensor.shape);
                let text = format!("output {name:?} of shape {shape:?} has no place in wasi:nn");
                return Ok(Err(self.refusal(ErrorCode::UnsupportedOperation, text)?));
            };
            let resource = self.table.push(Tensor {
                dimensions,
                ty,
                data: tensor.data,
                charge,
            })?;
            named.push((tensor.name, resource));
        }
        Ok(Ok(named))
    }

    /// What a component hears of a run that failed. If the engine itself is broken, it hears nothing
    /// any more.
    fn fail<T>(&mut self, error: RunError) -> Result<Refused<T>> {
        let code = match &error {
            RunError::Invalid(_) => ErrorCode::InvalidArgument,
            RunError::Failed(_) => ErrorCode::RuntimeError,
            RunError::Panicked(text) => return Err(Stop::Engine(text.clone()).into()),
        };
        Ok(Err(self.refusal(code, error.to_string())?))
    }
}

impl errors::Host for Session {}

impl errors::HostError for Session {
    fn code(&mut self, error: Resource<Refusal>) -> Result<ErrorCode> {
        Ok(self.table.get(&error)?.code)
    }

    fn data(&mut self, error: Resource<Refusal>) -> Result<String> {
        Ok(self.table.get(&error)?.text.clone())
    }

    fn drop(&mut self, error: Resource<Refusal>) -> Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}
