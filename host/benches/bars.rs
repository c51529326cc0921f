//! The bars that packing and serving are held to. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench bars
//! ```
//!
//! - *instance*: time to make a fresh instance, small model against large.
//! - *deploy*: from the file of a packed model to a model that has answered.
//! - *http*: closed-loop clients against a model and against the same server without one, taken
//!   in turns so that noise hits both.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::fs;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use glovebox::limits::Limits;
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};
use glovebox::sandbox::call::Call;

use common::{exchange, invoke, onnx, pack};

const INSTANCES: usize = 2_000;
const HTTP_ROUNDS: usize = 10;
const HTTP_ROUND: Duration = Duration::from_millis(500);
const HTTP_CLIENTS: usize = 4;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    let start = Instant::now();
    deployer.compiler.embedded().unwrap();
    println!(
        "code of the runtime, compiled once per machine: {:.1} s\n",
        start.elapsed().as_secs_f32()
    );

    println!("deploy (file -> model that has answered)");
    let wine = pack(&deployer, dir.path(), &common::wine()).await;
    let small = deploy(&deployer, "wine (trees)", &wine).await;
    let mut large = None;
    for seed in [1, 2] {
        let onnx = dir.path().join(format!("large-{seed}.onnx"));
        fs::write(&onnx, onnx::dense_layers(seed, 5, 2240)).unwrap();
        let packed = pack(&deployer, dir.path(), &onnx).await;
        large = Some(deploy(&deployer, &format!("large {seed}"), &packed).await);
    }

    println!("\nfresh instance, {INSTANCES} times");
    instances("wine (trees)", &small).await;
    instances("large 2", &large.unwrap()).await;

    let onnx = dir.path().join("tiny.onnx");
    fs::write(&onnx, onnx::dense_layers(3, 1, 16)).unwrap();
    let packed = pack(&deployer, dir.path(), &onnx).await;
    let tiny = deploy(&deployer, "tiny (16x16)", &packed).await;

    println!(
        "\nhttp, {HTTP_CLIENTS} closed-loop clients, median of {HTTP_ROUNDS} rounds taken in turns"
    );
    http(&deployer, small, tiny).await;
}

async fn deploy(deployer: &Deployer, name: &str, file: &Path) -> Model {
    let start = Instant::now();
    let package = Package::open(file).unwrap();
    let opened = start.elapsed();
    let limits = Limits::for_image(package.image.0);
    let word = name.split(' ').next().unwrap();
    let model = common::deploy(deployer, word, &package, limits).await;
    let image = package.image.to_string();
    println!(
        "  {name:<14} image {image:>9}   {:>6.1} ms (reading {:.1} ms)",
        ms(start.elapsed()),
        ms(opened)
    );
    model
}

async fn instances(name: &str, model: &Model) {
    let mut times = Vec::new();
    for _ in 0..INSTANCES {
        let finished = invoke(model, Call::Signature).await;
        finished.outcome.unwrap();
        times.push(finished.usage.instantiate);
    }
    times.sort();
    let us = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    println!(
        "  {name:<14} p50 {:>5.1} us   p99 {:>6.1} us",
        us(50),
        us(99)
    );
}

async fn http(deployer: &Deployer, wine: Model, tiny: Model) {
    let server = common::server(deployer, [wine, tiny], []);
    let address = server.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(server.serve(async move {
        let _ = stopped.await;
    }));
    tokio::task::spawn_blocking(move || compare(address))
        .await
        .unwrap();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

fn compare(address: SocketAddr) {
    let requests = [
        infer("tiny", "x0", &[1.0; 16]),
        infer("wine", "features", &[1.0; 13]),
        "GET /v2/models/wine HTTP/1.1\r\nhost: bench\r\n\r\n".to_owned(),
    ];
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..HTTP_ROUNDS {
        for (request, rates) in requests.iter().zip(&mut rates) {
            rates.push(load(address, request));
        }
    }
    let [tiny, wine, without] = rates.map(median);
    let line = |what: &str, rate: f64| {
        println!(
            "  {what:<28} {rate:>7.0} requests/s   ratio {:.2}",
            rate / without
        );
    };
    line("POST /v2/models/tiny/infer", tiny);
    line("POST /v2/models/wine/infer", wine);
    line("GET  /v2/models/wine", without);
}

fn infer(model: &str, input: &str, data: &[f32]) -> String {
    let body = format!(
        r#"{{"inputs":[{{"name":"{input}","shape":[1,{}],"datatype":"FP32","data":{data:?}}}]}}"#,
        data.len()
    );
    let length = body.len();
    format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Requests a second over one round.
fn load(address: SocketAddr, request: &str) -> f64 {
    let start = Instant::now();
    let client = || {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        stream.get_ref().set_nodelay(true).unwrap();
        let mut count = 0;
        while start.elapsed() < HTTP_ROUND {
            exchange(&mut stream, request);
            count += 1;
        }
        count
    };
    let total: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..HTTP_CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    total as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
