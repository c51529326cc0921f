//! Overload: who waits, who is refused, and that memory is never promised twice.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary};
use crate::harness::{bodies, guest, onnx};

const MIB: f64 = 1_048_576.0;

/// Limits of which one request takes 32 MiB: 16 + 5 x 1 + 7 x 1 + 4.
const SMALL: &str = "memory = \"16MiB\"\nbody = \"1MiB\"\noutput = \"1MiB\"\n";
/// The same for 6 MiB.
const TINY: &str = "memory = \"1MiB\"\nbody = \"64KiB\"\noutput = \"64KiB\"\n";
/// A guest that runs until its client goes away.
const ENDLESS: &str = "cpu = \"1h\"\ntimeout = \"1h\"\n";

/// A manifest of guests: id, code, and limits.
fn guests(guests: &[(&str, &str, String)]) -> Manifest {
    let files: Vec<_> = guests.iter().map(|(id, ..)| format!("{id}.wasm")).collect();
    let components: Vec<_> = guests
        .iter()
        .zip(&files)
        .map(|((id, _, limits), file)| (*id, file.as_ref(), limits.as_str()))
        .collect();
    let served = Manifest::new(&manifest(&components));
    for ((_, infer, _), file) in guests.iter().zip(&files) {
        fs::write(served.dir.path().join(file), guest::component(infer)).unwrap();
    }
    served
}

fn with_budget(served: &Manifest, budget: &str) -> Glovebox {
    served.up().option("--memory-budget", budget)
}

/// Sends a call and does not wait for its answer.
fn send(client: &Client, model: &str) -> TcpStream {
    let mut stream = client.connect();
    let request = format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{{\"inputs\":[]}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn running(client: &Client, model: &str) -> f64 {
    client.metric(&format!("glovebox_running_requests{{model=\"{model}\"}}"))
}

fn waiting(client: &Client, model: &str) -> f64 {
    client.metric(&format!("glovebox_waiting_requests{{model=\"{model}\"}}"))
}

fn reserved(client: &Client) -> f64 {
    client.metric("glovebox_memory_reserved_bytes")
}

#[track_caller]
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::yield_now();
    }
}

/// Nothing runs, waits or is reserved.
#[track_caller]
fn until_idle(client: &Client, models: &[&str]) {
    until("everything is given back", || {
        let busy = |model: &&str| running(client, model) + waiting(client, model) > 0.0;
        reserved(client) == 0.0 && !models.iter().any(busy)
    });
}

#[track_caller]
fn assert_says_when_to_come_back(answer: &Answer) {
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
}

#[test]
fn a_full_component_refuses_before_the_body_is_sent() {
    let limits = format!("{ENDLESS}concurrency = 1");
    let host = guests(&[("own", bodies::SPIN, limits)]).up().serve();
    let client = host.client();
    // One runs and the queue takes 16.
    let streams: Vec<_> = (0..17).map(|_| send(&client, "own")).collect();
    until("the queue is full", || waiting(&client, "own") == 16.0);
    for expect in ["", "expect: 100-continue\r\n"] {
        let answer = client.raw(&format!(
            "POST /v2/models/own/infer HTTP/1.1\r\nhost: x\r\n{expect}content-length: 1000000\r\n\r\n"
        ));
        answer.error(429, "quota");
        assert_says_when_to_come_back(&answer);
    }
    assert_eq!(client.requests("own", "quota"), 2.0);
    drop(streams);
    until_idle(&client, &["own"]);
    until("all are recorded", || {
        client.requests("own", "cancelled") == 17.0
    });
}

#[test]
fn a_request_that_waits_too_long_is_refused() {
    let limits = format!("{ENDLESS}concurrency = 1");
    let host = guests(&[("own", bodies::SPIN, limits)]).up().serve();
    let client = host.client();
    let _first = send(&client, "own");
    until("it runs", || running(&client, "own") == 1.0);
    client.call("own").error(429, "quota");
}

#[test]
fn a_host_without_memory_left_refuses_what_a_component_would_take() {
    let spin = format!("{SMALL}{ENDLESS}tenant = \"one\"");
    let answer = format!("{SMALL}tenant = \"one\"");
    let served = guests(&[
        ("greedy", bodies::SPIN, spin),
        ("small", bodies::ANSWER, answer),
    ]);
    let host = with_budget(&served, "32MiB").serve();
    let client = host.client();
    client.call("small").ok();
    let stream = send(&client, "greedy");
    until("all is reserved", || reserved(&client) == 32.0 * MIB);
    let answer = client.call("small");
    answer.error(503, "overload");
    assert_says_when_to_come_back(&answer);
    assert_eq!(client.requests("small", "overload"), 1.0);
    drop(stream);
    client.call("small").ok();
    until_idle(&client, &["greedy", "small"]);
}

#[test]
fn a_host_without_instances_left_refuses_and_recovers() {
    let spin = format!("{TINY}{ENDLESS}concurrency = 256\ntenant = \"one\"");
    let answer = format!("{TINY}tenant = \"one\"");
    let served = guests(&[
        ("greedy", bodies::SPIN, spin),
        ("small", bodies::ANSWER, answer),
    ]);
    let host = with_budget(&served, "4GiB").serve();
    let client = host.client();
    let mut streams: Vec<_> = (0..255).map(|_| send(&client, "greedy")).collect();
    until("they run", || running(&client, "greedy") == 255.0);
    client.call("small").ok();
    streams.push(send(&client, "greedy"));
    until("they run", || running(&client, "greedy") == 256.0);
    client.call("small").error(503, "overload");
    assert_eq!(client.get("/healthz").status, 200);
    drop(streams);
    until_idle(&client, &["greedy", "small"]);
    client.call("small").ok();
}

#[test]
fn a_tenant_holds_no_more_than_half_of_the_host() {
    let spin = format!("{SMALL}{ENDLESS}");
    let served = guests(&[
        ("greedy", bodies::SPIN, spin),
        ("small", bodies::ANSWER, SMALL.into()),
    ]);
    let host = with_budget(&served, "128MiB").serve();
    assert!(host.announcement.contains("memory budget 128 MiB"));
    let client = host.client();
    let streams: Vec<_> = (0..10).map(|_| send(&client, "greedy")).collect();
    until("two run and the others wait", || {
        (running(&client, "greedy"), waiting(&client, "greedy")) == (2.0, 8.0)
    });
    assert_eq!(reserved(&client), 64.0 * MIB);
    for _ in 0..20 {
        client.call("small").ok();
    }
    drop(streams);
    until_idle(&client, &["greedy", "small"]);
}

#[test]
fn all_components_of_a_tenant_share_its_half() {
    let spin = |tenant: &str| format!("{SMALL}{ENDLESS}tenant = \"{tenant}\"");
    let served = guests(&[
        ("first", bodies::SPIN, spin("greedy")),
        ("second", bodies::SPIN, spin("greedy")),
        ("other", bodies::ANSWER, SMALL.into()),
    ]);
    let host = with_budget(&served, "64MiB").serve();
    let client = host.client();
    let _stream = send(&client, "first");
    until("it runs", || reserved(&client) == 32.0 * MIB);
    // The component has a permit left, its tenant has nothing.
    client.call("second").error(429, "quota");
    client.call("other").ok();
}

#[test]
fn as_many_requests_at_once_as_fit_the_memory_are_served_and_no_more() {
    let own = |limits: &str| guests(&[("own", bodies::ANSWER, format!("{SMALL}{limits}"))]);
    let host = with_budget(&own(""), "100MiB").serve();
    assert!(host.announcement.contains("concurrency 3"));
    assert!(host.announcement.contains("32 MiB a request"));
    let host = with_budget(&own(""), "1GiB").serve();
    assert!(host.announcement.contains("concurrency 8"));
    let host = with_budget(&own("concurrency = 3"), "100MiB").serve();
    host.client().call("own").ok();
    let line = with_budget(&own("concurrency = 4"), "100MiB")
        .run()
        .refusal();
    for part in [
        "\"own\"",
        "concurrency 4 x 32 MiB a request = 128 MiB, but there are 100 MiB",
        "memory 16 MiB + 5 x body 1 MiB + 7 x output 1 MiB + 4 MiB",
        "--memory-budget",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    let line = with_budget(&own(""), "31MiB").run().refusal();
    assert!(line.contains("concurrency 1 x 32 MiB"), "{line}");
    with_budget(&own(""), "32MiB").serve();
}

#[test]
fn a_model_without_a_manifest_keeps_the_budget_too() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, guest::component(bodies::ANSWER)).unwrap();
    let up = |budget: &str| {
        Glovebox::new("up")
            .option("--from", &file)
            .option("--memory-budget", budget)
    };
    // Less than the smallest defaults take.
    let line = up("16MiB").run().refusal();
    assert!(line.contains("but there are 16 MiB"), "{line}");
    up("64MiB").serve().client().call("own").ok();
}

#[test]
fn a_body_is_taken_up_to_the_components_limit() {
    let limits = "body = \"1KiB\"".to_owned();
    let host = guests(&[("own", bodies::ANSWER, limits)]).up().serve();
    let client = host.client();
    let body = |length: usize| format!("{:<length$}", "{\"inputs\":[]}");
    let post =
        |body: String| client.post("/v2/models/own/infer", "application/json", body.as_bytes());
    post(body(1024)).ok();
    let error = post(body(1025)).error(413, "too_large");
    assert!(error.contains("1 KiB"), "{error}");
    let chunked = |length: usize| {
        let body = body(length);
        client.raw(&format!(
            "POST /v2/models/own/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        ))
    };
    chunked(1024).ok();
    chunked(1025).error(413, "too_large");
}

#[test]
fn an_output_is_taken_up_to_the_components_limit() {
    // The guest returns 65 MiB, which its signature does not declare.
    for (limit, code) in [("65MiB", "output_too_large"), ("66MiB", "bad_output")] {
        let limits = format!("output = \"{limit}\"");
        let host = guests(&[("own", bodies::FLOOD, limits)]).up().serve();
        host.client().call("own").error(502, code);
    }
}

#[test]
fn an_answer_that_nobody_takes_holds_its_own_memory_and_no_instance() {
    let dir = temporary();
    let (file, packed) = (dir.path().join("same.onnx"), dir.path().join("same.wasm"));
    fs::write(&file, onnx::identity().model()).unwrap();
    Glovebox::new("pack").arg(&file).run().success();
    let host = Glovebox::new("up").option("--from", &packed).serve();
    let client = host.client();
    let rows = 750_000;
    let mut data = "0.5,".repeat(rows * 4);
    data.pop();
    let body = format!(
        "{{\"inputs\":[{{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[{rows},4],\"data\":[{data}]}}]}}"
    );
    let mut stream = client.connect();
    let head = format!(
        "POST /v2/models/same/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    // Its first bytes come when the instance is gone.
    stream.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(running(&client, "same"), 0.0);
    let held = reserved(&client) / MIB;
    assert!((11.0..=14.0).contains(&held), "{held}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > rows * 16);
    until_idle(&client, &["same"]);
}

#[test]
fn a_client_that_goes_away_from_its_answer_gives_the_memory_back() {
    let host = guests(&[("own", bodies::SPIN, ENDLESS.into())])
        .up()
        .serve();
    let client = host.client();
    for _ in 0..3 {
        let stream = send(&client, "own");
        until("it runs", || running(&client, "own") == 1.0);
        assert!(reserved(&client) > 0.0);
        drop(stream);
        until_idle(&client, &["own"]);
    }
}

#[test]
fn termination_loses_no_request_of_a_full_queue() {
    let served = guests(&[("own", &bodies::burn(30_000_000), "concurrency = 1".into())]);
    let host = served.up().serve();
    let client = host.client();
    let streams: Vec<_> = (0..17).map(|_| send(&client, "own")).collect();
    until("the queue is long", || waiting(&client, "own") >= 10.0);
    host.signal_terminate();
    let mut served = 0;
    for mut stream in streams {
        let answer = Answer::from_stream(&mut stream);
        // On a slow machine some wait longer than the queue allows: they are told so.
        match answer.status {
            200 => served += 1,
            _ => drop(answer.error(429, "quota")),
        }
    }
    assert!(served > 0);
    let (status, _) = host.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_neighbour_is_always_served_while_a_tenant_floods_and_retries_at_once() {
    let served = guests(&[
        (
            "flooded",
            &bodies::burn(3_000_000),
            "concurrency = 1".into(),
        ),
        ("neighbour", bodies::ANSWER, String::new()),
    ]);
    let host = served.up().serve();
    let (client, done) = (host.client(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..40 {
            let (client, done) = (client.clone(), &done);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let answer = client.call("flooded");
                    assert!([200, 429].contains(&answer.status), "{}", answer.text());
                }
            });
        }
        until("it is flooded", || {
            client.requests("flooded", "quota") >= 40.0
        });
        let before = client.requests("flooded", "ok");
        for _ in 0..40 {
            client.infer("neighbour", &json!({ "inputs": [] })).ok();
        }
        until("the flooded one is served as well", || {
            client.requests("flooded", "ok") > before
        });
        done.store(true, Relaxed);
    });
    until_idle(&client, &["flooded", "neighbour"]);
}
