//! One run of a graph in the sandbox, without a server.

use std::fs;

use serde_json::{Value, json};

use super::command::Glovebox;
use super::files::temporary;
use super::onnx::Graph;

/// Packs a graph and runs it on these tensors of the protocol: the names of its outputs and their
/// elements.
pub(crate) fn outputs_of(graph: Graph, inputs: &[Value]) -> Vec<(String, Vec<Value>)> {
    let dir = temporary();
    let (onnx, wasm) = (dir.path().join("m.onnx"), dir.path().join("m.wasm"));
    let request = dir.path().join("request.json");
    fs::write(&onnx, graph.model()).unwrap();
    fs::write(&request, json!({ "inputs": inputs }).to_string()).unwrap();
    Glovebox::new("pack")
        .arg(&onnx)
        .option("--output", &wasm)
        .run()
        .success();
    let run = Glovebox::new("run").arg(wasm).option("--tensors", request);
    let answer = run.run().json();
    let outputs = answer["outputs"].as_array().unwrap().iter();
    let output = |output: &Value| {
        let name = output["name"].as_str().unwrap().to_owned();
        (name, output["data"].as_array().unwrap().clone())
    };
    outputs.map(output).collect()
}
