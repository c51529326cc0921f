//! What one connection of HTTP/2 may do: streams, frames and headers without end.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;

use crate::edge::{MOST_GROWTH, assert_serves, up};
use crate::harness::client::Client;
use crate::harness::http2::{self, Frame, frame};

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
