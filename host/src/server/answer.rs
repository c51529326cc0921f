//! Answers of the server itself: JSON, and errors in the one form that they have.

use axum::body::Body;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::error::RequestError;

/// The header that names a request in answers and logs.
pub(super) const REQUEST_ID: &str = "x-request-id";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: String,
    code: &'static str,
    request_id: &'a str,
}

/// 200 with a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of_json(bytes),
        Err(_) => error(&RequestError::Internal, ""),
    }
}

/// 200 with JSON that is already written.
pub(super) fn bytes_of_json(bytes: Vec<u8>) -> Response {
    with_type(StatusCode::OK, JSON, bytes)
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
    let body = ErrorBody {
        error: error.to_string(),
        code,
        request_id,
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = with_type(status, JSON, body);
    if error.is_transient() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
