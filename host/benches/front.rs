//! What the HTTP front costs, and what it saves that the model is loaded already. Run by hand, on a
//! quiet machine:
//!
//! ```text
//! cargo bench --bench front
//! ```
//!
//! CPU time of a request of zeros to the same model: called by the host itself, and behind the front
//! that `pack --http` puts before it. Beside it what a guest that is not packed does in every
//! request: parse the ONNX file and optimise the graph, in the same sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::fs;
use std::time::Duration;

use glovebox::limits::Limits;
use glovebox::model::Deployer;
use glovebox::model::compose::with_front;
use glovebox::model::package::Package;
use glovebox::pack::edge::zeros;
use glovebox::pack::job::Load;
use glovebox::sandbox::call::Call;
use glovebox::sandbox::compute::Tenant;
use glovebox::sandbox::wasi::World;
use glovebox_protocol::InferRequest;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::runtime::Handle;

use common::{invoke, onnx};

const ROUNDS: usize = 40;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    deployer.sandbox.restart(&Handle::current()).unwrap();
    let models = [
        ("dense-1", onnx::dense_layers(1, 1, 512)),
        ("dense-17", onnx::dense_layers(1, 4, 1024)),
        ("convolutions", onnx::convolutions(4, 64)),
    ];
    println!("CPU time of a request, medians of {ROUNDS} taken in turns");
    for (name, model) in models {
        let file = dir.path().join(format!("{name}.onnx"));
        fs::write(&file, &model).unwrap();
        let packed = fs::read(common::pack(&deployer, dir.path(), &file).await).unwrap();
        measure(&deployer, name, &model, packed).await;
    }
}

async fn measure(deployer: &Deployer, name: &str, model: &[u8], packed: Vec<u8>) {
    let tenant = Tenant {
        name: "bench".into(),
        weight: 1,
    };
    let limits = || Limits::generous(Duration::from_secs(60));
    let behind = Package::parse(with_front(packed.clone()).unwrap()).unwrap();
    let alone = Package::parse(packed).unwrap();
    let alone = common::deploy(deployer, name, &alone, limits()).await;
    let world = World::default();
    let behind = deployer.deploy_http(name, &behind, world, tenant, limits());
    let behind = behind.unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let post = zeros(name, &alone.signature).unwrap();
        let request = InferRequest::from_json(&post.body).unwrap();
        let call = Call::Infer(request.inputs, Vec::new());
        let finished = invoke(&alone, call).await;
        finished.outcome.unwrap();
        times[0].push(finished.usage.cpu);
        let finished = behind.handler.post(post).await;
        assert_eq!(finished.outcome.unwrap().0, 200);
        times[1].push(finished.usage.cpu);
    }
    let [alone, behind] = times.map(median_ms);
    println!(
        "  {name:<13} model {alone:>7.2} ms   behind the front {behind:>7.2} ms   loading it {:>8.2} ms",
        load_ms(deployer, model)
    );
}

/// Of one load: a packer loads every model twice.
fn load_ms(deployer: &Deployer, model: &[u8]) -> f64 {
    let order = json!({
        "memory_bytes": 1u64 << 30, "cpu": { "secs": 60, "nanos": 0 },
        "pipeline": { "name": "bench" },
    });
    let order = order.to_string().into_bytes();
    let length = (order.len() as u64).to_le_bytes();
    let input = [length.as_slice(), &order, model].concat();
    let load = Load::new(&deployer.sandbox, &deployer.compiler, &input).unwrap();
    let times = (0..5).map(|_| {
        let start = cpu();
        assert!(load.run().is_ok());
        (cpu() - start) / 2
    });
    median_ms(times.collect())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1e3
}

/// The CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}
