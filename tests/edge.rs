//! The HTTP edge, with real sockets: clients that are greedy or ambiguous. None of them makes the host
//! hold much, and nobody else notices. Slow ones are in `pace.rs`, those of HTTP/2 in `streams.rs`.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::host::Host;
use crate::harness::wire::{drip_until_closed, pause};
use crate::harness::{bodies, guest, media};

pub(crate) const POST: &str = "POST /v2/models/wine/infer HTTP/1.1\r\nhost: x\r\n";
/// What a client may make the host hold.
pub(crate) const MOST_GROWTH: u64 = 64 << 20;

pub(crate) fn up() -> Host {
    Glovebox::new("up").option("--from", wine()).serve()
}

#[track_caller]
pub(crate) fn assert_serves(client: &Client) {
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let answer = client.predict("wine", "application/json", &record);
    assert_eq!(answer.ok()["label"], "cultivar 1");
    assert_eq!(client.get("/healthz").status, 200);
}

/// What the host answers to bytes, until it closes the connection or has nothing more to say.
fn answer_to(client: &Client, bytes: &[u8]) -> String {
    let mut stream = client.connect();
    // It may close while this is written.
    let _ = stream.write_all(bytes);
    drip_until_closed(stream, b"", b"").text()
}

#[test]
fn headers_that_are_too_large_or_too_many_are_refused() {
    let host = up();
    let client = host.client();
    let with = |headers: &str| {
        let head = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        answer_to(&client, format!("{head}{headers}\r\n").as_bytes())
    };
    let long = |length: usize| format!("x-long: {}\r\n", "x".repeat(length));
    let many = |count: usize| {
        (0..count)
            .map(|index| format!("x-{index}: 1\r\n"))
            .collect::<String>()
    };
    for headers in [long(15 << 10), many(98)] {
        assert!(with(&headers).starts_with("HTTP/1.1 200"));
    }
    for headers in [long(17 << 10), long(1 << 20), many(99)] {
        let answer = with(&headers);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let answer = answer_to(
        &client,
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)).as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[test]
fn a_request_of_two_readings_is_refused_and_ends_its_connection() {
    let host = up();
    let client = host.client();
    let hidden = "0\r\n\r\nGET /v2/models HTTP/1.1\r\nhost: x\r\n\r\n";
    for headers in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: -5\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
        "x-folded: a\r\n b\r\ntransfer-encoding: chunked\r\n",
        "x-nul: \0\r\n",
    ] {
        let answer = answer_to(&client, format!("{POST}{headers}\r\n{hidden}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{headers:?}: {answer}"
        );
    }
}

#[test]
fn chunks_without_a_sound_size_are_refused_and_end_their_connection() {
    let host = up();
    let client = host.client();
    let extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(20_000));
    for chunk in [
        "zz\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "1\r\nxx\r\n",
        "\r\n",
        &extension,
    ] {
        let bytes =
            format!("{POST}transfer-encoding: chunked\r\n\r\n{chunk}GET /v2 HTTP/1.1\r\n\r\n");
        let answer = answer_to(&client, bytes.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{chunk:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunk:?}: {answer}");
    }
}

#[test]
fn a_target_with_a_host_of_its_own_is_only_a_path() {
    let host = up();
    let client = host.client();
    let answer = client.raw("GET http://elsewhere/healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(answer.ok()["live"], true);
    // And nobody is connected to anything.
    let answer = client.raw("CONNECT elsewhere:80 HTTP/1.1\r\nhost: x\r\n\r\n");
    answer.error(404, "unknown_path");
}

#[test]
fn requests_in_one_packet_are_answered_in_their_order() {
    let host = up();
    let mut stream = host.client().connect();
    let paths = ["/v2", "/healthz", "/v2/models/beer", "/v2/models"];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let mut next = || Answer::from_stream(&mut stream);
    assert_eq!(next().ok()["name"], "glovebox");
    assert_eq!(next().ok()["live"], true);
    next().error(404, "unknown_model");
    assert_eq!(next().ok()["models"], json!(["wine"]));
}

#[test]
fn names_that_are_paths_or_no_names_at_all_are_unknown() {
    let host = up();
    let client = host.client();
    let long = "x".repeat(10 << 10);
    for name in [
        "..",
        "../wine",
        "%2e%2e",
        "%2e%2e%2fwine",
        "..%2f..%2fetc%2fpasswd",
        "wine%00",
        "wine%0d%0a",
        "wіne",
        "wine%20",
        "WINE",
        ".",
        "%c0%ae",
        "wine;x",
        &long,
    ] {
        for (method, end) in [
            ("GET", ""),
            ("GET", "/ready"),
            ("POST", "/infer"),
            ("POST", "/predict"),
        ] {
            let request = format!(
                "{method} /v2/models/{name}{end} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
            );
            let answer = client.raw(&request);
            assert_eq!(answer.status, 404, "{request}: {}", answer.text());
            assert!(answer.body.len() < 1 << 10, "{request}: {}", answer.text());
        }
    }
    let answer = answer_to(
        &client,
        b"GET /v2/models/wi\0ne HTTP/1.1\r\nhost: x\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn a_body_in_another_coding_is_refused_by_name() {
    let host = up();
    let client = host.client();
    for coding in ["br", "zstd", "gzip, gzip", "identity, gzip"] {
        let answer = client.raw(&format!(
            "{POST}content-encoding: {coding}\r\ncontent-length: 9\r\n\r\n"
        ));
        let error = answer.error(415, "unsupported_media");
        assert!(error.contains(&format!("{coding:?}")), "{error}");
    }
    assert_eq!(client.requests("wine", "unsupported_media"), 4.0);
    let answer = client.raw(&format!(
        "{POST}content-encoding: identity\r\ncontent-length: 1\r\n\r\n{{"
    ));
    answer.error(400, "invalid_request");
}

#[test]
fn json_of_a_million_keys_or_of_numbers_that_are_none_costs_little() {
    let host = up();
    let client = host.client();
    let before = host.resident_bytes();
    let keys: Vec<_> = (0..1_000_000)
        .map(|index| format!("\"k{index}\":0"))
        .collect();
    let million = format!("{{{}}}", keys.join(","));
    let data = |data: &str| {
        format!(
            "{{\"inputs\":[{{\"name\":\"features\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[{data}]}}]}}"
        )
    };
    for body in [
        million,
        data("1e400"),
        data("NaN"),
        data("-Infinity"),
        data("0x1"),
        data("\"\\ud800\""),
    ] {
        let answer = client.post("/v2/models/wine/infer", "application/json", body.as_bytes());
        answer.error(400, "invalid_request");
    }
    assert!(host.resident_bytes() < before + MOST_GROWTH);
}

#[test]
fn pictures_of_other_kinds_are_refused() {
    let host = Glovebox::new("up").option("--from", digits()).serve();
    let client = host.client();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>";
    for (kind, body) in [
        ("image/svg+xml", &svg[..]),
        ("image/gif", b"GIF89a\xff\xff\xff\xff"),
    ] {
        client
            .predict("digits", kind, body)
            .error(415, "unsupported_media");
        client
            .predict("digits", "image/png", body)
            .error(422, "invalid_input");
    }
    let mut jpeg = media::grey_jpeg();
    client
        .predict("digits", "image/jpeg", &jpeg[..100])
        .error(422, "invalid_input");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let answer = client.predict("digits", "image/jpeg", &jpeg);
    assert!([413, 422].contains(&answer.status), "{}", answer.text());
}

#[test]
fn health_is_answered_while_guests_hold_the_only_core() {
    let dir = temporary();
    let file = dir.path().join("hostile.wasm");
    fs::write(&file, guest::component(bodies::SPIN)).unwrap();
    let limits = "cpu = \"1s\"\ntimeout = \"60s\"\nconcurrency = 4";
    let spec = Manifest::new(&manifest(&[("hostile", &file, limits)]));
    let host = Glovebox::new("up")
        .option("--from", &spec.path)
        .on_one_core()
        .serve();
    let client = host.client();
    let mut times = Vec::new();
    thread::scope(|scope| {
        let loops: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                scope.spawn(move || client.call("hostile").error(504, "cpu_limit"))
            })
            .collect();
        while !loops.iter().all(thread::ScopedJoinHandle::is_finished) {
            for path in ["/healthz", "/v2/health/live", "/metrics"] {
                let start = Instant::now();
                assert_eq!(client.get(path).status, 200);
                times.push(start.elapsed());
            }
            pause();
        }
    });
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{} probes: median {median:?}, worst {worst:?}", times.len());
    assert!(times.len() >= 12, "the loops were over at once");
    assert!(median < Duration::from_millis(100), "{median:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert_eq!(client.requests("hostile", "cpu_limit"), 4.0);
}
