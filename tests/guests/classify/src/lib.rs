//! What users of `wasi:nn` write, made to be tested with: it loads a graph by its name, gives it one
//! tensor, and makes chances of the scores and finds the best classes itself. Nothing in it is of
//! Glovebox.
//!
//! `POST /classify/<graph>` takes 64 little-endian numbers, a picture of 8 x 8. `POST /classify` takes a
//! graph, and tries to load it from these bytes.
#![allow(unsafe_code, reason = "`http_component` makes it")]

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit/deps/nn",
        world: "ml",
    });
}

use bindings::wasi::nn::errors::Error;
use bindings::wasi::nn::graph::{ExecutionTarget, GraphEncoding, load, load_by_name};
use bindings::wasi::nn::tensor::{Tensor, TensorType};

const CLASSES: usize = 5;

#[http_component]
fn handle(request: Request) -> Response {
    let mut segments = request.path().split('/').skip(2);
    let answer = match segments.next() {
        Some(graph) => classify(graph, request.body()),
        None => load_bytes(request.body()).map(|()| Vec::new()),
    };
    match answer {
        Ok(classes) => {
            let classes = classes
                .iter()
                .map(|(class, chance)| serde_json::json!({ "class": class, "chance": chance }));
            Response::new(200, serde_json::Value::from_iter(classes).to_string())
        }
        Err(error) => Response::new(500, format!("{:?}: {}", error.code(), error.data())),
    }
}

/// The best classes of a picture, with their chances.
fn classify(graph: &str, picture: &[u8]) -> Result<Vec<(usize, f32)>, Error> {
    let graph = load_by_name(graph)?;
    let context = graph.init_execution_context()?;
    let image = Tensor::new(&[1, 1, 8, 8], TensorType::Fp32, picture);
    let outputs = context.compute(vec![("image".into(), image)])?;
    let scores = outputs.first().map(|(_, scores)| scores.data());
    let mut classes = softmax(&scores.unwrap_or_default());
    classes.sort_by(|one, other| other.1.total_cmp(&one.1));
    classes.truncate(CLASSES);
    Ok(classes)
}

fn softmax(scores: &[u8]) -> Vec<(usize, f32)> {
    let (scores, _) = scores.as_chunks::<4>();
    let powers = scores.iter().map(|score| f32::from_le_bytes(*score).exp());
    let powers: Vec<f32> = powers.collect();
    let sum: f32 = powers.iter().sum();
    let chances = powers.iter().map(|power| power / sum);
    chances.enumerate().collect()
}

fn load_bytes(graph: &[u8]) -> Result<(), Error> {
    load(&[graph.to_vec()], GraphEncoding::Onnx, ExecutionTarget::Cpu).map(drop)
}
