//! The model: a graph in the engine, loaded once when packing.

use glovebox_onnx::{Graph, LoadError, Shapes};
use glovebox_pipeline::Lengths;
use glovebox_protocol::{CallError, InferRequest, Signature, Tensor, TensorSpec};

use crate::graph::ADOPT;
use crate::rows::Rows;

/// A model in the engine.
pub struct Model {
    engine: Engine,
    signature: Signature,
}

/// What computes.
enum Engine {
    /// One graph for inputs of all the sizes that it leaves open.
    Open(Graph),
    Rows(Rows),
}

impl Model {
    /// Loads an ONNX file; one that takes texts, for rows of these lengths, others for inputs of these
    /// shapes.
    /// With `warm`, the graph runs once on zeros, so that what tract prepares at its first run is
    /// part of the image and not of every request.
    pub(crate) fn load(
        file: &[u8],
        lengths: Option<&Lengths>,
        shapes: &Shapes,
        warm: bool,
    ) -> Result<Self, LoadError> {
        let engine = Engine::load(file, lengths, shapes)?;
        let (inputs, outputs) = engine.specs();
        let signature = Signature {
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            media: Vec::new(),
        };
        let model = Self { engine, signature };
        if warm {
            model.run_on_zeros();
        }
        Ok(model)
    }

    pub(crate) fn run_on_zeros(&self) {
        self.engine.run_on_zeros();
    }

    /// The tensors that it takes and gives; no media, which are the guest's business.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the classes are called for which an output has scores, by the output's name; only where
    /// the ONNX file says so.
    pub fn class_names(&self) -> &[(String, Vec<String>)] {
        match &self.engine {
            Engine::Open(graph) => &graph.class_names,
            Engine::Rows(_) => &[],
        }
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
        let mut outputs = self.engine.run(&request.inputs)?;
        let wanted = |name: &String| request.outputs.is_empty() || request.outputs.contains(name);
        outputs.retain(|output| wanted(&output.name));
        Ok(outputs)
    }
}

impl Engine {
    fn load(file: &[u8], lengths: Option<&Lengths>, shapes: &Shapes) -> Result<Self, LoadError> {
        if let Some(lengths) = lengths
            && let Some(rows) = Rows::load(file, lengths)?
        {
            return Ok(Self::Rows(rows));
        }
        Graph::load(file, shapes, ADOPT).map(Self::Open)
    }

    fn run_on_zeros(&self) {
        match self {
            Self::Open(graph) => graph.run_on_zeros(),
            Self::Rows(rows) => rows.run_on_zeros(),
        }
    }

    /// Its inputs and its outputs.
    fn specs(&self) -> (&[TensorSpec], &[TensorSpec]) {
        match self {
            Self::Open(graph) => (&graph.inputs, &graph.outputs),
            Self::Rows(rows) => (&rows.inputs, &rows.outputs),
        }
    }

    /// All outputs.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
        match self {
            Self::Open(graph) => graph.run(inputs),
            Self::Rows(rows) => rows.run(inputs),
        }
    }
}
