//! Answers of the server itself: JSON, and errors in the one form that they have.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use glovebox_protocol::rest::error_json;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::admission::Memory;
use crate::error::RequestError;
use crate::limits;

/// The header that names a request in answers and logs.
pub(super) const REQUEST_ID: &str = "x-request-id";
pub(super) const JSON: &str = "application/json";

/// An answer with the memory that is reserved for it, until its last byte is with the system.
struct Reserved {
    bytes: Vec<u8>,
    _memory: Arc<Memory>,
}

impl AsRef<[u8]> for Reserved {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// 200 with a model's answer.
pub(super) fn of_model(content_type: HeaderValue, bytes: Vec<u8>, memory: Arc<Memory>) -> Response {
    with_type(StatusCode::OK, content_type, reserved(bytes, memory))
}

/// A model's answer. Of the request's memory it keeps only what it needs itself: a client that takes
/// its time holds that, and not a whole request.
pub(super) fn reserved(mut bytes: Vec<u8>, memory: Arc<Memory>) -> Bytes {
    bytes.shrink_to_fit();
    let size = limits::Bytes(bytes.len() as u64);
    let memory = shrink(memory, size);
    Bytes::from_owner(Reserved {
        bytes,
        _memory: memory,
    })
}

/// By now the instance is gone, so nobody else has this memory. If somebody has, it all stays.
fn shrink(mut memory: Arc<Memory>, size: limits::Bytes) -> Arc<Memory> {
    if let Some(memory) = Arc::get_mut(&mut memory) {
        memory.keep(size);
    }
    memory
}

/// 200 with a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(StatusCode::OK, HeaderValue::from_static(JSON), bytes),
        Err(_) => error(&RequestError::INTERNAL, ""),
    }
}

/// Any body with its type.
pub(super) fn with_type(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    // Answers of models are data, whatever a guest says that they are.
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// An error in the form of the protocol, with a code for scripts.
pub(super) fn error(error: &RequestError, request_id: &str) -> Response {
    let (code, status) = error.code();
    let body = error_json(&error.to_string(), code, Some(request_id));
    let mut response = with_type(status, HeaderValue::from_static(JSON), body);
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}
