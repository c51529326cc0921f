//! Hostile guests: each limit stops what it should, and nobody else notices.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::client::Client;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::guest;
use crate::harness::host::Host;

/// A hostile guest beside the wines, which everybody expects to keep being served.
struct Pair {
    host: Host,
    _dir: TempDir,
}

impl Pair {
    fn new(infer: &str, limits: &str) -> Self {
        let (dir, file) = guest_file(infer);
        let models = [("hostile", file.as_path(), limits), ("wine", wine(), "")];
        let host = Manifest::new(&manifest(&models)).up().serve();
        Self { host, _dir: dir }
    }

    fn client(&self) -> Client {
        self.host.client()
    }

    /// Calls the hostile guest twice: it fails twice, is counted twice, and does no harm.
    #[track_caller]
    fn fails(&self, status: u16, code: &str) {
        let client = self.client();
        for count in 1..=2 {
            client.call("hostile").error(status, code);
            assert_eq!(client.requests("hostile", code), f64::from(count));
        }
        assert_serves(&client);
    }
}

fn guest_file(infer: &str) -> (TempDir, PathBuf) {
    let dir = temporary();
    let file = dir.path().join("hostile.wasm");
    fs::write(&file, guest::component(infer)).unwrap();
    (dir, file)
}

#[track_caller]
fn assert_serves(client: &Client) {
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let answer = client.predict("wine", "application/json", &record);
    assert_eq!(answer.ok()["label"], "cultivar 1");
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz").status, 200);
}

#[test]
fn an_infinite_loop_is_stopped_by_the_cpu_limit() {
    let pair = Pair::new(guest::SPIN, "cpu = \"50ms\"");
    let start = Instant::now();
    pair.client().call("hostile").error(504, "cpu_limit");
    assert!(
        start.elapsed() >= Duration::from_millis(50),
        "it was not run for its time"
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "nothing stopped it"
    );
    let cpu = "glovebox_guest_cpu_seconds_total{model=\"hostile\"}";
    let spent = pair.client().metric(cpu);
    assert!((0.05..0.5).contains(&spent), "{spent}");
    assert_serves(&pair.client());
    assert_eq!(pair.client().requests("hostile", "cpu_limit"), 1.0);
}

#[test]
fn a_loop_that_ends_within_the_cpu_limit_is_answered() {
    let pair = Pair::new(&guest::burn(1_000_000), "cpu = \"5s\"");
    pair.client().call("hostile").ok();
}

#[test]
fn a_neighbour_is_served_while_loops_hold_every_thread() {
    let pair = Pair::new(guest::SPIN, "cpu = \"2s\"\nconcurrency = 4");
    let (client, done) = (pair.client(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            let (client, done) = (client.clone(), &done);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    client.call("hostile").error(504, "cpu_limit");
                }
            });
        }
        // The loops run as soon as they have used CPU time; it is booked when one is stopped.
        while client.requests("hostile", "cpu_limit") < 1.0 {
            thread::yield_now();
        }
        let start = Instant::now();
        for _ in 0..20 {
            assert_serves(&client);
        }
        let time = start.elapsed();
        done.store(true, Relaxed);
        println!("20 answers of the neighbour in {time:?}");
        assert!(time < Duration::from_secs(10), "{time:?}");
    });
}

#[test]
fn the_wall_clock_stops_what_the_cpu_limit_would_allow() {
    let pair = Pair::new(guest::SPIN, "cpu = \"30s\"\ntimeout = \"200ms\"");
    let start = Instant::now();
    pair.fails(504, "timeout");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn memory_beyond_the_limit_is_not_given() {
    let pair = Pair::new(guest::GROW, "memory = \"32MiB\"");
    pair.fails(502, "memory_limit");
    let high = "glovebox_guest_memory_high_water_bytes{model=\"hostile\"}";
    let high = pair.client().metric(high);
    // The guest takes 1 MiB at a time and starts with 1 MiB.
    assert_eq!(high, f64::from(32 << 20));
}

#[test]
fn recursion_without_end_exhausts_its_own_stack_only() {
    Pair::new(guest::RECURSE, "").fails(502, "stack_exhausted");
}

#[test]
fn a_trap_ends_one_request_only() {
    Pair::new(guest::TRAP, "").fails(502, "trap");
}

#[test]
fn a_guest_that_says_it_failed_is_believed_but_not_quoted() {
    let pair = Pair::new(guest::FAIL, "");
    pair.fails(502, "model_failed");
    let answer = pair.client().call("hostile").text();
    // What the guest gives as its reason.
    assert!(!answer.contains("text/plain"), "{answer}");
}

#[test]
fn a_list_that_claims_more_than_the_memory_holds_is_not_read() {
    Pair::new(guest::CLAIM, "").fails(502, "bad_output");
}

#[test]
fn an_output_larger_than_the_limit_is_not_read() {
    Pair::new(guest::FLOOD, "").fails(502, "output_too_large");
}

#[test]
fn an_output_that_the_signature_does_not_have_is_not_passed_on() {
    Pair::new(guest::UNDECLARED, "").fails(502, "bad_output");
}

#[test]
fn requests_beyond_the_queue_are_told_to_come_back() {
    let pair = Pair::new(guest::SPIN, "cpu = \"150ms\"\nconcurrency = 1");
    let answers: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..40)
            .map(|_| {
                let client = pair.client();
                scope.spawn(move || client.call("hostile"))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (busy, ran): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
    assert!(busy.len() >= 40 - 17 - 17, "{} were refused", busy.len());
    assert!(!ran.is_empty());
    for answer in busy {
        answer.error(429, "quota");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    for answer in ran {
        answer.error(504, "cpu_limit");
    }
    assert_serves(&pair.client());
}

#[test]
fn a_client_that_goes_away_ends_its_request() {
    let pair = Pair::new(
        guest::SPIN,
        "cpu = \"1h\"\ntimeout = \"1h\"\nconcurrency = 1",
    );
    let client = pair.client();
    let body = "{\"inputs\":[]}";
    let request = format!(
        "POST /v2/models/hostile/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let streams = [(); 2].map(|()| {
        let mut stream = client.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    });
    // One is in the sandbox when the other waits for its permit.
    while client.metric("glovebox_waiting_requests{model=\"hostile\"}") < 1.0 {
        thread::yield_now();
    }
    drop(streams);
    let start = Instant::now();
    while client.requests("hostile", "cancelled") < 2.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "they still run");
        thread::yield_now();
    }
    assert_serves(&client);
}

#[test]
fn a_memory_limit_below_the_image_is_refused_at_the_start() {
    let models = [("digits", digits(), "memory = \"1MiB\"")];
    let line = Manifest::new(&manifest(&models)).up().run().refusal();
    assert!(line.contains("\"digits\""), "{line}");
    assert!(
        line.contains("1 MiB") && line.contains("raise `memory`"),
        "{line}"
    );
}

#[test]
fn a_memory_limit_that_a_request_does_not_fit_is_the_models_fault() {
    // The hostile guest starts with exactly 1 MiB.
    let pair = Pair::new(guest::ANSWER, "memory = \"1MiB\"");
    pair.client().call("hostile").ok();
    let pair = Pair::new(guest::GROW, "memory = \"1MiB\"");
    pair.fails(502, "memory_limit");
}
