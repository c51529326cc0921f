//! A request's headers and body: refused by its headers, or read within the limit.

use glovebox_protocol::rest::{self, Refusal};

use crate::bindings::wasi::http::types::IncomingRequest;
use crate::bindings::wasi::io::streams::{InputStream, StreamError};

/// The largest body: what Glovebox's own server takes unless told otherwise, so that a model does not
/// change with its host. With the tensors that it holds, it can take five times as much memory.
const BODY_MIB: usize = 16;
const BODY_BYTES: usize = BODY_MIB << 20;

/// What is asked for at once; hosts have little more at hand.
const PIECE_BYTES: u64 = 64 << 10;

/// The first value of a header, if it is visible ASCII.
pub(crate) fn header(request: &IncomingRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name).into_iter().next()?;
    let value = String::from_utf8(value).ok()?;
    is_header_value(&value).then_some(value)
}

/// Whether a text may be the value of a header.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// The whole body.
///
/// # Errors
/// It is compressed, larger than the limit, or breaks off.
pub(crate) fn read(request: &IncomingRequest) -> Result<Vec<u8>, Refusal> {
    for coding in request.headers().get("content-encoding") {
        rest::check_content_encoding(&coding)?;
    }
    let length = header(request, "content-length").and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(too_large());
    }
    let body = request.consume().map_err(|()| Refusal::Internal)?;
    let stream = body.stream().map_err(|()| Refusal::Internal)?;
    read_stream(&stream)
}

/// Memory grows with what has arrived, whatever length was declared.
fn read_stream(stream: &InputStream) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(PIECE_BYTES) {
            Ok(piece) if piece.len() > BODY_BYTES - bytes.len() => return Err(too_large()),
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(Refusal::body_broke_off()),
        }
    }
}

fn too_large() -> Refusal {
    Refusal::body_too_large(format_args!("{BODY_MIB} MiB"))
}
