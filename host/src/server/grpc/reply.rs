//! Answers: messages in frames, and the status behind them.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::StreamBody;
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::message::{ACCEPTED_CODINGS, CODING};
use crate::error::RequestError;
use crate::server::answer::REQUEST_ID;
use crate::server::coding::Coding;

/// The metadata that has the code which scripts can rely on, as `code` in a body of REST.
const CODE: &str = "glovebox-code";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A frame of an answer with a body.
pub(super) type Piece = Result<Frame<Bytes>, Infallible>;

/// A message with its length before it, compressed if its client has compressed its own.
pub(super) fn frame(
    message: &impl Message,
    coding: Option<Coding>,
) -> Result<Vec<u8>, RequestError> {
    let Some(coding) = coding else {
        let length = message.encoded_len();
        let mut frame = Vec::with_capacity(length.saturating_add(5));
        frame.extend(head(0, length)?);
        message.encode_raw(&mut frame);
        return Ok(frame);
    };
    let packed = coding
        .compress(&message.encode_to_vec())
        .map_err(|_| RequestError::INTERNAL)?;
    let mut frame = head(1, packed.len())?.to_vec();
    frame.extend(packed);
    Ok(frame)
}

fn head(flag: u8, length: usize) -> Result<[u8; 5], RequestError> {
    let length = u32::try_from(length).map_err(|_| RequestError::OutputTooLarge)?;
    let [a, b, c, d] = length.to_be_bytes();
    Ok([flag, a, b, c, d])
}

/// An answer of one message.
pub(super) fn message(frame: Bytes, coding: Option<Coding>, id: &str) -> Response {
    let pieces = [Ok(Frame::data(frame)), Ok(Frame::trailers(well()))];
    pieces_of(stream::iter(pieces), coding, id)
}

/// An answer of what a stream gives; its last piece must be a status.
pub(super) fn pieces_of(
    pieces: impl Stream<Item = Piece> + Send + 'static,
    coding: Option<Coding>,
    id: &str,
) -> Response {
    let mut response = Response::new(Body::new(StreamBody::new(pieces)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if let Some(coding) = coding {
        headers.insert(CODING, coding.header());
    }
    add_common(headers, id);
    response
}

/// An answer that is an error alone.
pub(super) fn refusal(error: &RequestError, id: &str) -> Response {
    let mut response = status(error).into_http::<Body>();
    add_common(response.headers_mut(), id);
    response
}

/// The end of an answer with which all is well.
pub(super) fn well() -> HeaderMap {
    trailers(&Status::ok(""))
}

/// The end of an answer that fails after it has begun.
pub(super) fn failure(error: &RequestError) -> HeaderMap {
    trailers(&status(error))
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // It fails for metadata that are no header, and these are ours.
    let _ = status.add_header(&mut trailers);
    trailers
}

fn status(error: &RequestError) -> Status {
    let mut metadata = HeaderMap::new();
    metadata.insert(CODE, HeaderValue::from_static(error.code().0));
    if let Some(seconds) = error.retry_after() {
        metadata.insert(RETRY_AFTER, seconds.into());
    }
    let code = tonic::Code::from_i32(error.grpc_code() as i32);
    Status::with_metadata(code, error.to_string(), MetadataMap::from_headers(metadata))
}

fn add_common(headers: &mut HeaderMap, id: &str) {
    let (name, codings) = ACCEPTED_CODINGS;
    headers.insert(name, HeaderValue::from_static(codings));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}
