//! Requests that are put together: the answers are those that each would have had by itself.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary, wine};
use crate::harness::guest::Guest;
use crate::harness::host::Host;
use crate::harness::hostile::settles;
use crate::harness::onnx::{self, Graph, Node, OPEN};

/// Waits long enough for all requests of a test to come together while another one runs, which goes
/// away before.
const BATCH: &str = "batch = { max = 8, delay = \"10s\" }\nmemory = \"64MiB\"";
const WIDTH: usize = 32;

/// A packed model of one layer, with rows.
fn dense() -> (TempDir, PathBuf) {
    let weights = onnx::noise(WIDTH * WIDTH, 7);
    let graph = Graph::new()
        .input("x", &[OPEN, WIDTH as i64])
        .output("y", &[OPEN, WIDTH as i64])
        .weights("w", &[WIDTH as u64, WIDTH as u64], &weights)
        .node(Node::new("MatMul", "layer", &["x", "w"], &["y"]));
    let dir = temporary();
    let (onnx, wasm) = (dir.path().join("dense.onnx"), dir.path().join("dense.wasm"));
    fs::write(&onnx, graph.model()).unwrap();
    Glovebox::new("pack").arg(&onnx).run().success();
    (dir, wasm)
}

fn serve(wasm: &Path, limits: &str) -> Host {
    Manifest::new(&manifest(&[("dense", wasm, limits)]))
        .up()
        .serve()
}

/// Where one request is enough to make others wait.
fn serve_on_one_core(wasm: &Path, limits: &str) -> Host {
    Manifest::new(&manifest(&[("dense", wasm, limits)]))
        .up()
        .on_one_core()
        .serve()
}

fn request(rows: usize, seed: u32) -> Value {
    let data: Vec<_> = onnx::noise(rows * WIDTH, seed);
    json!({ "id": seed.to_string(), "inputs": [
        { "name": "x", "datatype": "FP32", "shape": [rows, WIDTH], "data": data },
    ] })
}

/// Sends all at once, each on a connection of its own.
fn at_once(client: &Client, requests: &[Value]) -> Vec<Answer> {
    let start = Barrier::new(requests.len());
    thread::scope(|scope| {
        let threads: Vec<_> = requests
            .iter()
            .map(|request| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    client.infer("dense", request)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Sends all at once, until two of them at least were one execution: those that come while the first
/// one runs, which takes a moment only.
fn until_together(client: &Client, requests: &[Value], check: impl Fn(&[Answer])) {
    for round in 1..=100 {
        check(&at_once(client, requests));
        let (answered, _, executions) = counts(client);
        assert_eq!(answered, round * requests.len() as u64);
        if executions < answered {
            return;
        }
    }
    panic!("no requests were put together");
}

/// Sends a request that runs until its client goes away.
fn endless(client: &Client) -> TcpStream {
    let body = of(ENDLESS).to_string();
    let mut stream = client.connect();
    let head = "POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\ncontent-length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
    until("it runs", || {
        client.metric("glovebox_live_instances") == 1.0
    });
    stream
}

/// Sends all at once while the model runs for another request, which goes away when `gathered` says
/// so.
fn behind(client: &Client, requests: &[Value], gathered: impl Fn() -> bool) -> Vec<Answer> {
    let first = endless(client);
    thread::scope(|scope| {
        let answers = scope.spawn(|| at_once(client, requests));
        until("all have come", gathered);
        drop(first);
        answers.join().unwrap()
    })
}

fn running(client: &Client) -> f64 {
    client.metric("glovebox_running_requests{model=\"dense\"}")
}

fn until(what: &str, is: impl Fn() -> bool) {
    settles(what, || (!is()).then(String::new));
}

fn counts(client: &Client) -> (u64, u64, u64) {
    let counted = client.get("/v2/models/dense/stats").ok()["model_stats"][0].clone();
    let number = |key: &str| counted[key].as_u64().unwrap();
    let requests = counted["inference_stats"]["success"]["count"]
        .as_u64()
        .unwrap();
    (
        requests,
        number("inference_count"),
        number("execution_count"),
    )
}

fn assert_close(one: &Value, other: &Value) {
    assert_eq!(
        (&one["id"], &one["outputs"][0]["shape"]),
        (&other["id"], &other["outputs"][0]["shape"])
    );
    let numbers = |answer: &Value| answer["outputs"][0]["data"].as_array().unwrap().clone();
    for (one, other) in numbers(one).iter().zip(numbers(other)) {
        let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
}

#[test]
fn requests_that_come_together_are_one_execution_with_the_answers_of_each() {
    let (_dir, wasm) = dense();
    let (plain, batched) = (serve(&wasm, ""), serve_on_one_core(&wasm, BATCH));
    let (plain, batched) = (plain.client(), batched.client());
    let rows = [1, 2, 1, 3];
    let requests: Vec<_> = rows
        .iter()
        .zip(1..)
        .map(|(rows, seed)| request(*rows, seed))
        .collect();
    let expected = requests.iter().map(|request| plain.infer("dense", request));
    let expected: Vec<_> = expected.map(|answer| answer.ok()).collect();
    until_together(&batched, &requests, |answers| {
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_close(&answer.ok(), expected);
        }
    });
    let (answered, rows, executions) = counts(&batched);
    assert_eq!(rows, answered / 4 * 7);
    assert!(executions < answered, "{executions} of {answered}");
    assert_eq!(counts(&plain), (4, 7, 4));
    // Each left a record of its own.
    assert_eq!(batched.requests("dense", "ok"), answered as f64);
    let cpu = "glovebox_guest_cpu_seconds_total{model=\"dense\"}";
    assert!(batched.metric(cpu) > 0.0);
}

#[test]
fn a_request_waits_for_nobody_while_nothing_runs() {
    let (_dir, wasm) = dense();
    let host = serve_on_one_core(&wasm, BATCH);
    let client = host.client();
    client.infer("dense", &request(1, 1)).ok();
    // Nor for one that holds a permit and still sends its body.
    let mut slow = client.connect();
    let head = "POST /v2/models/dense/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    until("its permit is held", || running(&client) == 1.0);
    let start = Instant::now();
    client.infer("dense", &request(1, 2)).ok();
    assert!(start.elapsed() < Duration::from_millis(900));
    // One that fills an execution waits for none that runs either.
    let answers = at_once(&client, &[request(8, 3), request(9, 4)]);
    assert!(start.elapsed() < Duration::from_millis(900));
    answers.iter().for_each(|answer| drop(answer.ok()));
    assert_eq!(counts(&client), (4, 19, 4));
}

#[test]
fn a_request_waits_no_longer_than_its_delay() {
    let host = picky_with(&BATCH.replace("10s", "1s"));
    let client = host.client();
    let first = endless(&client);
    let start = Instant::now();
    client.infer("dense", &of(1)).ok();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    // That one runs on.
    assert_eq!(running(&client), 1.0);
    drop(first);
}

#[test]
fn a_full_execution_waits_for_nobody() {
    let host = picky();
    let client = host.client();
    let first = endless(&client);
    let half = json!({ "inputs": [
        { "name": "x", "datatype": "UINT8", "shape": [4], "data": [1, 2, 3, 4] },
    ] });
    let start = Instant::now();
    for answer in at_once(&client, &[half.clone(), half]) {
        assert_eq!(answer.ok()["outputs"][0]["data"], json!([1, 2, 3, 4]));
    }
    assert!(start.elapsed() < Duration::from_millis(900));
    drop(first);
    assert_eq!(counts(&client), (2, 8, 1));
}

#[test]
fn a_deadline_in_a_batch_is_each_request_s_own() {
    let host = picky();
    let client = host.client();
    let mut hasty = of(1);
    hasty["parameters"] = json!({ "timeout": 100_000 });
    let start = Instant::now();
    // It takes its permit with it, and the others wait on.
    let answers = behind(&client, &[hasty, of(2), of(3)], || {
        client.requests("dense", "timeout") == 1.0 && running(&client) == 3.0
    });
    assert!(start.elapsed() < Duration::from_secs(9));
    answers[0].error(504, "timeout");
    answers[1].ok();
    answers[2].ok();
    assert_eq!(counts(&client), (2, 2, 1));
}

#[test]
fn requests_for_other_outputs_are_not_put_together() {
    let shape = [OPEN, 2];
    let graph = Graph::new()
        .input("x", &shape)
        .output("y", &shape)
        .output("z", &shape)
        .node(Node::new("Relu", "relu", &["x"], &["y"]))
        .node(Node::new("Neg", "neg", &["x"], &["z"]));
    let dir = temporary();
    let (onnx, wasm) = (dir.path().join("dense.onnx"), dir.path().join("dense.wasm"));
    fs::write(&onnx, graph.model()).unwrap();
    Glovebox::new("pack").arg(&onnx).run().success();
    let host = serve_on_one_core(&wasm, BATCH);
    let wanted = [json!(["y"]), json!(["z"]), json!(["y", "z"]), json!(["y"])];
    let requests: Vec<_> = wanted
        .iter()
        .map(|names| {
            let names = names.as_array().unwrap().iter();
            let outputs: Vec<_> = names.map(|name| json!({ "name": name })).collect();
            json!({
                "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -2] }],
                "outputs": outputs,
            })
        })
        .collect();
    until_together(&host.client(), &requests, |answers| {
        for (answer, names) in answers.iter().zip(&wanted) {
            let answer = answer.ok();
            let outputs = answer["outputs"].as_array().unwrap();
            let found: Vec<_> = outputs.iter().map(|output| &output["name"]).collect();
            assert_eq!(&json!(found), names);
            for output in outputs {
                let expected = match output["name"] == "y" {
                    true => json!([1.0, 0.0]),
                    false => json!([-1.0, 2.0]),
                };
                assert_eq!(output["data"], expected);
            }
        }
    });
}

#[test]
fn a_bad_request_fails_alone() {
    let host = picky();
    let client = host.client();
    let requests = [of(1), of(255), of(2), of(3)];
    let answers = behind(&client, &requests, || running(&client) == 5.0);
    for (answer, byte) in answers.iter().zip([1, 255, 2, 3]) {
        match byte {
            255 => drop(answer.error(502, "trap")),
            _ => assert_eq!(answer.ok()["outputs"][0]["data"], json!([byte])),
        }
    }
    assert_eq!(client.requests("dense", "ok"), 3.0);
    assert_eq!(client.requests("dense", "trap"), 1.0);
    // Another one that fails all takes none of the others with it either.
    let answers = behind(&client, &[of(255), of(255)], || running(&client) == 3.0);
    answers
        .iter()
        .for_each(|answer| drop(answer.error(502, "trap")));
}

fn of(byte: u8) -> Value {
    json!({ "inputs": [{ "name": "x", "datatype": "UINT8", "shape": [1], "data": [byte] }] })
}

/// A byte that keeps `ECHO` busy.
const ENDLESS: u8 = 254;

/// A host with a guest that answers with its input; it traps if a byte of that is 255, and never ends
/// if one is 254.
fn picky() -> Host {
    picky_with(BATCH)
}

fn picky_with(limits: &str) -> Host {
    let dir = temporary();
    let file = dir.path().join("dense.wasm");
    let guest = Guest::infer(ECHO).fields(ROWS);
    fs::write(&file, guest.component()).unwrap();
    serve_on_one_core(&file, limits)
}

/// A signature of one input `x` and one output `y`, UINT8 of any length: at 1024, with its specs at
/// 1200 and 1220, names at 1300 and the shape at 1320.
const ROWS: &str = r#"
    (data (i32.const 1024) "\b0\04\00\00\01\00\00\00\c4\04\00\00\01\00\00\00")
    (data (i32.const 1200) "\14\05\00\00\01\00\00\00\01\00\00\00\28\05\00\00\01\00\00\00")
    (data (i32.const 1220) "\15\05\00\00\01\00\00\00\01\00\00\00\28\05\00\00\01\00\00\00")
    (data (i32.const 1300) "xy") (data (i32.const 1320) "\ff\ff\ff\ff\ff\ff\ff\ff")"#;

/// Looks at all bytes of its one input, and answers with it: a tensor at 6000.
const ECHO: &str = "(local $at i32) (local $end i32)
    (local.set $at (i32.load offset=20 (local.get 0)))
    (local.set $end (i32.add (local.get $at) (i32.load offset=24 (local.get 0))))
    (block (loop (br_if 1 (i32.eq (local.get $at) (local.get $end)))
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 255)) (then unreachable))
      (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 254)) (then (loop (br 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 1))) (br 0)))
    (i32.store (i32.const 6000) (i32.const 1301)) (i32.store (i32.const 6004) (i32.const 1))
    (i32.store8 (i32.const 6008) (i32.const 1))
    (i32.store (i32.const 6012) (i32.load offset=12 (local.get 0)))
    (i32.store (i32.const 6016) (i32.const 1))
    (i32.store (i32.const 6020) (i32.load offset=20 (local.get 0)))
    (i32.store (i32.const 6024) (i32.load offset=24 (local.get 0)))
    (i32.store (i32.const 2052) (i32.const 6000)) (i32.store (i32.const 2056) (i32.const 1))
    (i32.const 2048)";

#[test]
fn a_model_without_rows_cannot_be_batched() {
    let dir = temporary();
    let (onnx, wasm) = (dir.path().join("dense.onnx"), dir.path().join("dense.wasm"));
    fs::write(&onnx, onnx::dense_layers(1, 1, 16)).unwrap();
    Glovebox::new("pack").arg(&onnx).run().success();
    let line = |file: &std::path::Path, limits: &str| {
        let manifest = Manifest::new(&manifest(&[("dense", file, limits)]));
        manifest
            .up()
            .option("--listen", "127.0.0.1:0")
            .run()
            .refusal()
    };
    assert!(line(&wasm, BATCH).contains("open first dimension"));
    for (wrong, problem) in [
        ("batch = { max = 1 }", "batch.max"),
        ("batch = { max = 1025 }", "batch.max"),
        ("batch = { max = 8, delay = \"11s\" }", "batch.delay"),
        ("batch = { max = 8, size = 3 }", "size"),
        ("batch = 8", "{ max = 8 }"),
    ] {
        let line = line(wine(), wrong);
        assert!(line.contains(problem), "{line}");
    }
}

#[test]
fn requests_that_are_stopped_together_are_billed_each() {
    let host = picky();
    let client = host.client();
    let mut hasty = of(ENDLESS);
    hasty["parameters"] = json!({ "timeout": 1_000_000 });
    let cpu = || client.metric("glovebox_guest_cpu_seconds_total{model=\"dense\"}");
    // The bill comes a moment behind the deadline; on a machine that is all too busy, after it.
    for round in 1..20 {
        let before = cpu();
        let answers = behind(&client, &[hasty.clone(), hasty.clone()], || {
            running(&client) == 3.0
        });
        answers
            .iter()
            .for_each(|answer| drop(answer.error(504, "timeout")));
        assert_eq!(client.requests("dense", "timeout"), f64::from(2 * round));
        // What they waited behind ran until they had come, and cost much less.
        if cpu() - before > 0.3 {
            return;
        }
    }
    panic!("nobody was billed");
}
