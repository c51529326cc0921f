//! What becomes of requests when more arrive than can be served. Run by hand, on a quiet machine:
//!
//! ```text
//! cargo bench --bench overload
//! ```
//!
//! A guest burns a few milliseconds a request. *Capacity* is what closed-loop clients get: each
//! sends its next request when the last one is answered. Then requests arrive at a fixed pace, at
//! 1, 2, 5 and 10 times the capacity, whether the last ones are answered or not; nobody heeds
//! `Retry-After`. Goodput, the requests answered with 200, must stay at the capacity.
//!
//! The machine may be busy with other things, so the capacity is measured anew between the rounds,
//! and compared with the mean of the two beside a round: *of capacity*. What does not depend on others
//! is CPU time: *by CPU* compares good requests for each second of CPU time that the server took,
//! guests included. On a machine of one's own both say the same.
//!
//! The generator is one thread of the same process, so the server has that much less of the
//! machine: *generator*, in cores.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::cell::RefCell;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use glovebox::limits::Limits;
use glovebox::model::package::Package;
use glovebox::model::{Deployer, Model};
use glovebox::sandbox::call::Call;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use common::{bodies, guest, invoke};

/// CPU time of one request in the guest.
const WORK: Duration = Duration::from_millis(5);
const ROUND: Duration = Duration::from_secs(6);
const CLIENTS: usize = 16;
/// Fewer than the server takes.
const CONNECTIONS: usize = 900;
const REQUEST: &[u8] =
    b"POST /v2/models/burn/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: 13\r\n\r\n{\"inputs\":[]}";

/// What became of the requests of one round.
#[derive(Default)]
struct Tally {
    /// How long the good ones took.
    good: Vec<Duration>,
    quota: usize,
    overload: usize,
    /// Not sent, for want of a connection.
    unsent: usize,
    /// CPU time of the generator, and of the process with it.
    generator: Duration,
    process: Duration,
}

type Shared = Rc<RefCell<Tally>>;
type Idle = Rc<RefCell<Vec<TcpStream>>>;

fn main() {
    let server = Builder::new_multi_thread().enable_all().build().unwrap();
    let address = server.block_on(serve());
    let generator = Builder::new_current_thread().enable_all().build().unwrap();
    let run = |pace: Option<f64>| LocalSet::new().block_on(&generator, round(address, pace));
    run(None);
    let mut before = run(None);
    let first = before.rate();
    println!("capacity {first:.0} requests/s, {CLIENTS} closed-loop clients\n");
    println!(
        "offered/s  good/s  of capacity  by CPU   429/s  503/s  unsent/s  p50 ms  p99 ms  generator"
    );
    for times in [1.0, 2.0, 5.0, 10.0] {
        let tally = run(Some(first * times));
        let after = run(None);
        tally.print(first * times, [&before, &after]);
        before = after;
    }
    println!("\ncapacity afterwards {:.0} requests/s", before.rate());
    server.shutdown_background();
}

async fn serve() -> SocketAddr {
    let dir = tempfile::tempdir().unwrap();
    let deployer = common::deployer(dir.path());
    let trial = deploy(&deployer, dir.path(), 10_000_000).await;
    let rounds = 10_000_000.0 * WORK.as_secs_f64() / cpu(&trial).await.as_secs_f64();
    let model = deploy(&deployer, dir.path(), rounds as u64).await;
    let work = cpu(&model).await;
    println!("{:.1} ms of CPU time a request", work.as_secs_f64() * 1e3);
    let server = common::server(&deployer, [model], []);
    let address = server.address().unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    address
}

async fn deploy(deployer: &Deployer, dir: &Path, rounds: u64) -> Model {
    let file = dir.join("burn.wasm");
    fs::write(&file, guest::component(&bodies::burn(rounds))).unwrap();
    let package = Package::open(&file).unwrap();
    let limits = Limits::for_image(package.image.0);
    common::deploy(deployer, "burn", &package, limits).await
}

/// CPU time of a request, the least of some.
async fn cpu(model: &Model) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..20 {
        let finished = invoke(model, Call::Infer(Vec::new(), Vec::new())).await;
        finished.outcome.unwrap();
        least = least.min(finished.usage.cpu);
    }
    least
}

/// One round: closed-loop clients, or so many requests a second.
async fn round(address: SocketAddr, pace: Option<f64>) -> Tally {
    let tally = Shared::default();
    let clocks = || [ClockId::ThreadCPUTime, ClockId::ProcessCPUTime].map(cpu_time);
    let before = clocks();
    match pace {
        None => closed_loop(address, &tally).await,
        Some(pace) => open_loop(address, pace, &tally).await,
    }
    let after = clocks();
    tally.borrow_mut().generator = after[0] - before[0];
    tally.borrow_mut().process = after[1] - before[1];
    tally.take()
}

async fn closed_loop(address: SocketAddr, tally: &Shared) {
    let end = Instant::now() + ROUND;
    let clients = (0..CLIENTS).map(|_| {
        let tally = Rc::clone(tally);
        tokio::task::spawn_local(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            while Instant::now() < end {
                exchange(&mut stream, &tally).await.unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

async fn open_loop(address: SocketAddr, pace: f64, tally: &Shared) {
    let (start, idle, open) = (Instant::now(), Idle::default(), Rc::new(RefCell::new(0)));
    let (mut sent, mut ticks) = (0, tokio::time::interval(Duration::from_millis(1)));
    while start.elapsed() < ROUND {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * pace) as usize;
        for _ in sent..due {
            if *open.borrow() == CONNECTIONS {
                tally.borrow_mut().unsent += 1;
                continue;
            }
            *open.borrow_mut() += 1;
            let (idle, open, tally) = (Rc::clone(&idle), Rc::clone(&open), Rc::clone(tally));
            tokio::task::spawn_local(async move {
                let stream = idle.borrow_mut().pop();
                let stream = match stream {
                    Some(stream) => Ok(stream),
                    None => TcpStream::connect(address).await,
                };
                let mut stream = stream.unwrap();
                if exchange(&mut stream, &tally).await.is_ok() {
                    idle.borrow_mut().push(stream);
                }
                *open.borrow_mut() -= 1;
            });
        }
        sent = due;
    }
    // What is under way still counts as offered in this round, but not as good.
}

/// One request and its answer; an error if the server closes the connection.
async fn exchange(stream: &mut TcpStream, tally: &Shared) -> io::Result<()> {
    let (start, mut answer, mut length) = (Instant::now(), [0; 1024], 0);
    stream.write_all(REQUEST).await?;
    while !is_whole(&answer[..length]) {
        match stream.read(&mut answer[length..]).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    let mut tally = tally.borrow_mut();
    match &answer[9..12] {
        b"200" => tally.good.push(start.elapsed()),
        b"429" => tally.quota += 1,
        b"503" => tally.overload += 1,
        status => return Err(io::Error::other(String::from_utf8_lossy(status))),
    }
    Ok(())
}

/// Every answer here is JSON, and none has a brace within.
fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"}")
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn a_second(count: usize) -> f64 {
    count as f64 / ROUND.as_secs_f64()
}

impl Tally {
    /// Good requests for each second of the server's CPU time.
    fn by_cpu(&self) -> f64 {
        self.good.len() as f64 / (self.process - self.generator).as_secs_f64()
    }

    fn rate(&self) -> f64 {
        a_second(self.good.len())
    }

    fn print(mut self, offered: f64, beside: [&Self; 2]) {
        self.good.sort();
        let ms = |part: usize| self.good[self.good.len() * part / 100].as_secs_f64() * 1e3;
        let part = |of: fn(&Self) -> f64| of(&self) / f64::midpoint(of(beside[0]), of(beside[1]));
        println!(
            "{offered:>9.0}  {:>6.0}  {:>11.2}  {:>6.2}  {:>6.0} {:>6.0}  {:>8.0}  {:>6.0}  {:>6.0}  {:>9.2}",
            self.rate(),
            part(Self::rate),
            part(Self::by_cpu),
            a_second(self.quota),
            a_second(self.overload),
            a_second(self.unsent),
            ms(50),
            ms(99),
            self.generator.as_secs_f64() / ROUND.as_secs_f64()
        );
    }
}
