//! What it gives to put requests together. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench batching
//! ```
//!
//! A model of three layers of 768 by 768, once with `batch = { max = 8 }` and once without, asked by
//! closed-loop clients for one row at a time, in turns, all of which may be in the sandbox at once.
//! Medians of the rounds.
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
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use glovebox::limits::{Batch, Bytes, Limits};
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};

use common::onnx::{self, Graph, Node, OPEN};

const WIDTH: usize = 768;
const LAYERS: usize = 3;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const CLIENTS: [usize; 3] = [1, 4, 16];
const MEMORY: Bytes = Bytes(64 << 20);
const NAMES: [&str; 2] = ["plain", "batched"];

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    let onnx = onnx_file(dir.path());
    let file = common::pack(&deployer, dir.path(), &onnx).await;
    let batch = Batch {
        max: 8,
        delay: Duration::from_millis(2),
    };
    let plain = deploy(&deployer, NAMES[0], &file, None).await;
    let batched = deploy(&deployer, NAMES[1], &file, Some(batch)).await;
    let server = common::server(&deployer, [plain, batched], []);
    let address = server.address().unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    tokio::task::spawn_blocking(move || compare(address))
        .await
        .unwrap();
}

/// A model with rows that are open.
fn onnx_file(dir: &Path) -> PathBuf {
    let shape = [OPEN, WIDTH as i64];
    let mut graph = Graph::new()
        .input("x0", &shape)
        .output(&format!("x{LAYERS}"), &shape);
    for layer in 0..LAYERS {
        let (weights, x, y) = (
            format!("w{layer}"),
            format!("x{layer}"),
            format!("x{}", layer + 1),
        );
        let noise = onnx::noise(WIDTH * WIDTH, layer as u32);
        graph = graph
            .weights(&weights, &[WIDTH as u64; 2], &noise)
            .node(Node::new("MatMul", &weights, &[&x, &weights], &[&y]));
    }
    let file = dir.join("layers.onnx");
    fs::write(&file, graph.model()).unwrap();
    file
}

async fn deploy(deployer: &Deployer, name: &str, file: &Path, batch: Option<Batch>) -> Model {
    let package = Package::open(file).unwrap();
    let limits = Limits {
        batch,
        memory: MEMORY,
        concurrency: CLIENTS[2],
        ..Limits::for_image(package.image.0)
    };
    common::deploy(deployer, name, &package, limits).await
}

fn compare(address: SocketAddr) {
    println!("clients  plain requests/s  batched requests/s  batched to plain");
    for clients in CLIENTS {
        let mut rates = [const { Vec::new() }; NAMES.len()];
        for _ in 0..ROUNDS {
            for (name, rates) in NAMES.iter().zip(&mut rates) {
                rates.push(load(address, &request(name), clients));
            }
        }
        let [plain, batched] = rates.map(median);
        println!(
            "{clients:>7}  {plain:>16.0}  {batched:>18.0}  {:>16.2}",
            batched / plain
        );
    }
}

fn request(model: &str) -> String {
    let data = vec!["0.5"; WIDTH].join(",");
    let body = format!(
        r#"{{"inputs":[{{"name":"x0","datatype":"FP32","shape":[1,{WIDTH}],"data":[{data}]}}]}}"#
    );
    format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Requests a second over one round.
fn load(address: SocketAddr, request: &str, clients: usize) -> f64 {
    let start = Instant::now();
    let client = || {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        stream.get_ref().set_nodelay(true).unwrap();
        let mut count = 0;
        while start.elapsed() < ROUND {
            common::exchange(&mut stream, request);
            count += 1;
        }
        count
    };
    let total: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
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
