//! The model: a graph in the engine, loaded once when packing.

use glovebox_pipeline::CallError;
use glovebox_protocol::{InferRequest, Signature, Tensor, TensorSpec};
use tract_onnx::prelude::{TValue, TVec};

use crate::error::{LoadError, failed};
use crate::onnx::{self, Graph};
use crate::tensor::{from_tract, to_tract};

/// A model in the engine.
pub struct Model {
    graph: Graph,
    signature: Signature,
}

impl Model {
    /// Loads an ONNX file.
    /// With `warm`, the graph runs once on zeros, so that what tract prepares at its first run is
    /// part of the image and not of every request.
    pub(crate) fn load(file: &[u8], warm: bool) -> Result<Self, LoadError> {
        let graph = onnx::load(file)?;
        if warm {
            graph.run_on_zeros();
        }
        let signature = Signature {
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.clone(),
            media: Vec::new(),
        };
        Ok(Self { graph, signature })
    }

    /// The tensors that it takes and gives; no media, which are the guest's business.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Runs it; all of its outputs, in their order.
    ///
    /// # Errors
    /// The inputs do not fit the signature, or the model fails.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, CallError> {
        self.infer(&InferRequest {
            inputs,
            ..Default::default()
        })
    }

    /// Runs it; all outputs or those that the request names, in the model's order.
    ///
    /// # Errors
    /// The request does not fit the signature, or the model fails.
    pub fn infer(&self, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        self.signature.check(request)?;
        let outputs = self.evaluate(&request.inputs)?;
        let named = |(spec, value): (&TensorSpec, TValue)| from_tract(&spec.name, value);
        let wanted = |name: &String| request.outputs.is_empty() || request.outputs.contains(name);
        let outputs = self.signature.outputs.iter().zip(outputs);
        outputs
            .filter(|(spec, _)| wanted(&spec.name))
            .map(named)
            .collect()
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<TVec<TValue>, CallError> {
        let find = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
        let ordered = self
            .signature
            .inputs
            .iter()
            .filter_map(|spec| find(&spec.name));
        let values = ordered.map(to_tract).collect::<Result<TVec<_>, _>>()?;
        self.graph.plan.run(values).map_err(|error| failed(&error))
    }
}
