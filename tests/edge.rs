//! The HTTP edge, with real sockets: clients that are slow, silent, greedy or ambiguous. None of
//! them holds anything for long, and nobody else notices.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::host::Host;
use crate::harness::http2::{self, Frame, frame};
use crate::harness::wire::{Closed, allow_many_sockets, drip_until_closed, write_until_closed};
use crate::harness::{bodies, guest, media};

const POST: &str = "POST /v2/models/wine/infer HTTP/1.1\r\nhost: x\r\n";
/// What a client may make the host hold.
const MOST_GROWTH: u64 = 64 << 20;

fn up() -> Host {
    Glovebox::new("up").option("--from", wine()).serve()
}

#[track_caller]
fn assert_serves(client: &Client) {
    let record = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let answer = client.predict("wine", "application/json", &record);
    assert_eq!(answer.ok()["label"], "cultivar 1");
    assert_eq!(client.get("/healthz").status, 200);
}

// Slow clients.

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

/// Waits a moment as slow clients do: for an answer to nothing.
fn pause() {
    let (waiting, _other) = UnixStream::pair().unwrap();
    let time = Duration::from_millis(250);
    waiting.set_read_timeout(Some(time)).unwrap();
    (&waiting).read(&mut [0]).unwrap_err();
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

// HTTP/1.1.

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

// HTTP/2.

/// A connection on which HTTP/2 was begun.
fn http2_to(client: &Client) -> TcpStream {
    let mut stream = client.connect();
    stream.write_all(&http2::hello(&[])).unwrap();
    stream
}

/// Writes `flood`, or as much of it as the host takes, and reads until the host has closed the
/// connection or answered; all of its frames.
#[track_caller]
fn frames_after(mut stream: TcpStream, flood: &[u8]) -> Vec<Frame> {
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(flood));
        let mut frames = Vec::new();
        while let Ok(frame) = http2::read(&mut stream) {
            frames.push(frame);
        }
        frames
    })
}

#[track_caller]
fn assert_goaway(frames: &[Frame], reason: u32) {
    let goaway = frames.iter().find(|frame| frame.kind == http2::GOAWAY);
    assert_eq!(goaway.expect("the host says why").reason(), reason);
}

#[test]
fn http_2_settings_bound_what_one_client_may_send() {
    let host = up();
    let mut stream = http2_to(&host.client());
    let settings = http2::read(&mut stream).unwrap();
    assert_eq!(settings.kind, http2::SETTINGS);
    let has = |id: u16, value: u32| {
        let expected = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        assert!(
            settings
                .payload
                .chunks(6)
                .any(|setting| setting == expected),
            "{id}"
        );
    };
    // Streams, window of a stream, size of a frame, size of a header.
    has(3, 100);
    has(4, 64 << 10);
    has(5, 16 << 10);
    has(6, 16 << 10);
}

#[test]
fn streams_that_are_reset_at_once_end_their_connection() {
    let host = up();
    let before = host.resident_bytes();
    let headers = http2::headers(http2::POST, "/v2/models/wine/infer");
    let mut flood = Vec::new();
    for index in 0..10_000 {
        let stream = 2 * index + 1;
        frame(
            &mut flood,
            http2::HEADERS,
            http2::END_HEADERS,
            stream,
            &headers,
        );
        frame(
            &mut flood,
            http2::RST_STREAM,
            0,
            stream,
            &8_u32.to_be_bytes(),
        );
    }
    let frames = frames_after(http2_to(&host.client()), &flood);
    assert_goaway(&frames, http2::ENHANCE_YOUR_CALM);
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    assert_serves(&host.client());
}

#[test]
fn headers_that_never_end_end_their_connection() {
    let host = up();
    let before = host.resident_bytes();
    for piece in [&b""[..], &[0x82], &[0; 16 << 10]] {
        let mut flood = Vec::new();
        frame(
            &mut flood,
            http2::HEADERS,
            0,
            1,
            &http2::headers(http2::GET, "/healthz"),
        );
        for _ in 0..1000 {
            frame(&mut flood, http2::CONTINUATION, 0, 1, piece);
        }
        let frames = frames_after(http2_to(&host.client()), &flood);
        assert!(
            frames.iter().any(|frame| frame.kind == http2::GOAWAY),
            "{}",
            piece.len()
        );
    }
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    assert_serves(&host.client());
}

#[test]
fn frames_without_data_are_no_body() {
    let host = up();
    let before = host.resident_bytes();
    let mut stream = http2_to(&host.client());
    let mut start = Vec::new();
    let headers = http2::headers(http2::POST, "/v2/models/wine/infer");
    frame(&mut start, http2::HEADERS, http2::END_HEADERS, 1, &headers);
    stream.write_all(&start).unwrap();
    let mut empty = Vec::new();
    frame(&mut empty, http2::DATA, 0, 1, b"");
    let mut reader = stream.try_clone().unwrap();
    thread::scope(|scope| {
        // It ends when the host resets the stream, or closes the connection.
        let end = scope.spawn(move || {
            while let Ok(frame) = http2::read(&mut reader) {
                if [http2::RST_STREAM, http2::GOAWAY].contains(&frame.kind) {
                    break;
                }
            }
            let _ = reader.shutdown(Shutdown::Both);
        });
        let flood = empty.repeat(1000);
        while stream.write_all(&flood).is_ok() {}
        end.join().unwrap();
    });
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    assert_serves(&host.client());
    assert_eq!(host.client().requests("wine", "ok"), 1.0);
}

#[test]
fn more_streams_than_there_may_be_are_refused() {
    let host = up();
    let before = host.resident_bytes();
    let headers = http2::headers(http2::POST, "/v2/models/wine/infer");
    let mut flood = Vec::new();
    for index in 0..10_000 {
        frame(
            &mut flood,
            http2::HEADERS,
            http2::END_HEADERS,
            2 * index + 1,
            &headers,
        );
    }
    let mut stream = http2_to(&host.client());
    stream.write_all(&flood).unwrap();
    let mut refused = 0;
    while let Ok(frame) = http2::read(&mut stream) {
        // REFUSED_STREAM
        refused += usize::from(frame.kind == http2::RST_STREAM && frame.reason() == 7);
        // The others wait for their bodies, in vain, or for a permit.
        if refused >= 9000 || frame.kind == http2::GOAWAY {
            break;
        }
    }
    println!("{refused} of 10000 streams were refused");
    assert!(host.resident_bytes() < before + MOST_GROWTH);
    assert_serves(&host.client());
}

#[test]
fn an_http_2_header_that_is_too_large_is_refused() {
    let host = up();
    let mut headers = http2::headers(http2::GET, "/healthz");
    // Literals that are not indexed, of 125 bytes each.
    for _ in 0..200 {
        headers.extend([0, 1, b'x', 125]);
        headers.extend([b'x'; 125]);
    }
    let mut flood = Vec::new();
    let (first, rest) = headers.split_at(16 << 10);
    frame(&mut flood, http2::HEADERS, http2::END_STREAM, 1, first);
    frame(&mut flood, http2::CONTINUATION, http2::END_HEADERS, 1, rest);
    let mut stream = http2_to(&host.client());
    stream.write_all(&flood).unwrap();
    let refusal = loop {
        let frame = http2::read(&mut stream).expect("an answer");
        if frame.stream == 1 || frame.kind == http2::GOAWAY {
            break frame;
        }
    };
    // :status 431 is a literal with the name of entry 8; a reset says it too.
    let says_431 = refusal.payload.windows(3).any(|text| text == b"431");
    assert!(refusal.kind != http2::HEADERS || says_431 || refusal.payload[0] == 0x48);
    assert_serves(&host.client());
}

// One core.

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
