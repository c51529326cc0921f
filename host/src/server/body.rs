//! A request's body: refused by its headers, or read within its limits of size and pace.

use axum::extract::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::CONTENT_ENCODING;
use std::time::Instant;
use tokio::time::timeout_at;

use super::pace::Transfer;
use crate::error::RequestError;
use crate::limits;
use crate::text;

/// Refuses by the headers, before a permit is taken: a body that declares too much, or that is
/// compressed and could be of any size.
pub(super) fn check(request: &Request, max_bytes: u64) -> Result<(), RequestError> {
    for coding in request.headers().get_all(CONTENT_ENCODING) {
        if !coding.as_bytes().eq_ignore_ascii_case(b"identity") {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            return Err(RequestError::UnsupportedMedia(format!(
                "content-encoding {:?} is not supported; send the body as it is",
                text::escape(&coding)
            )));
        }
    }
    match request.body().size_hint().exact() {
        Some(length) if length > max_bytes => Err(too_large(max_bytes)),
        _ => Ok(()),
    }
}

/// The whole body. Memory grows with what has arrived, whatever length is declared.
pub(super) async fn read(
    request: Request,
    max_bytes: u64,
    deadline: Instant,
) -> Result<Bytes, RequestError> {
    let most = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut body = Limited::new(request.into_body(), most);
    let (mut bytes, mut transfer) = (Vec::new(), Transfer::new(limits::BODY_PACE));
    loop {
        let until = deadline.min(transfer.due());
        let frame = timeout_at(until.into(), body.frame())
            .await
            .map_err(|_| RequestError::SlowBody)?;
        let Some(frame) = frame else {
            return Ok(bytes.into());
        };
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => too_large(max_bytes),
            false => RequestError::InvalidRequest("the body broke off".into()),
        })?;
        if let Some(data) = frame.data_ref() {
            transfer.moved(data.len());
            bytes.extend_from_slice(data);
        }
    }
}

fn too_large(max_bytes: u64) -> RequestError {
    RequestError::TooLarge(format!(
        "the body is larger than {}",
        limits::Bytes(max_bytes)
    ))
}
