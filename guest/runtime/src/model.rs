//! The model of this guest: loaded once when packing, called once a request.

use std::sync::OnceLock;

use glovebox_pipeline::{About, Answer, CallError, Pipeline};
use glovebox_protocol::{InferRequest, Signature, Tensor, TensorSpec};
use tract_onnx::prelude::{TValue, TVec};

use crate::error::{LoadError, failed};
use crate::onnx::{self, Graph};
use crate::tensor::{from_tract, to_tract};

static MODEL: OnceLock<Model> = OnceLock::new();

/// A graph with its signature and what stands around it.
pub(crate) struct Model {
    graph: Graph,
    signature: Signature,
    pipeline: Pipeline,
}

impl Model {
    /// Loads the model and its pipeline, both as the packer read them from files.
    /// With `warm`, the graph runs once on zeros, so that what tract prepares at its first run is
    /// part of the image and not of every request.
    pub(crate) fn load(file: &[u8], config: &[u8], warm: bool) -> Result<&'static Self, LoadError> {
        let graph = onnx::load(file)?;
        if warm {
            graph.run_on_zeros();
        }
        let pipeline = Pipeline::from_json(config, &graph.inputs, &graph.outputs)
            .map_err(LoadError::Config)?;
        let signature = Signature {
            inputs: graph.inputs.clone(),
            outputs: graph.outputs.clone(),
            media: pipeline.media(),
        };
        Ok(MODEL.get_or_init(|| Self {
            graph,
            signature,
            pipeline,
        }))
    }

    /// The model that the packer left in this memory.
    pub(crate) fn get() -> Result<&'static Self, CallError> {
        MODEL
            .get()
            .ok_or_else(|| CallError::Failed("this component holds no model".into()))
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the model says of itself.
    pub(crate) fn about(&self) -> About {
        self.pipeline.about()
    }

    /// Tensors to tensors, all outputs or those named.
    pub(crate) fn infer(&self, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        self.signature.check(request)?;
        let outputs = self.run(&request.inputs)?;
        let named = |(spec, value): (&TensorSpec, TValue)| from_tract(&spec.name, value);
        let wanted = |name: &String| request.outputs.is_empty() || request.outputs.contains(name);
        let outputs = self.signature.outputs.iter().zip(outputs);
        outputs
            .filter(|(spec, _)| wanted(&spec.name))
            .map(named)
            .collect()
    }

    /// Media to an answer.
    pub(crate) fn predict(&self, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let inputs = &self.signature.inputs;
        let prepared = self.pipeline.prepare(inputs, content_type, body)?;
        let outputs = self.infer(&prepared.request)?;
        self.pipeline.answer(&prepared, outputs)
    }

    fn run(&self, inputs: &[Tensor]) -> Result<TVec<TValue>, CallError> {
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
