//! What a neighbour notices of hostile guests. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench neighbour
//! ```
//!
//! - *cpu limit*: how far beyond its limit a loop is stopped, in CPU time. The bar is 3 ms.
//! - *neighbour*: latency of a guest that computes for about 2 ms, alone and beside endless loops
//!   of one other tenant. The bar is a p99 of at most twice that alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use glovebox::limits::{Bytes, Limits};
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};
use glovebox::sandbox::call::Call;
use glovebox::sandbox::compute::Tenant;

use common::{bodies, exchange, guest, invoke};

const LOOPS_OF_A_LIMIT: usize = 100;
const REQUESTS: usize = 1000;
/// Some 2 ms of CPU time.
const ROUNDS: u64 = 1_500_000;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());

    println!("cpu limit: beyond it, {LOOPS_OF_A_LIMIT} loops each");
    for millis in [10, 50, 200] {
        let limit = Duration::from_millis(millis);
        let model = deploy(&deployer, "loop", "own", bodies::SPIN, limit).await;
        overshoot(&model, limit).await;
    }

    let loops = Duration::from_secs(3600);
    let mut models = vec![deploy(&deployer, "good", "good", &bodies::burn(ROUNDS), loops).await];
    for index in 0..4 {
        let name = format!("bad-{index}");
        models.push(deploy(&deployer, &name, "bad", bodies::SPIN, loops).await);
    }
    let server = common::server(&deployer, models, ["good", "bad"]);
    let address = server.address().unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    println!("\nneighbour: {REQUESTS} requests, one after the other");
    tokio::task::spawn_blocking(move || compare(address))
        .await
        .unwrap();
}

async fn deploy(
    deployer: &Deployer,
    name: &str,
    tenant: &str,
    infer: &str,
    cpu: Duration,
) -> Model {
    let package = Package::parse(guest::component(infer)).unwrap();
    let limits = Limits {
        cpu,
        timeout: Duration::from_secs(3600),
        memory: Bytes(64 << 20),
        ..Limits::for_image(0)
    };
    let tenant = Tenant {
        name: tenant.into(),
        weight: 1,
    };
    deployer
        .deploy(name, &package, Default::default(), tenant, limits)
        .await
        .unwrap()
}

async fn overshoot(model: &Model, limit: Duration) {
    let mut over = Vec::new();
    for _ in 0..LOOPS_OF_A_LIMIT {
        let finished = invoke(model, Call::Infer(Vec::new(), Vec::new())).await;
        over.push(finished.usage.cpu.checked_sub(limit).unwrap());
    }
    print_times(&format!("limit {limit:?}"), &mut over);
}

fn compare(address: SocketAddr) {
    let mut alone = latencies(address);
    let p99 = print_times("alone", &mut alone);
    for hostile in [1, 4] {
        // They loop until their connections are dropped.
        let loops: Vec<_> = (0..hostile * 4)
            .map(|index| start(address, &format!("bad-{}", index % hostile)))
            .collect();
        let mut together = latencies(address);
        let what = format!("{hostile} hostile, {} loops", loops.len());
        let with = print_times(&what, &mut together);
        let ratio = with.as_secs_f64() / p99.as_secs_f64();
        println!("  {:<22} p99 ratio {ratio:.2}", "");
    }
}

fn start(address: SocketAddr, model: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request(model).as_bytes()).unwrap();
    stream
}

fn latencies(address: SocketAddr) -> Vec<Duration> {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    stream.get_ref().set_nodelay(true).unwrap();
    let request = request("good");
    let once = |_| {
        let start = Instant::now();
        exchange(&mut stream, &request);
        start.elapsed()
    };
    (0..REQUESTS).map(once).collect()
}

fn request(model: &str) -> String {
    let body = "{\"inputs\":[]}";
    let length = body.len();
    format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Prints how times are distributed; the p99.
fn print_times(what: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    let part = |part: usize| times[times.len() * part / 1000];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "  {what:<22} p50 {:>7.3} ms   p99 {:>7.3} ms   most {:>7.3} ms",
        ms(part(500)),
        ms(part(990)),
        ms(times[times.len() - 1])
    );
    part(990)
}
