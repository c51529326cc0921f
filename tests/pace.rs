//! Clients that are slow or silent, with real sockets: none of them holds anything for long.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::edge::{MOST_GROWTH, POST, assert_serves, up};
use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary, wine};
use crate::harness::guest;
use crate::harness::http2::{self, frame};
use crate::harness::wire::{
    Closed, allow_many_sockets, drip_until_closed, pause, write_until_closed,
};

/// Opens a connection, writes as `drip_until_closed` does, and expects it closed after `seconds`.
#[track_caller]
fn closed_after(client: &Client, first: &[u8], drip: &[u8], seconds: u64) -> Closed {
    let closed = drip_until_closed(client.connect(), first, drip);
    let (least, most) = (
        Duration::from_secs(seconds - 1),
        Duration::from_secs(seconds * 5),
    );
    assert!(
        closed.after > least,
        "{:?}: {}",
        closed.after,
        closed.text()
    );
    assert!(closed.after < most, "{:?}: {}", closed.after, closed.text());
    closed
}

#[test]
fn a_client_that_sends_no_request_is_closed() {
    let host = up();
    let client = &host.client();
    let hello = http2::hello(&[]);
    let mut unfinished = hello.clone();
    frame(
        &mut unfinished,
        http2::HEADERS,
        0,
        1,
        &http2::headers(http2::GET, "/healthz"),
    );
    let mut ping = Vec::new();
    frame(&mut ping, http2::PING, 0, 0, b"12345678");
    let get = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    thread::scope(|scope| {
        for (first, drip) in [
            // Nothing, part of what begins HTTP/2, headers letter by letter, HTTP/1 after a
            // request, HTTP/2 without streams, with nothing but pings, and with half a header.
            (&b""[..], &b""[..]),
            (b"PRI * HT", b""),
            (b"GET /healthz HTTP/1.1\r\nx-drip: ", b"x"),
            (get, b""),
            (&hello, b""),
            (&hello, &ping),
            (&unfinished, b""),
        ] {
            scope.spawn(move || closed_after(client, first, drip, 10));
        }
    });
    assert_serves(client);
}

#[test]
fn an_http_2_connection_without_requests_is_closed() {
    let host = up();
    let mut first = http2::hello(&[]);
    let flags = http2::END_STREAM | http2::END_HEADERS;
    frame(
        &mut first,
        http2::HEADERS,
        flags,
        1,
        &http2::headers(http2::GET, "/healthz"),
    );
    // The client answers the host's pings, and then some.
    let mut pong = Vec::new();
    frame(&mut pong, http2::PING, http2::ACK, 0, http2::PING_OF_HYPER);
    let closed = closed_after(&host.client(), &first, &pong, 30);
    assert!(closed.text().contains("{\"live\":true}"));
}

#[test]
fn a_body_that_drips_is_refused_and_frees_its_permit() {
    let models = [("wine", wine(), "concurrency = 1")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let client = &host.client();
    for (head, drip) in [
        ("content-length: 1000\r\n\r\n", "x"),
        ("transfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ] {
        let closed = closed_after(
            client,
            format!("{POST}{head}").as_bytes(),
            drip.as_bytes(),
            3,
        );
        assert!(
            closed.text().starts_with("HTTP/1.1 408"),
            "{}",
            closed.text()
        );
        assert!(closed.text().contains("\"code\":\"slow_body\""));
    }
    assert_eq!(client.requests("wine", "slow_body"), 2.0);
    assert_serves(client);
}

#[test]
fn a_body_that_keeps_its_pace_is_taken_however_long_that_lasts() {
    let host = up();
    let mut stream = host.client().connect();
    let about = host.client().get("/v2/models/wine").ok();
    let request = json!({ "inputs": [{
        "name": about["inputs"][0]["name"], "datatype": "FP32", "shape": [1, 13], "data": vec![0; 13],
    }] });
    // Spaces mean nothing to JSON.
    let body = format!("{}{request}", " ".repeat(1 << 20));
    let head = format!("{POST}content-length: {}\r\n\r\n", body.len());
    let start = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    for piece in body.as_bytes().chunks(body.len() / 16) {
        pause();
        stream.write_all(piece).unwrap();
    }
    Answer::from_stream(&mut stream).ok();
    assert!(start.elapsed() > Duration::from_secs(3), "within the grace");
}

#[test]
fn an_answer_that_nobody_takes_is_dropped_with_its_connection() {
    let host = up();
    let client = host.client();
    // No window: the answer cannot be sent. The client lives: it pings.
    let mut first = http2::hello(&[(4, 0)]);
    let flags = http2::END_STREAM | http2::END_HEADERS;
    for stream in [1, 3, 5] {
        let headers = http2::headers(http2::GET, "/metrics");
        frame(&mut first, http2::HEADERS, flags, stream, &headers);
    }
    let mut ping = Vec::new();
    frame(&mut ping, http2::PING, 0, 0, b"12345678");
    closed_after(&client, &first, &ping, 5);
    assert_serves(&client);
}

#[test]
fn an_answer_that_is_taken_late_is_whole() {
    let host = up();
    let mut stream = host.client().connect();
    let mut bytes = http2::hello(&[(4, 0)]);
    let flags = http2::END_STREAM | http2::END_HEADERS;
    let headers = http2::headers(http2::GET, "/metrics");
    frame(&mut bytes, http2::HEADERS, flags, 1, &headers);
    stream.write_all(&bytes).unwrap();
    pause();
    let mut bytes = Vec::new();
    frame(
        &mut bytes,
        http2::WINDOW_UPDATE,
        0,
        1,
        &0x10000_u32.to_be_bytes(),
    );
    stream.write_all(&bytes).unwrap();
    let body = String::from_utf8(http2::body(&mut stream)).unwrap();
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn a_large_answer_must_be_taken_but_need_not_be_taken_fast() {
    const BYTES: usize = 15 << 20;
    let dir = temporary();
    let file = dir.path().join("zeros.wasm");
    fs::write(&file, guest::zeros(BYTES as u32)).unwrap();
    let host = Glovebox::new("up").option("--from", &file).serve();
    let ask = || {
        let mut stream = host.client().connect();
        let request =
            "POST /v2/models/zeros/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            write_until_closed(&mut ask(), b"GET / HTTP/1.1\r\n", usize::MAX);
            let time = start.elapsed();
            assert!((4..25).contains(&time.as_secs()), "{time:?}");
        });
        scope.spawn(|| {
            let (mut stream, mut read, start) = (ask(), 0, Instant::now());
            let mut buffer = vec![0; 512 << 10];
            while read < BYTES {
                stream.read_exact(&mut buffer).unwrap();
                read += buffer.len();
                pause();
            }
            assert!(start.elapsed() > Duration::from_secs(5), "within the grace");
        });
    });
    assert_eq!(host.client().requests("zeros", "ok"), 2.0);
}

#[test]
fn a_client_that_asks_and_never_reads_is_closed() {
    let host = up();
    let before = host.resident_bytes();
    let mut stream = host.client().connect();
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let taken = write_until_closed(&mut stream, request, 1 << 30);
    assert!(taken < 1 << 30, "it was never closed");
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    assert_serves(&host.client());
}

#[test]
fn more_connections_than_there_may_be_wait_until_silent_ones_are_closed() {
    allow_many_sockets();
    let host = up();
    let before = host.resident_bytes();
    // As many as may be open, and some that the system holds ready.
    let silent: Vec<_> = (0..1500).map(|_| host.client().connect()).collect();
    let open = host.open_files();
    assert!(open <= 1024 + 64, "{open}");
    let start = Instant::now();
    assert_serves(&host.client());
    let time = start.elapsed();
    println!("{open} files were open, a neighbour waited {time:?}");
    // With room for others, silent clients may stay for 10 seconds.
    assert!(time < Duration::from_secs(8), "{time:?}");
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    drop(silent);
    assert_serves(&host.client());
}
