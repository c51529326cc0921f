//! The code of a packed model whose graph the host runs: what `[input]` and `[output]` of `model.toml`
//! ask for, around a graph that is asked for by the model's name through `wasi:nn`. It holds no engine.

mod graph;

use std::hint::black_box;

use glovebox_image::Loaded;
use glovebox_pipeline::{About, Answer, CallError, Pipeline, TokenRows};
use glovebox_protocol::{InferRequest, Signature, Tensor, TensorSpec};
use serde::Serialize;

use graph::Graph;

/// A pipeline, and what its graph is called with.
struct Native {
    pipeline: Pipeline,
    about: About,
    signature: Signature,
    /// How a model of texts is called.
    rows: Option<TokenRows>,
}

/// Why there is none.
#[derive(Serialize)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
enum Refusal {
    /// What `model.toml` says does not fit the model.
    Config(String),
    /// The graph cannot be called through `wasi:nn`.
    Datatype(String),
}

impl Loaded for Native {
    type Refusal = Refusal;

    /// `model` is the signature that the model was found to have, as JSON.
    fn load(model: &[u8], config: &[u8], _: bool) -> Result<Self, Refusal> {
        let found = serde_json::from_slice(model);
        let found: Signature = found.map_err(|error| Refusal::Config(error.to_string()))?;
        let Signature {
            inputs,
            mut outputs,
            ..
        } = found;
        inputs.iter().try_for_each(check)?;
        let has_place = |output: &TensorSpec| check(output).is_ok();
        if !outputs.iter().any(has_place) {
            outputs.iter().try_for_each(check)?;
        }
        outputs.retain(has_place);
        let pipeline = Pipeline::from_json(config, &inputs, &outputs).map_err(Refusal::Config)?;
        Ok(Self {
            about: pipeline.about(),
            rows: pipeline
                .lengths()
                .and_then(|lengths| TokenRows::of(&inputs, &lengths)),
            signature: Signature {
                inputs,
                outputs,
                media: pipeline.media(),
            },
            pipeline,
        })
    }

    fn about(&self) -> &About {
        &self.about
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn infer(&self, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        let is_wanted =
            |spec: &&TensorSpec| request.outputs.is_empty() || request.outputs.contains(&spec.name);
        let wanted: Vec<_> = self.signature.outputs.iter().filter(is_wanted).collect();
        let graph = Graph::by_name(&self.about.name)?;
        let compute = |inputs: &[Tensor]| graph.compute(inputs, &wanted);
        match &self.rows {
            Some(rows) => rows.run(&request.inputs, &wanted, compute),
            None => compute(&request.inputs),
        }
    }

    fn predict(&self, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let inputs = &self.signature.inputs;
        let prepared = self.pipeline.prepare(inputs, content_type, body)?;
        let outputs = self.infer(&prepared.request)?;
        self.pipeline.answer(&prepared, outputs)
    }

    /// The graph, of which one would see what it takes, is the host's; its tensors come through here.
    fn rehearse(&self) {
        let Signature {
            inputs, outputs, ..
        } = &self.signature;
        let tensors = inputs.iter().chain(outputs).map(zeros);
        black_box(tensors.collect::<Vec<_>>());
    }
}

glovebox_image::export!(Native);

/// As many as a tensor has bytes whose open sizes are 1.
fn zeros(spec: &TensorSpec) -> Vec<u8> {
    let sizes = spec.shape.iter().map(|size| (*size).max(1) as usize);
    let elements = sizes.fold(1, usize::saturating_mul);
    let bytes = elements.saturating_mul(spec.datatype.element_bytes().unwrap_or_default());
    let mut zeros = Vec::new();
    // If there is no room for it, a request will say so.
    if zeros.try_reserve_exact(bytes).is_ok() {
        zeros.resize(bytes, 0);
    }
    zeros
}

/// Whether `wasi:nn` has tensors like this one.
fn check(spec: &TensorSpec) -> Result<(), Refusal> {
    match graph::tensor_type(spec.datatype) {
        Some(_) => Ok(()),
        None => Err(Refusal::Datatype(format!(
            "tensor {:?} is {}, of which wasi:nn has none; pack the model without --native",
            spec.name, spec.datatype
        ))),
    }
}
