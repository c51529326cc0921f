//! What all benchmarks begin with.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::panic,
    reason = "each benchmark uses a part of it, and it is shared with the tests"
)]

#[path = "../../../tests/harness/bodies.rs"]
pub mod bodies;
#[path = "../../../tests/harness/guest.rs"]
pub mod guest;
#[path = "../../../tests/harness/onnx.rs"]
pub mod onnx;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use glovebox::admission::Admission;
use glovebox::compile::{self, Compiler};
use glovebox::limits::{self, Bytes, Limits};
use glovebox::memory::Budget;
use glovebox::model::package::Package;
use glovebox::model::registry::Registry;
use glovebox::model::{Deployer, Model};
use glovebox::pack::Packer;
use glovebox::pack::config::ModelConfig;
use glovebox::pack::guest::Guest;
use glovebox::sandbox::Sandbox;
use glovebox::sandbox::call::{Answer, Call};
use glovebox::sandbox::compute::Tenant;
use glovebox::sandbox::invoke::Finished;
use glovebox::server::application::Application;
use glovebox::server::state::State;
use glovebox::server::{self, Server};
use glovebox::worker::Worker;

/// A host's sandbox and a compiler whose cache is in `dir`.
pub fn deployer(dir: &Path) -> Deployer {
    let sandbox = Sandbox::new(thread::available_parallelism().unwrap().get()).unwrap();
    let worker = Worker {
        program: env!("CARGO_BIN_EXE_glovebox").into(),
        cache_dir: dir.join("cache"),
        onnxruntime: None,
    };
    let budget = compile::budget(limits::COMPILE_CPU, Bytes(limits::COMPILE_MEMORY_BYTES));
    let compiler = Compiler::new(&sandbox, worker, Bytes(u64::MAX), budget).unwrap();
    Deployer {
        sandbox,
        compiler: Arc::new(compiler),
    }
}

/// Binds a free port in front of models of `deployer`, which `tenants` share.
pub fn server<'a>(
    deployer: &Deployer,
    models: impl IntoIterator<Item = Model>,
    tenants: impl IntoIterator<Item = &'a str>,
) -> Server {
    let admission = Admission::new(Budget::available().unwrap(), tenants);
    let models = models.into_iter().map(Arc::new);
    let (registry, sandbox) = (Registry::new(models), Arc::clone(&deployer.sandbox));
    let state = State::new(registry, Application::default(), admission, sandbox);
    let listener = server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    Server::new(listener, Arc::new(state))
}

/// The bundled model of trees.
pub fn wine() -> PathBuf {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.join("../models/wine/wine.onnx")
}

/// Packs an ONNX file into `dir`.
pub async fn pack(deployer: &Deployer, dir: &Path, onnx: &Path) -> PathBuf {
    let packer = Packer {
        sandbox: Arc::clone(&deployer.sandbox),
        compiler: Arc::clone(&deployer.compiler),
        limits: Limits::generous(limits::PACK_CPU),
    };
    let config = ModelConfig::find(onnx, None).unwrap();
    let model = fs::read(onnx).unwrap();
    let packed = packer
        .pack(&model, &config, &Guest::standard())
        .await
        .unwrap();
    let path = dir.join(format!("{}.wasm", config.name));
    fs::write(&path, packed.bytes).unwrap();
    path
}

/// Deploys a packed model, which is a tenant of its own.
pub async fn deploy(deployer: &Deployer, name: &str, package: &Package, limits: Limits) -> Model {
    let tenant = Tenant {
        name: name.into(),
        weight: 1,
    };
    let model = deployer
        .deploy(name, package, Default::default(), tenant, limits)
        .await;
    model.unwrap()
}

/// Calls a model, which has a minute.
pub async fn invoke(model: &Model, call: Call) -> Finished<Answer> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let loaded = model.loaded(deadline).await.unwrap();
    loaded.function.invoke(call, deadline, ()).await
}

/// Sends a request on a connection and reads its answer, which is a 200.
pub fn exchange(stream: &mut BufReader<TcpStream>, request: &str) {
    exchange_with(stream, request, 200);
}

/// The same with an answer of this status.
pub fn exchange_with(stream: &mut BufReader<TcpStream>, request: &str, status: u16) {
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
}
