//! Compressed bodies: of requests, also hostile ones, and of answers.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::json;

use crate::harness::client::{Answer, Client};
use crate::harness::files::{Manifest, digits, manifest};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;

const INFER: &str = "/v2/models/digits/infer";
const JSON: (&str, &str) = ("content-type", "application/json");

fn up(limits: &str) -> Host {
    let models = [("digits", digits(), limits)];
    Manifest::new(&manifest(&models)).up().serve()
}

/// So many black pictures.
fn pictures(count: usize) -> Vec<u8> {
    let data = vec![0; 64 * count];
    let image = json!({
        "name": "image", "datatype": "FP32", "shape": [count, 1, 8, 8], "data": data,
    });
    json!({ "inputs": [image] }).to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn send(client: &Client, coding: &str, body: &[u8]) -> Answer {
    client.send(INFER, &[JSON, ("content-encoding", coding)], body)
}

#[test]
fn a_compressed_request_is_read_as_it_was() {
    let host = up("");
    let client = host.client();
    let plain = client.post(INFER, JSON.1, &pictures(3)).ok();
    for (coding, body) in [
        ("gzip", gzip(&pictures(3))),
        ("GZIP", gzip(&pictures(3))),
        ("x-gzip", gzip(&pictures(3))),
        ("deflate", zlib(&pictures(3))),
        // Without the wrapper that HTTP wants, as some clients send it.
        ("deflate", deflate(&pictures(3))),
    ] {
        assert_eq!(send(&client, coding, &body).ok(), plain, "{coding}");
    }
    // Two members in one body are one text.
    let body = pictures(3);
    let (one, other) = body.split_at(40);
    let members = [gzip(one), gzip(other)].concat();
    assert_eq!(send(&client, "gzip", &members).ok(), plain);
}

#[test]
fn a_binary_request_may_be_compressed_too() {
    let host = up("");
    let client = host.client();
    let header = r#"{"inputs":[{"name":"image","datatype":"FP32","shape":[1,1,8,8],"parameters":{"binary_data_size":256}}]}"#;
    let body = gzip(&[header.as_bytes(), &[0; 256]].concat());
    let length = header.len().to_string();
    let headers = [
        ("inference-header-content-length", length.as_str()),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(
        client.send(INFER, &headers, &body).ok()["model_name"],
        "digits"
    );
}

#[test]
fn a_body_that_is_too_large_when_it_is_unpacked_is_refused() {
    let host = up("body = \"1MiB\"\nmemory = \"16MiB\"\noutput = \"1MiB\"");
    let client = host.client();
    let before = host.resident_bytes();
    let zeros = vec![b' '; 256 << 20];
    for (coding, bomb) in [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros))] {
        assert!(bomb.len() < 1 << 20);
        for _ in 0..4 {
            send(&client, coding, &bomb).error(413, "too_large");
        }
    }
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown}");
    // A bomb in a bomb is refused by name.
    let twice = gzip(&gzip(&zeros));
    let answer = client.send(
        INFER,
        &[
            JSON,
            ("content-encoding", "gzip"),
            ("content-encoding", "gzip"),
        ],
        &twice,
    );
    answer.error(415, "unsupported_media");
    // Up to the limit and not a byte more.
    let mut body = pictures(1);
    body.resize(1 << 20, b' ');
    assert_eq!(send(&client, "gzip", &gzip(&body)).status, 200);
    body.push(b' ');
    send(&client, "gzip", &gzip(&body)).error(413, "too_large");
    assert_eq!(client.requests("digits", "too_large"), 9.0);
}

#[test]
fn what_cannot_be_unpacked_is_refused() {
    let host = up("");
    let client = host.client();
    let whole = gzip(&pictures(3));
    let cut = &whole[..whole.len() - 9];
    let mut wrong = whole.clone();
    let end = wrong.len() - 5;
    wrong[end] ^= 1;
    let trailing = [zlib(&pictures(3)), b"more".to_vec()].concat();
    for (coding, body) in [
        ("gzip", b"" as &[u8]),
        ("gzip", b"plain text"),
        ("gzip", cut),
        ("gzip", &wrong),
        ("gzip", &[&whole as &[u8], b"more"].concat()),
        ("deflate", &whole),
        ("deflate", b"\x78\x9c"),
        ("deflate", &trailing),
    ] {
        send(&client, coding, body).error(400, "invalid_request");
    }
    assert_eq!(send(&client, "gzip", &whole).status, 200);
}

#[test]
fn an_answer_is_compressed_as_its_client_likes_it_best() {
    let host = up("");
    let client = host.client();
    let ask = |accept: &str, count: usize| {
        client.send(
            INFER,
            &[JSON, ("accept-encoding", accept)],
            &pictures(count),
        )
    };
    let plain = client.post(INFER, JSON.1, &pictures(50)).ok();
    let mut text = Vec::new();
    for accept in [
        "gzip",
        "deflate, gzip",
        "gzip;q=0.5",
        "deflate;q=0.4, gzip;q=0.5",
        "*",
        "br, *;q=0.1",
    ] {
        let answer = ask(accept, 50);
        assert_eq!(answer.header("content-encoding"), "gzip", "{accept}");
        text.clear();
        GzDecoder::new(&*answer.body)
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&text).unwrap(),
            plain
        );
        assert!(answer.body.len() < text.len());
    }
    for accept in ["deflate", "gzip;q=0.1, deflate", "gzip;q=0, *"] {
        let answer = ask(accept, 50);
        assert_eq!(answer.header("content-encoding"), "deflate", "{accept}");
        text.clear();
        ZlibDecoder::new(&*answer.body)
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&text).unwrap(),
            plain
        );
    }
    for accept in [
        "identity",
        "br",
        "gzip;q=0",
        "gzip;q=0.5, identity",
        "gzip;q=x",
        "gzip;q=7",
        "",
    ] {
        let answer = ask(accept, 50);
        assert_eq!(answer.header("content-encoding"), "", "{accept}");
        assert_eq!(answer.ok(), plain);
    }
    // A small one is smaller as it is.
    assert_eq!(ask("gzip", 1).header("content-encoding"), "");
}

behind_front! {
    a_compressed_request_is_read_as_it_was,
    a_binary_request_may_be_compressed_too,
    a_body_that_is_too_large_when_it_is_unpacked_is_refused,
    what_cannot_be_unpacked_is_refused,
    an_answer_is_compressed_as_its_client_likes_it_best,
}
