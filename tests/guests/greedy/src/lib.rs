//! What no component of `wasi:nn` should do, made to be tested with.
//!
//! The path names what to do, [`answer`] is the list: `/greedy/<verb>/<graph>/<rows>`. A graph takes
//! one tensor `x` of FP32, of 1024 columns, which here are all `0.5`. The answer is `done`, or the name
//! of the error that the host gave.
#![allow(unsafe_code, reason = "`http_component` makes it")]
#![allow(clippy::expect_used, reason = "a guest that panics has trapped")]

use std::mem::forget;

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
use bindings::wasi::nn::graph::{
    ExecutionTarget, Graph, GraphEncoding, load as load_bytes, load_by_name,
};
use bindings::wasi::nn::tensor::{Tensor, TensorType};

const COLUMNS: usize = 1024;

#[http_component]
fn handle(request: Request) -> Response {
    let segments: Vec<&str> = request.path().split('/').skip(2).collect();
    let part = |index: usize| segments.get(index).copied().unwrap_or_default();
    let rows = part(2).parse().unwrap_or(1);
    match answer(part(0), part(1), rows) {
        Ok(()) => Response::new(200, "done"),
        Err(error) => Response::new(200, format!("{:?}", error.code())),
    }
}

/// Does what is asked for.
fn answer(verb: &str, graph: &str, rows: usize) -> Result<(), Error> {
    match verb {
        "compute" => compute(&load_by_name(graph)?, ones(rows)),
        "again" => again(&load_by_name(graph)?, rows),
        "half" => half(&load_by_name(graph)?, rows),
        "whole" => compute(&load_by_name(graph)?, whole(rows)),
        "row" => compute(&load_by_name(graph)?, row(rows)),
        "square" => compute(&load_by_name(graph)?, square(rows)),
        "unnamed" => run(&load_by_name(graph)?, vec![("y".into(), ones(rows))]),
        "twice" => twice(&load_by_name(graph)?, rows),
        "nothing" => run(&load_by_name(graph)?, Vec::new()),
        "enormous" => compute(&load_by_name(graph)?, enormous()),

        "openvino" => load(GraphEncoding::Openvino, ExecutionTarget::Cpu),
        "gpu" => load(GraphEncoding::Onnx, ExecutionTarget::Gpu),
        "bytes" => load(GraphEncoding::Autodetect, ExecutionTarget::Cpu),

        "tensors" => tensors(rows),
        "handles" => tensors(0),
        "graphs" => endlessly(|| load_by_name(graph).map(forget)),
        "contexts" => contexts(&load_by_name(graph)?),
        "errors" => errors(),
        "copies" => copies(rows),
        _ => Ok(()),
    }
}

/// A tensor of so many rows.
fn ones(rows: usize) -> Tensor {
    let data = 0.5_f32.to_le_bytes().repeat(rows * COLUMNS);
    Tensor::new(&[rows as u32, COLUMNS as u32], TensorType::Fp32, &data)
}

fn compute(graph: &Graph, input: Tensor) -> Result<(), Error> {
    run(graph, vec![("x".into(), input)])
}

fn run(graph: &Graph, inputs: Vec<(String, Tensor)>) -> Result<(), Error> {
    let context = graph.init_execution_context()?;
    context.compute(inputs).map(drop)
}

fn again(graph: &Graph, rows: usize) -> Result<(), Error> {
    endlessly(|| compute(graph, ones(rows)))
}

/// A tensor with half of its numbers.
fn half(graph: &Graph, rows: usize) -> Result<(), Error> {
    let data = vec![0; rows * COLUMNS * 2];
    let tensor = Tensor::new(&[rows as u32, COLUMNS as u32], TensorType::Fp32, &data);
    compute(graph, tensor)
}

/// Whole numbers.
fn whole(rows: usize) -> Tensor {
    let data = vec![0; rows * COLUMNS * 4];
    Tensor::new(&[rows as u32, COLUMNS as u32], TensorType::I32, &data)
}

/// One row of so many columns.
fn row(columns: usize) -> Tensor {
    let data = vec![0; columns * 4];
    Tensor::new(&[1, columns as u32], TensorType::Fp32, &data)
}

/// As many columns as rows.
fn square(rows: usize) -> Tensor {
    let data = vec![0; rows * rows * 4];
    Tensor::new(&[rows as u32, rows as u32], TensorType::Fp32, &data)
}

/// More elements than there are numbers for.
fn enormous() -> Tensor {
    Tensor::new(&[u32::MAX; 8], TensorType::Fp64, &[])
}

fn twice(graph: &Graph, rows: usize) -> Result<(), Error> {
    let inputs = vec![("x".into(), ones(rows)), ("x".into(), ones(rows))];
    run(graph, inputs)
}

fn load(encoding: GraphEncoding, target: ExecutionTarget) -> Result<(), Error> {
    load_bytes(&[vec![0; 1 << 20]], encoding, target).map(forget)
}

/// Tensors without end, of which each takes no memory here.
fn tensors(rows: usize) -> Result<(), Error> {
    endlessly(|| {
        forget(ones(rows));
        Ok(())
    })
}

fn errors() -> Result<(), Error> {
    endlessly(|| {
        forget(load_by_name("none"));
        Ok(())
    })
}

fn contexts(graph: &Graph) -> Result<(), Error> {
    endlessly(|| graph.init_execution_context().map(forget))
}

/// Takes the data of one tensor again and again, and keeps all.
fn copies(rows: usize) -> Result<(), Error> {
    let tensor = ones(rows);
    endlessly(|| {
        forget(tensor.data());
        Ok(())
    })
}

fn endlessly(step: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    loop {
        step()?;
    }
}
