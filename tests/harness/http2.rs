//! HTTP/2 with prior knowledge: as much of it as one GET needs.

use std::io::{Read, Write};
use std::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status 200` in the static table of HPACK.
const STATUS_OK: u8 = 0x88;

/// Asks for a path on stream 1; the body of a 200.
pub(crate) fn get(stream: &mut TcpStream, path: &str) -> Vec<u8> {
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut request, SETTINGS, 0, 0, &[]);
    // :method GET, :scheme http, :path and :authority as literals that are not indexed.
    let mut headers = vec![0x82, 0x86];
    for (name, value) in [(4, path), (1, "glovebox")] {
        headers.extend([name, value.len() as u8]);
        headers.extend(value.as_bytes());
    }
    frame(&mut request, HEADERS, END_STREAM | END_HEADERS, 1, &headers);
    stream.write_all(&request).expect("it reads");
    let mut body = Vec::new();
    loop {
        let (kind, flags, payload) = read_frame(stream);
        match kind {
            HEADERS => assert_eq!(payload.first(), Some(&STATUS_OK)),
            DATA => body.extend(payload),
            _ => continue,
        }
        if flags & END_STREAM != 0 {
            return body;
        }
    }
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

fn read_frame(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    let [a, b, c, kind, flags, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).expect("a whole frame");
    (kind, flags, payload)
}
