//! What a request costs beside the inference itself. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench request
//! ```
//!
//! - *sandbox*: the phases of a call, and its page faults. The row `signature` of a model is a call
//!   that computes nothing: all that is in it is cost.
//! - *codec*: JSON to tensors and back.
//! - *http*: closed-loop clients; the same bodies inferred, refused after they were read and checked,
//!   and a server's answer without a body. CPU time and page faults are those of server and clients,
//!   which are one process.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::fs;
use std::hint::black_box;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use glovebox::limits::Limits;
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};
use glovebox::pack::edge::zeros;
use glovebox::sandbox::call::Call;
use glovebox::sandbox::invoke::Usage;
use glovebox_protocol::{InferRequest, InferResponse};
use tokio::sync::oneshot;

use common::{invoke, onnx};

/// For each row of a table.
const TIME: Duration = Duration::from_millis(1500);
const HTTP_ROUNDS: usize = 10;
const HTTP_ROUND: Duration = Duration::from_millis(500);
const HTTP_CLIENTS: usize = 4;
/// In which Linux counts CPU time in `/proc`, on every machine.
const CLOCK_TICK_US: f64 = 10_000.0;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    println!("sandbox, medians in us");
    println!("                             queue  instance      call    reset     total   faults");
    let mut models = Vec::new();
    for (name, onnx) in onnx_files(dir.path()) {
        let packed = common::pack(&deployer, dir.path(), &onnx).await;
        let model = deploy(&deployer, name, &packed).await;
        phases(&model, "signature", || Call::Signature).await;
        let inputs = InferRequest::from_json(&body(&model)).unwrap().inputs;
        phases(&model, "infer", || Call::Infer(inputs.clone(), Vec::new())).await;
        models.push(model);
    }
    println!("\ncodec, medians in us");
    for model in &models {
        codec(model);
    }
    println!(
        "\nhttp, {HTTP_CLIENTS} closed-loop clients, medians of {HTTP_ROUNDS} rounds taken in turns"
    );
    models.truncate(2);
    http(&deployer, models).await;
}

/// From one layer of 16 by 16 to 100 MB; the first two are served over HTTP.
fn onnx_files(dir: &Path) -> [(&'static str, PathBuf); 5] {
    let write = |name: &str, model: Vec<u8>| {
        let file = dir.join(format!("{name}.onnx"));
        fs::write(&file, model).unwrap();
        file
    };
    let wine = common::wine();
    let digits = wine.with_file_name("../digits/digits.onnx");
    [
        ("tiny", write("tiny", onnx::dense_layers(3, 1, 16))),
        ("wine", wine),
        ("digits", digits),
        (
            "convolutions",
            write("convolutions", onnx::convolutions(8, 128)),
        ),
        ("large", write("large", onnx::dense_layers(1, 5, 2240))),
    ]
}

async fn deploy(deployer: &Deployer, name: &str, file: &Path) -> Model {
    let package = Package::open(file).unwrap();
    let limits = Limits::for_image(package.image.0);
    common::deploy(deployer, name, &package, limits).await
}

/// A request of zeros.
fn body(model: &Model) -> Vec<u8> {
    zeros(&model.name, &model.signature).unwrap().body
}

async fn phases(model: &Model, what: &str, call: impl Fn() -> Call) {
    let mut usages = Vec::new();
    let mut totals = Vec::new();
    let (begin, faults) = (Instant::now(), page_faults());
    while begin.elapsed() < TIME {
        let (call, start) = (call(), Instant::now());
        let finished = invoke(model, call).await;
        totals.push(us(start.elapsed()));
        finished.outcome.unwrap();
        usages.push(finished.usage);
    }
    let faults = (page_faults() - faults) as f64 / totals.len() as f64;
    let of = |phase: fn(&Usage) -> Duration| median(usages.iter().map(phase).map(us).collect());
    println!(
        "  {:<12} {what:<10} {:>8.1} {:>9.1} {:>9.1} {:>8.1} {:>9.1} {faults:>8.1}",
        model.name,
        of(|usage| usage.queue),
        of(|usage| usage.instantiate),
        of(|usage| usage.guest),
        // CPU time of all else: the store, and giving back its memory.
        of(|usage| usage.cpu.saturating_sub(usage.instantiate + usage.guest)),
        median(totals),
    );
}

/// Pages that this process had to ask the system for.
fn page_faults() -> u64 {
    own_statistics(7)
}

/// A number of `/proc/self/stat`, counted from behind the name; see `proc_pid_stat(5)`.
fn own_statistics(index: usize) -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    let mut fields = behind_name.split_whitespace();
    fields.nth(index).unwrap().parse().unwrap()
}

fn codec(model: &Model) {
    let body = body(model);
    let outputs = InferRequest::from_json(&body).unwrap().inputs;
    let response = InferResponse {
        model_name: model.name.clone(),
        outputs,
        ..InferResponse::default()
    };
    let read = repeat(|| drop(black_box(InferRequest::from_json(&body).unwrap())));
    let written = repeat(|| drop(black_box(response.to_json().unwrap())));
    println!(
        "  {:<12} {:>9} bytes   read {read:>8.1}   the same written {written:>8.1}",
        model.name,
        body.len()
    );
}

fn repeat(work: impl Fn()) -> f64 {
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < TIME / 4 {
        let start = Instant::now();
        work();
        times.push(us(start.elapsed()));
    }
    median(times)
}

async fn http(deployer: &Deployer, models: Vec<Model>) {
    let post = |path: &str, body: Vec<u8>| {
        let (length, body) = (body.len(), String::from_utf8(body).unwrap());
        format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let (tiny, wine) = (body(&models[0]), body(&models[1]));
    let requests = [
        (post("/v2/models/tiny/infer", tiny.clone()), 200),
        (post("/v2/models/wine/infer", wine), 200),
        // Another model's tensor: read, checked and refused.
        (post("/v2/models/wine/infer", tiny), 400),
        (
            "GET /v2/models/wine HTTP/1.1\r\nhost: bench\r\n\r\n".to_owned(),
            200,
        ),
    ];
    let server = common::server(deployer, models, []);
    let address = server.address().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.serve(async move {
        let _ = stopped.await;
    }));
    let compared = tokio::task::spawn_blocking(move || compare(address, &requests));
    compared.await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

fn compare(address: SocketAddr, requests: &[(String, u16); 4]) {
    let mut rates = [const { Vec::new() }; 4];
    let mut costs = [Cost::default(); 4];
    for _ in 0..HTTP_ROUNDS {
        for (index, (request, status)) in requests.iter().enumerate() {
            let (before, start) = (Cost::so_far(), Instant::now());
            let count = load(address, request, *status);
            rates[index].push(count as f64 / start.elapsed().as_secs_f64());
            costs[index].add(&before, count);
        }
    }
    let rates = rates.map(median);
    let names = ["tiny inferred", "wine inferred", "refused", "GET"];
    println!("                  requests/s   to GET   to refused    user us  kernel us   faults");
    for ((name, rate), cost) in names.iter().zip(rates).zip(costs) {
        let each = |total: u64| total as f64 / cost.requests as f64;
        println!(
            "  {name:<14} {rate:>11.0} {:>8.2} {:>12.2} {:>10.1} {:>10.1} {:>8.1}",
            rate / rates[3],
            rate / rates[2],
            each(cost.user) * CLOCK_TICK_US,
            each(cost.kernel) * CLOCK_TICK_US,
            each(cost.faults),
        );
    }
}

/// What requests have cost this process: clock ticks in its own code and in the kernel, page faults.
#[derive(Clone, Copy, Default)]
struct Cost {
    requests: u64,
    user: u64,
    kernel: u64,
    faults: u64,
}

impl Cost {
    fn so_far() -> Self {
        Self {
            requests: 0,
            user: own_statistics(11),
            kernel: own_statistics(12),
            faults: page_faults(),
        }
    }

    /// Adds what so many requests have cost since then.
    fn add(&mut self, before: &Self, requests: u64) {
        let now = Self::so_far();
        self.requests += requests;
        self.user += now.user - before.user;
        self.kernel += now.kernel - before.kernel;
        self.faults += now.faults - before.faults;
    }
}

/// The requests of one round.
fn load(address: SocketAddr, request: &str, status: u16) -> u64 {
    let start = Instant::now();
    let client = || {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        stream.get_ref().set_nodelay(true).unwrap();
        let mut count = 0;
        while start.elapsed() < HTTP_ROUND {
            common::exchange_with(&mut stream, request, status);
            count += 1;
        }
        count
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..HTTP_CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
