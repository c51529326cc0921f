//! HTTP components at their limits: what stops them, what their clients see of it, and that nothing
//! of them remains.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::{Answer, Client};
use crate::harness::files::{Manifest, model_dir, wine};
use crate::harness::host::Host;
use crate::harness::hostile::{check, settles};
use crate::harness::http2::{self, frame};
use crate::harness::probe::{
    HEAD, SMALL, component, ended, heard, idle, limited, rest, route, running, send, text, value,
};

/// The end of an answer in chunks that is whole.
const LAST_CHUNK: &str = "0\r\n\r\n";
/// Of the header fields of one answer.
const FIELDS: usize = 16 << 10;
/// What is kept of what a guest prints, escaped.
const PRINTED: usize = 400;

/// A host whose probe has small limits, of which these take the place of others.
fn up(limits: &str) -> Host {
    limited(limits).up().serve()
}

/// Two requests to the probe: each ends so, is counted so, and leaves nothing.
#[track_caller]
fn fails(limits: &str, path: &str, status: u16, code: &str) {
    let host = up(limits);
    let client = host.client();
    for count in 1..=2 {
        check(&client.get(path), status, code);
        ended(&client, "probe", code, count);
    }
    assert_serves(&client);
}

/// The probe answers others as before, and nothing is held by anybody.
#[track_caller]
fn assert_serves(client: &Client) {
    assert_eq!(text(&client.get("/probe/count")), "1");
    idle(client);
}

/// An answer that has begun and breaks off: its client sees that it is not whole.
#[track_caller]
fn breaks_off(limits: &str, path: &str, outcome: &str) {
    let host = up(limits);
    let client = host.client();
    let said = heard(&client, path);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(said.contains("transfer-encoding: chunked"), "{said}");
    assert!(said.contains("begun"), "{said}");
    assert!(!said.ends_with(LAST_CHUNK), "{path} looks whole");
    ended(&client, "probe", outcome, 1);
    assert_serves(&client);
    // The same for a client of HTTP/2.
    let mut stream = client.connect();
    let mut request = http2::hello(&[]);
    let flags = http2::END_STREAM | http2::END_HEADERS;
    let headers = http2::headers(http2::GET, path);
    frame(&mut request, http2::HEADERS, flags, 1, &headers);
    stream.write_all(&request).unwrap();
    loop {
        let frame = http2::read(&mut stream).expect("the stream is reset");
        let is_end = frame.stream == 1 && frame.flags & http2::END_STREAM != 0;
        let is_body = matches!(frame.kind, http2::DATA | http2::HEADERS);
        assert!(!(is_end && is_body), "{path} looks whole");
        if matches!(frame.kind, http2::RST_STREAM | http2::GOAWAY) {
            break;
        }
    }
}

/// Reads the head of an answer and no more.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

// What stops a guest before it answers.

#[test]
fn an_endless_loop_is_stopped_by_the_cpu_limit_and_billed() {
    let host = up("cpu = \"50ms\"");
    let client = host.client();
    check(&client.get("/probe/burn"), 504, "cpu_limit");
    ended(&client, "probe", "cpu_limit", 1);
    let billed = client.metric("glovebox_guest_cpu_seconds_total{model=\"probe\"}");
    assert!((0.05..0.5).contains(&billed), "{billed}");
    assert_serves(&client);
}

#[test]
fn memory_without_end_is_stopped_by_the_memory_limit() {
    fails("memory = \"16MiB\"", "/probe/grow", 502, "memory_limit");
}

#[test]
fn a_guest_that_waits_is_stopped_by_the_timeout() {
    fails("timeout = \"300ms\"", "/probe/wait", 504, "timeout");
    let host = up("timeout = \"20s\"");
    let answer = host.client().get("/probe/wait?ms=300");
    assert_eq!(text(&answer), "waited");
}

#[test]
fn a_guest_that_traps_or_exits_has_no_answer() {
    fails("", "/probe/trap", 502, "trap");
    fails("", "/probe/panic", 502, "trap");
    fails("", "/probe/exit", 502, "bad_output");
}

#[test]
fn a_guest_that_returns_without_an_answer_has_none() {
    fails("", "/probe/nothing", 502, "bad_output");
}

#[test]
fn a_status_that_ends_no_exchange_is_no_answer() {
    let host = up("");
    let client = host.client();
    for code in [200, 201, 204, 304, 404, 418, 500, 599] {
        assert_eq!(
            client.get(&format!("/probe/status?code={code}")).status,
            code
        );
    }
    for code in [100, 101, 103] {
        let answer = client.get(&format!("/probe/status?code={code}"));
        check(&answer, 502, "bad_output");
    }
    assert_serves(&client);
}

#[test]
fn instructions_beyond_the_fuel_are_not_run() {
    fails("fuel = 50_000_000", "/probe/burn", 504, "fuel_limit");
    let host = up("fuel = 50_000_000");
    let client = host.client();
    let used = |path: &str| {
        let series = "glovebox_guest_fuel_total{model=\"probe\"}";
        let before = (client.metric(series), client.requests("probe", "ok"));
        assert_eq!(client.get(path).status, 200);
        ended(&client, "probe", "ok", before.1 as u32 + 1);
        client.metric(series) - before.0
    };
    // How often a guest asks whether it can go on is the host's timing, not the guest's.
    let fuel = used("/probe/count");
    assert!(fuel > 1000.0, "{fuel}");
    assert!((used("/probe/count") / fuel - 1.0).abs() < 0.2, "{fuel}");
}

// Bodies and header fields.

#[test]
fn a_body_is_taken_up_to_its_limit_and_not_a_byte_more() {
    let host = up("");
    let client = host.client();
    let most = 1 << 20;
    let answer = client.post("/probe/echo", "text/plain", &vec![b'x'; most]);
    assert_eq!(answer.body.len(), most);
    let head = "POST /probe/echo HTTP/1.1\r\nhost: x\r\n";
    // A declared length is enough.
    let declared = client.raw(&format!("{head}content-length: {}\r\n\r\n", most + 1));
    declared.error(413, "too_large");
    let mut stream = client.connect();
    let chunk = "x".repeat(most + 1);
    let _ = write!(
        stream,
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}",
        most + 1
    );
    Answer::from_stream(&mut stream).error(413, "too_large");
    ended(&client, "probe", "too_large", 2);
    assert_serves(&client);
}

#[test]
fn an_answer_is_passed_on_up_to_its_limit() {
    let host = up("");
    let client = host.client();
    for path in [
        "/probe/declare?bytes=1048576",
        "/probe/stream?pieces=16&bytes=65536",
    ] {
        assert_eq!(text(&client.get(path)).len(), 1 << 20, "{path}");
    }
    let answer = client.get("/probe/declare?bytes=1048577");
    check(&answer, 502, "output_too_large");
    ended(&client, "probe", "output_too_large", 1);
    assert_serves(&client);
}

#[test]
fn an_answer_without_end_breaks_off_at_its_limit() {
    let host = up("");
    let client = host.client();
    let said = heard(&client, "/probe/flood");
    assert!(said.starts_with("HTTP/1.1 200 "), "{}", &said[..100]);
    assert!(said.len() < (1 << 20) + (64 << 10), "{}", said.len());
    assert!(!said.ends_with(LAST_CHUNK), "it looks whole");
    ended(&client, "probe", "output_too_large", 1);
    assert_serves(&client);
}

#[test]
fn an_answer_that_has_another_length_than_it_declares_is_never_taken_for_whole() {
    let host = up("");
    let client = host.client();
    let body = |path: &str| {
        let said = heard(&client, path);
        // The connection may break before the head is on its way.
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_default();
        assert!(
            head.is_empty() || head.contains("content-length: 1000"),
            "{said}"
        );
        body.len()
    };
    assert_eq!(body("/probe/declare?bytes=1000"), 1000);
    // More than declared must not look like the next answer.
    assert_eq!(body("/probe/declare?bytes=1000&sent=2000"), 1000);
    ended(&client, "probe", "ok", 2);
    assert!(body("/probe/declare?bytes=1000&sent=999") < 1000);
    assert!(body("/probe/declare?bytes=1000&sent=0") < 1000);
    ended(&client, "probe", "bad_output", 2);
    assert_serves(&client);
}

#[test]
fn header_fields_of_an_answer_are_bounded() {
    let host = up("");
    let client = host.client();
    let answer = client.get("/probe/headers?count=10&bytes=1000");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-probe-9").len(), 1000);
    for (count, bytes) in [(1, FIELDS + 1), (20, 1000), (100_000, 1)] {
        let path = format!("/probe/headers?count={count}&bytes={bytes}");
        check(&client.get(&path), 502, "bad_output");
    }
    check(&client.get("/probe/fields"), 502, "bad_output");
    ended(&client, "probe", "bad_output", 4);
    assert_serves(&client);
}

#[test]
fn an_answer_without_a_body_is_whole() {
    let host = up("");
    let mut stream = host.client().connect();
    let paths = [
        ("stream?pieces=3&bytes=9&code=204", 204),
        ("stream?pieces=3&bytes=9&code=304", 304),
        ("status?code=204", 204),
        ("declare?bytes=0", 200),
    ];
    for (path, code) in paths.into_iter().cycle().take(40) {
        write!(stream, "GET /probe/{path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{head}");
    }
    // What comes next is the next answer.
    write!(stream, "GET /probe/shape HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(Answer::from_stream(&mut stream).ok()["method"], "GET");
    ended(&host.client(), "probe", "ok", 41);
    assert_serves(&host.client());
}

#[test]
fn random_bytes_are_given_up_to_a_number_at_once() {
    let host = up("");
    let client = host.client();
    let count: u32 = text(&client.get("/probe/random?bytes=65536"))
        .parse()
        .unwrap();
    assert!((60_000..65_536).contains(&count), "{count} are not zero");
    check(&client.get("/probe/random?bytes=65537"), 502, "bad_output");
    check(
        &client.get("/probe/random?bytes=4000000000"),
        502,
        "bad_output",
    );
    assert_serves(&client);
}

// What goes wrong when the answer has begun.

#[test]
fn a_trap_after_the_head_never_looks_like_a_whole_answer() {
    breaks_off("", "/probe/trap?after=head", "trap");
    breaks_off("", "/probe/exit?after=head", "bad_output");
}

#[test]
fn limits_hold_after_the_head_too() {
    breaks_off("cpu = \"50ms\"", "/probe/burn?after=head", "cpu_limit");
    breaks_off("", "/probe/grow?after=head", "memory_limit");
    let began = Instant::now();
    breaks_off("timeout = \"500ms\"", "/probe/wait?after=head", "timeout");
    // The guest itself would wait for a minute.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it was not stopped"
    );
}

#[test]
fn an_answer_in_pieces_is_whole_however_slow_its_guest() {
    let host = up("");
    // Longer than a client may take to read a piece.
    let said = heard(
        &host.client(),
        "/probe/stream?pieces=2&bytes=7&pause_ms=6000",
    );
    let body = said.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body, "7\r\nxxxxxxx\r\n7\r\nxxxxxxx\r\n0\r\n\r\n");
    ended(&host.client(), "probe", "ok", 1);
    idle(&host.client());
}

#[test]
fn pieces_arrive_while_their_guest_still_works() {
    let host = up("");
    let mut stream = send(&host.client(), "/probe/wait?after=head");
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !said.ends_with(b"begun\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&said));
        said.extend(&buffer[..count]);
    }
    running(&host.client(), "probe", 1);
    drop(stream);
    ended(&host.client(), "probe", "cancelled", 1);
    assert_serves(&host.client());
}

#[test]
fn an_answer_slower_than_the_timeout_breaks_off() {
    let host = up("timeout = \"1s\"");
    let client = host.client();
    let said = heard(&client, "/probe/stream?pieces=1000&bytes=1&pause_ms=100");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(!said.ends_with(LAST_CHUNK), "it looks whole");
    ended(&client, "probe", "timeout", 1);
    assert_serves(&client);
}

#[test]
fn who_asks_for_the_head_gets_the_head() {
    let host = up("cpu = \"200ms\"\ntimeout = \"2s\"");
    let client = host.client();
    let mut stream = client.connect();
    for path in ["/probe/shape", "/probe/stream?pieces=3&bytes=9"] {
        write!(stream, "HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    }
    // There was no body: what comes next is the next answer.
    write!(stream, "GET /probe/shape HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(Answer::from_stream(&mut stream).ok()["method"], "GET");
    ended(&client, "probe", "ok", 3);
    // Who sends a body without end all the same is stopped.
    write!(
        stream,
        "HEAD /probe/flood HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let said = rest(stream);
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.ends_with("\r\n\r\n"),
        "{said}"
    );
    assert_serves(&client);
}

// Many requests.

#[test]
fn guests_that_wait_cost_no_compute_thread() {
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let written = [
        HEAD,
        &route("/probe/...", "probe"),
        &route("/v2/models/wine/...", "wine"),
        &component(
            "probe",
            &format!("[component.probe.tool.glovebox]\n{SMALL}concurrency = 8\n"),
        ),
        &format!("[component.wine]\nsource = {:?}\n", wine()),
    ];
    let host = Manifest::new(&written.concat()).up().serve();
    let client = host.client();
    let waiting: Vec<_> = (0..8)
        .map(|_| send(&client, "/probe/wait?ms=60000"))
        .collect();
    running(&client, "probe", 8);
    settles("8 instances", || {
        let live = client.metric("glovebox_live_instances");
        (live < 8.0).then(|| format!("{live}"))
    });
    let start = Instant::now();
    for _ in 0..20 {
        let answer = client.predict("wine", "application/json", &record);
        assert_eq!(answer.ok()["label"], "cultivar 1");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    running(&client, "probe", 8);
    drop(waiting);
    ended(&client, "probe", "cancelled", 8);
    let billed = client.metric("glovebox_guest_cpu_seconds_total{model=\"probe\"}");
    assert!(billed < 1.0, "waiting took {billed} s of the CPU");
    assert_serves(&client);
}

#[test]
fn requests_beyond_the_queue_are_told_to_come_back() {
    let host = up("concurrency = 1");
    let client = host.client();
    // One runs and 16 wait for its permit.
    let held: Vec<_> = (0..17).map(|_| send(&client, "/probe/wait")).collect();
    running(&client, "probe", 1);
    settles("16 waiting", || {
        let waiting = client.metric("glovebox_waiting_requests{model=\"probe\"}");
        (waiting != 16.0).then(|| format!("{waiting}"))
    });
    let answer = client.get("/probe/count");
    answer.error(429, "quota");
    assert!(!answer.header("retry-after").is_empty());
    drop(held);
    ended(&client, "probe", "quota", 1);
    idle(&client);
    assert_serves(&client);
}

#[test]
fn a_client_that_goes_away_ends_its_guest() {
    let host = up("concurrency = 1\ncpu = \"1h\"\ntimeout = \"1h\"");
    let client = host.client();
    let paths = [
        "/probe/wait",
        "/probe/burn",
        "/probe/wait?after=head",
        "/probe/burn?after=head",
        "/probe/stream?pieces=1000000&bytes=1000&pause_ms=1",
    ];
    for (count, path) in (1..).zip(paths) {
        let stream = send(&client, path);
        running(&client, "probe", 1);
        drop(stream);
        ended(&client, "probe", "cancelled", count);
        idle(&client);
    }
    assert_serves(&client);
}

#[test]
fn a_client_that_does_not_read_is_dropped_with_its_guest() {
    let host = up("output = \"64MiB\"");
    let client = host.client();
    let stream = send(&client, "/probe/flood");
    running(&client, "probe", 1);
    ended(&client, "probe", "cancelled", 1);
    drop(stream);
    assert_serves(&client);
}

#[test]
fn termination_lets_answers_end_that_have_begun() {
    let host = up("");
    let client = host.client();
    let mut stream = send(&client, "/probe/stream?pieces=2&bytes=7&pause_ms=1000");
    assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
    let (status, log) = host.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(rest(stream).ends_with(LAST_CHUNK));
}

#[test]
fn many_requests_leave_nothing() {
    let host = up("");
    let client = host.client();
    assert_serves(&client);
    let (files, memory) = (host.open_files(), host.resident_bytes());
    for number in 1..=400 {
        let path = [
            "/probe/count",
            "/probe/shape",
            "/probe/print",
            "/probe/trap",
        ][number % 4];
        let answer = client.get(path);
        match path {
            "/probe/count" => assert_eq!(text(&answer), "1", "request {number}"),
            "/probe/trap" => check(&answer, 502, "trap"),
            _ => assert_eq!(answer.status, 200, "request {number}"),
        }
    }
    ended(&client, "probe", "ok", 301);
    ended(&client, "probe", "trap", 100);
    idle(&client);
    settles("open files", || {
        let now = host.open_files();
        (now > files).then(|| format!("{now}, before {files}"))
    });
    let grown = host.resident_bytes().saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes");
}

// What is seen from outside.

#[test]
fn what_a_guest_prints_is_escaped_and_cut_in_the_log() {
    let host = limited("").up().log("warn,glovebox=info").serve();
    let client = host.client();
    assert_eq!(text(&client.get("/probe/print")), "printed");
    check(&client.get("/probe/panic"), 502, "trap");
    ended(&client, "probe", "trap", 1);
    let (status, log) = host.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("one JSON object a line");
        line["fields"].clone()
    });
    let printed: Vec<_> = lines.filter(|line| line["component"] == "probe").collect();
    assert_eq!(printed.len(), 2, "{log}");
    for line in &printed {
        let text = line["printed"].as_str().unwrap();
        assert!(!text.is_empty() && text.len() <= 2 * PRINTED, "{text}");
        let is_hostile = |letter: char| letter.is_control() || letter == '\u{202e}';
        assert!(!text.contains(is_hostile), "{text:?}");
    }
    assert!(
        printed[0]["printed"]
            .as_str()
            .unwrap()
            .starts_with("out 0 "),
        "{log}"
    );
    assert!(
        printed[1]["printed"].as_str().unwrap().contains("panicked"),
        "{log}"
    );
    assert!(!log.contains(['\u{1b}', '\u{202e}', '\0']));
}

#[test]
fn http_2_reaches_a_component() {
    let host = up("");
    let body = http2::get(&mut host.client().connect(), "/probe/a?b=c");
    let shape: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(shape["authority"], "glovebox");
    assert_eq!(shape["path_with_query"], "/probe/a?b=c");
    assert_eq!(
        value(&shape, "spin-full-url"),
        "http://glovebox/probe/a?b=c"
    );
    let path = "/probe/stream?pieces=3&bytes=1000";
    let body = http2::get(&mut host.client().connect(), path);
    assert_eq!(body.len(), 3000);
}

#[test]
fn each_component_is_counted_by_itself() {
    let written = [
        HEAD,
        &route("/one/...", "one"),
        &route("/two/...", "two"),
        &component("one", ""),
        &component("two", "tool.glovebox = { cpu = \"50ms\" }"),
    ];
    let host = Manifest::new(&written.concat()).up().serve();
    let client = host.client();
    assert_eq!(client.requests("two", "ok"), 0.0);
    assert_eq!(text(&client.get("/one/count")), "1");
    check(&client.get("/two/burn"), 504, "cpu_limit");
    check(&client.get("/one/trap"), 502, "trap");
    for (component, outcome) in [("one", "ok"), ("one", "trap"), ("two", "cpu_limit")] {
        ended(&client, component, outcome, 1);
    }
    for name in ["request", "queue", "instantiate", "guest"] {
        for (component, count) in [("one", 2.0), ("two", 1.0)] {
            let series = format!("glovebox_{name}_duration_seconds_count{{model=\"{component}\"}}");
            assert_eq!(client.metric(&series), count, "{series}");
        }
    }
    // The names of models are those of models.
    assert_eq!(client.get("/v2/models").ok()["models"], json!([]));
}
