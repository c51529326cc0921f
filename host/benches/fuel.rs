//! What counting instructions costs. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench fuel
//! ```
//!
//! The same models with and without a budget, asked in turns; CPU time of whole invocations.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::fs;
use std::path::Path;

use glovebox::limits::Limits;
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};
use glovebox::sandbox::call::Call;
use glovebox_protocol::Tensor;

use common::{invoke, onnx};

const ROUNDS: usize = 60;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    let dense = dir.path().join("dense.onnx");
    fs::write(&dense, onnx::dense_layers(1, 4, 1024)).unwrap();
    let convolutions = dir.path().join("convolutions.onnx");
    fs::write(&convolutions, onnx::convolutions(4, 32)).unwrap();
    println!("CPU time of an invocation, medians of {ROUNDS} taken in turns");
    for onnx in [&common::wine(), &dense, &convolutions] {
        let file = common::pack(&deployer, dir.path(), onnx).await;
        let without = deploy(&deployer, &file, None).await;
        let with = deploy(&deployer, &file, Some(u64::MAX)).await;
        compare(&without, &with).await;
    }
}

async fn deploy(deployer: &Deployer, file: &Path, fuel: Option<u64>) -> Model {
    let package = Package::open(file).unwrap();
    let limits = Limits {
        fuel,
        ..Limits::for_image(package.image.0)
    };
    let name = file.file_stem().unwrap().to_str().unwrap();
    common::deploy(deployer, name, &package, limits).await
}

async fn compare(without: &Model, with: &Model) {
    let mut times = [Vec::new(), Vec::new()];
    let mut fuel = 0;
    for _ in 0..ROUNDS {
        for (model, times) in [without, with].into_iter().zip(&mut times) {
            let finished = invoke(model, ones(model)).await;
            finished.outcome.unwrap();
            times.push(finished.usage.cpu);
            fuel = finished.usage.fuel;
        }
    }
    let [without_ms, with_ms] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    println!(
        "  {:<14} {without_ms:>7.2} ms   with fuel {with_ms:>7.2} ms   ratio {:.2}   {fuel} instructions",
        without.name,
        with_ms / without_ms
    );
}

/// A request of ones; what is the caller's choice is 1.
fn ones(model: &Model) -> Call {
    let spec = &model.signature.inputs[0];
    let shape: Vec<u64> = spec
        .shape
        .iter()
        .map(|size| u64::try_from(*size).unwrap_or(1))
        .collect();
    let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
    let tensor = Tensor {
        name: spec.name.clone(),
        datatype: spec.datatype,
        shape,
        data: 1f32.to_le_bytes().repeat(count),
    };
    Call::Infer(vec![tensor], Vec::new())
}
