//! A request's body: refused by its headers, or read within its limits of size and pace.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use glovebox_protocol::rest::Refusal;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::EXPECT;
use tokio::time::{timeout, timeout_at};

use super::pace::Transfer;
use crate::error::RequestError;
use crate::limits::{self, Bytes};

/// Refuses by the headers a body that declares too much.
pub(super) fn check_length(request: &Request, most: Bytes) -> Result<(), RequestError> {
    match request.body().size_hint().exact() {
        Some(length) if length > most.0 => Err(Refusal::body_too_large(most).into()),
        _ => Ok(()),
    }
}

/// The whole body. Memory grows with what has arrived, whatever length is declared, in one buffer:
/// a list of what arrived would take more for many small pieces than the body has.
pub(super) async fn read(
    body: Body,
    most: Bytes,
    deadline: Instant,
) -> Result<bytes::Bytes, RequestError> {
    let size = usize::try_from(most.0).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, size);
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
            true => Refusal::body_too_large(most),
            false => Refusal::body_broke_off(),
        })?;
        if let Some(data) = frame.data_ref() {
            transfer.moved(data.len());
            bytes.extend_from_slice(data);
        }
    }
}

/// Takes what a refused request still sends, if it is little, and drops it: a connection that is
/// closed over bytes that nobody has read is reset, and its client may never see the answer.
pub(super) async fn discard(request: Request) {
    let length = request.body().size_hint().exact();
    let is_little = length.is_some_and(|length| length <= limits::DISCARD_BYTES);
    // Who asks whether to send it has not sent it.
    if !is_little || request.headers().contains_key(EXPECT) {
        return;
    }
    let mut body = request.into_body();
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    // Who is slower than this gets the answer all the same.
    let _ = timeout(limits::DISCARD_TIME, all).await;
}
