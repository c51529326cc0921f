//! The model of this guest: loaded once when packing, called once a request.

use std::sync::OnceLock;

use glovebox_pipeline::{About, Answer, CallError, Pipeline};
use glovebox_protocol::{InferRequest, Signature, Tensor, TensorSpec};
use tract_onnx::prelude::{TValue, TVec};

use crate::error::{LoadError, failed};
use crate::onnx::{self, Graph};
use crate::pack;
use crate::rows::Rows;
use crate::tensor::{from_tract, to_tract};

static MODEL: OnceLock<Model> = OnceLock::new();

/// A graph with its signature and what stands around it.
pub(crate) struct Model {
    engine: Engine,
    signature: Signature,
    pipeline: Pipeline,
}

/// What computes.
enum Engine {
    /// One graph for inputs of all the sizes that it leaves open.
    Open(Graph),
    Rows(Rows),
}

impl Model {
    /// Loads the model and its pipeline, both as the packer read them from files.
    /// With `warm`, the graph runs once on zeros, so that what tract prepares at its first run is
    /// part of the image and not of every request.
    pub(crate) fn load(file: &[u8], config: &[u8], warm: bool) -> Result<&'static Self, LoadError> {
        let pipeline = Pipeline::read(config).map_err(LoadError::Config)?;
        let engine = Engine::load(file, &pipeline)?;
        if warm {
            engine.run_on_zeros();
        }
        let (inputs, outputs) = engine.specs();
        pipeline.check(inputs, outputs).map_err(LoadError::Config)?;
        probe(&engine, &pipeline)?;
        let signature = Signature {
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            media: pipeline.media(),
        };
        Ok(MODEL.get_or_init(|| Self {
            engine,
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

    /// Runs the graph as a request would.
    pub(crate) fn rehearse(&self) {
        self.engine.run_on_zeros();
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
        let mut outputs = self.engine.run(&request.inputs)?;
        let wanted = |name: &String| request.outputs.is_empty() || request.outputs.contains(name);
        outputs.retain(|output| wanted(&output.name));
        Ok(outputs)
    }

    /// Media to an answer.
    pub(crate) fn predict(&self, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let inputs = &self.signature.inputs;
        let prepared = self.pipeline.prepare(inputs, content_type, body)?;
        let outputs = self.infer(&prepared.request)?;
        self.pipeline.answer(&prepared, outputs)
    }
}

impl Engine {
    fn load(file: &[u8], pipeline: &Pipeline) -> Result<Self, LoadError> {
        if let Some(lengths) = pipeline.lengths()
            && let Some(rows) = Rows::load(file, &lengths)?
        {
            return Ok(Self::Rows(rows));
        }
        onnx::load(file).map(Self::Open)
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
            Self::Open(graph) => run(graph, inputs),
            Self::Rows(rows) => rows.run(inputs),
        }
    }
}

fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, CallError> {
    let find = |name: &str| inputs.iter().find(|tensor| tensor.name == name);
    let ordered = graph.inputs.iter().filter_map(|spec| find(&spec.name));
    let values = ordered.map(to_tract).collect::<Result<TVec<_>, _>>()?;
    let outputs = graph.plan.run(values).map_err(|error| failed(&error))?;
    let outputs = graph.outputs.iter().zip(outputs);
    let named = |(spec, value): (&TensorSpec, TValue)| from_tract(&spec.name, value);
    outputs.map(named).collect()
}

/// Tries the largest that media can become. Where the engine panics over it, the note says what it
/// was.
fn probe(engine: &Engine, pipeline: &Pipeline) -> Result<(), LoadError> {
    let unfit = |error: CallError| LoadError::Config(error.to_string());
    let Some(probe) = pipeline.probe(engine.specs().0).map_err(unfit)? else {
        return Ok(());
    };
    let about = format!("the model fails on {}", probe.about);
    match pack::while_doing(&about, || engine.run(&probe.tensors)) {
        Ok(_) => Ok(()),
        Err(error) => Err(LoadError::Config(format!("{about}: {error}"))),
    }
}
