//! HTTP/2 with prior knowledge, frame by frame.

use std::io::{self, Read, Write};
use std::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;
/// What hyper writes into its pings; an answer repeats it.
pub(crate) const PING_OF_HYPER: &[u8] = b"\x3b\x7c\xdb\x7a\x0b\x87\x16\xb4";
/// What GOAWAY says to a client that asks too much.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
/// `:method GET` and `:method POST` in the static table of HPACK.
pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;
/// `:status 200` in the same table.
const STATUS_OK: u8 = 0x88;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error that a GOAWAY or RST_STREAM gives as its reason.
    pub(crate) fn reason(&self) -> u32 {
        let at = match self.kind {
            GOAWAY => 4,
            _ => 0,
        };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// The preface and settings: identifier and value of each.
pub(crate) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(&mut bytes, SETTINGS, 0, 0, &payload);
    bytes
}

/// The header block of a request without a body type.
pub(crate) fn headers(method: u8, path: &str) -> Vec<u8> {
    // :scheme http; :path and :authority as literals that are not indexed.
    let mut block = vec![method, 0x86];
    for (name, value) in [(4, path), (1, "glovebox")] {
        block.extend([name, value.len() as u8]);
        block.extend(value.as_bytes());
    }
    block
}

pub(crate) fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// The next frame, or why there is none.
pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let [a, b, c, kind, flags, d, e, f, g] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload)?;
    Ok(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([d, e, f, g]),
        payload,
    })
}

/// Asks for a path on stream 1; the body of a 200.
pub(crate) fn get(stream: &mut TcpStream, path: &str) -> Vec<u8> {
    let mut request = hello(&[]);
    let flags = END_STREAM | END_HEADERS;
    frame(&mut request, HEADERS, flags, 1, &headers(GET, path));
    stream.write_all(&request).expect("it reads");
    body(stream)
}

/// The body of the 200 that comes next.
pub(crate) fn body(stream: &mut TcpStream) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let frame = read(stream).expect("a whole frame");
        match frame.kind {
            HEADERS => assert_eq!(frame.payload.first(), Some(&STATUS_OK)),
            DATA => body.extend(frame.payload),
            _ => continue,
        }
        if frame.flags & END_STREAM != 0 {
            return body;
        }
    }
}
