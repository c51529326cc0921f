//! Many models on one machine. Run by hand, on a quiet machine with 15 GB of free disk:
//!
//! ```text
//! cargo bench --bench density
//! ```
//!
//! - *deployed*: a thousand packed models with weights of their own, all loaded at the start: how
//!   long that takes, what an idle one costs, and whether it matters which one is asked.
//! - *on demand*: ten thousand names for them, loaded when they are asked for: what a request costs
//!   whose model is there, and one whose model must be loaded first.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark stops at the first surprise and prints its results"
)]

mod common;

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{exchange, onnx, pack};

const MODELS: usize = 1_000;
const NAMES: usize = 10_000;
const REQUESTS: usize = 20_000;
/// What the loaded ones of the ten thousand may have.
const MODEL_MEMORY_MIB: usize = 1024;
/// The size of a model's layer: 16 numbers in, 16 out.
const WIDTH: usize = 16;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let files = pack_all(dir.path());
    let cache = dir.path().join("cache");

    println!("\n{MODELS} models, all loaded at the start");
    let few = Host::start(dir.path(), &cache, &files[..1], &[]);
    let base = few.memory();
    drop(few);
    let cold = Host::start(dir.path(), &cache, &files, &[]);
    println!(
        "  first start          {:>8.1} s",
        cold.started.as_secs_f64()
    );
    drop(cold);
    let host = Host::start(dir.path(), &cache, &files, &[]);
    println!(
        "  start from the cache {:>8.1} s",
        host.started.as_secs_f64()
    );
    host.report("loaded, none asked", base, MODELS - 1);
    let hot = host.latency((0..REQUESTS).map(|_| 0));
    let mut random = Random(1);
    let spread = host.latency((0..REQUESTS).map(|_| random.below(MODELS)));
    line("one of them, always the same", hot);
    line("any of them, at random", spread);
    host.report("loaded, all asked", base, MODELS - 1);
    drop(host);

    println!("\n{NAMES} models on demand, {MODEL_MEMORY_MIB} MiB for those that are loaded");
    let names: Vec<_> = (0..NAMES)
        .map(|name| files[name % MODELS].clone())
        .collect();
    let memory = format!("{MODEL_MEMORY_MIB}MiB");
    let host = Host::start(dir.path(), &cache, &names, &["--model-memory", &memory]);
    println!(
        "  start                {:>8.1} s",
        host.started.as_secs_f64()
    );
    host.report("registered, none asked", base, NAMES - 1);
    on_demand(&host);
    host.report("after all requests", base, NAMES - 1);
}

/// Packs models that differ in their weights.
fn pack_all(dir: &Path) -> Vec<PathBuf> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let deployer = common::deployer(dir);
    let onnx = dir.join("model.onnx");
    let start = Instant::now();
    let file = |index: usize| {
        fs::write(&onnx, onnx::dense_layers(index as u32, 1, WIDTH as u64)).unwrap();
        let packed = runtime.block_on(pack(&deployer, dir, &onnx));
        let name = dir.join(format!("model-{index}.wasm"));
        fs::rename(packed, &name).unwrap();
        name
    };
    let files: Vec<_> = (0..MODELS).map(file).collect();
    let (ms, bytes) = (
        start.elapsed().as_secs_f64() * 1e3 / MODELS as f64,
        fs::metadata(&files[0]).unwrap().len(),
    );
    println!(
        "packed {MODELS} models, {ms:.0} ms and {:.1} MiB each",
        mib(bytes)
    );
    files
}

/// A host that serves these files under the names m0, m1, ...
struct Host {
    process: Child,
    address: String,
    log: PathBuf,
    started: Duration,
}

/// What a process has of the machine's memory, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// Its own share of all that it has mapped.
    pss: u64,
    /// Of that, what no file backs: nothing but the process's end gives it back.
    anonymous: u64,
    /// Files in memory: mapped or not.
    in_memory: u64,
}

impl Host {
    fn start(dir: &Path, cache: &Path, files: &[PathBuf], options: &[&str]) -> Self {
        let manifest = dir.join("spin.toml");
        fs::write(&manifest, self::manifest(files)).unwrap();
        let log = dir.join("log");
        let start = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_glovebox"))
            .args(["up", "--listen", "127.0.0.1:0", "--from"])
            .arg(&manifest)
            .arg("--cache-dir")
            .arg(cache)
            .args(options)
            .stdout(Stdio::piped())
            .env("RUST_LOG", "error,glovebox::model::on_demand=debug")
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let started = start.elapsed();
        let address = line
            .trim()
            .strip_prefix("serving http://")
            .unwrap()
            .to_owned();
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self {
            process,
            address,
            log,
            started,
        }
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.process.id()).into()
    }

    fn memory(&self) -> Memory {
        let rollup = fs::read_to_string(self.proc("smaps_rollup")).unwrap();
        let value = |key: &str| {
            let line = rollup.lines().find(|line| line.starts_with(key)).unwrap();
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kib << 10
        };
        Memory {
            pss: value("Pss:"),
            anonymous: value("Pss_Anon:"),
            in_memory: self.files_in_memory(),
        }
    }

    /// The sizes of all files that are in no folder.
    fn files_in_memory(&self) -> u64 {
        let descriptors = fs::read_dir(self.proc("fd")).unwrap().flatten();
        let is_in_memory = |path: &PathBuf| {
            fs::read_link(path).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:"))
        };
        let paths = descriptors.map(|entry| entry.path()).filter(is_in_memory);
        paths
            .map(|path| fs::metadata(path).map_or(0, |about| about.len()))
            .sum()
    }

    /// What each model costs more than a host with one.
    fn report(&self, when: &str, base: Memory, models: usize) {
        let memory = self.memory();
        let each = |now: u64, then: u64| now.saturating_sub(then) as f64 / models as f64 / 1024.0;
        let descriptors = fs::read_dir(self.proc("fd")).unwrap().count();
        let mappings = fs::read_to_string(self.proc("maps"))
            .unwrap()
            .lines()
            .count();
        println!(
            "  {when:<24} {:>7.1} MiB, of that {:.1} MiB anonymous, and {:.1} MiB of files in memory;\n  \
             {:24} a model: {:.1} KiB, of that {:.1} KiB anonymous; {descriptors} descriptors, {mappings} mappings",
            mib(memory.pss),
            mib(memory.anonymous),
            mib(memory.in_memory),
            "",
            each(memory.pss, base.pss),
            each(memory.anonymous, base.anonymous),
        );
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        BufReader::new(stream)
    }

    /// The times of requests to these models, one after the other.
    fn latency(&self, models: impl Iterator<Item = usize>) -> Vec<Duration> {
        let mut stream = self.connect();
        models
            .map(|model| {
                let request = infer(model);
                let start = Instant::now();
                exchange(&mut stream, &request);
                start.elapsed()
            })
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Requests whose models are drawn by the law of Zipf: the second is asked half as often as the
/// first, and so on.
fn on_demand(host: &Host) {
    let weights: Vec<f64> = (0..NAMES)
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / (rank + 1) as f64;
            Some(*sum)
        })
        .collect();
    let mut random = Random(2);
    let draw = |_| {
        let point = random.part() * weights[NAMES - 1];
        weights.partition_point(|sum| *sum < point).min(NAMES - 1)
    };
    let drawn: Vec<usize> = (0..REQUESTS).map(draw).collect();
    let times = host.latency(drawn.iter().copied());
    let log = fs::read_to_string(&host.log).unwrap();
    let mut loaded = Loaded::new(&log);
    let (mut hits, mut misses) = (Vec::new(), Vec::new());
    for (model, time) in drawn.iter().zip(times) {
        match loaded.ask(&format!("m{model}")) {
            true => hits.push(time),
            false => misses.push(time),
        }
    }
    println!(
        "  {} of {NAMES} models are loaded at the end",
        loaded.models.len()
    );
    line("model is loaded", hits);
    line("model must be loaded first", misses);
}

/// Which models the host has loaded, by its log. One client asks, so they change only when a
/// request must wait for its model.
struct Loaded<'a> {
    log: std::str::Lines<'a>,
    models: HashSet<String>,
}

impl<'a> Loaded<'a> {
    fn new(log: &'a str) -> Self {
        Self {
            log: log.lines(),
            models: HashSet::new(),
        }
    }

    /// Whether it was loaded; it is afterwards.
    fn ask(&mut self, model: &str) -> bool {
        let was_loaded = self.models.contains(model);
        while !self.models.contains(model) {
            let line: serde_json::Value = serde_json::from_str(self.log.next().unwrap()).unwrap();
            let text = |key: &str| line["fields"][key].as_str().unwrap().to_owned();
            match text("message").as_str() {
                "loaded a model" => self.models.insert(text("model")),
                "unloaded a model" => self.models.remove(&text("model")),
                other => panic!("{other}"),
            };
        }
        was_loaded
    }
}

fn manifest(files: &[PathBuf]) -> String {
    let mut text = String::from(
        "spin_manifest_version = 2\n[application]\nname = \"density\"\nversion = \"1.0.0\"\n",
    );
    for (index, file) in files.iter().enumerate() {
        write!(
            text,
            "[[trigger.http]]\nroute = \"/v2/models/m{index}/...\"\ncomponent = \"m{index}\"\n\
             [component.m{index}]\nsource = {file:?}\n"
        )
        .unwrap();
    }
    text
}

fn infer(model: usize) -> String {
    let data = [1.0f32; WIDTH];
    let body = format!(
        r#"{{"inputs":[{{"name":"x0","shape":[1,{WIDTH}],"datatype":"FP32","data":{data:?}}}]}}"#
    );
    let length = body.len();
    format!(
        "POST /v2/models/m{model}/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn line(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let us = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    println!(
        "  {what:<30} {:>6} requests   p50 {:>6.0} us   p99 {:>6.0} us",
        times.len(),
        us(50),
        us(99)
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.part() * limit as f64) as usize
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
