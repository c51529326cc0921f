//! `ModelStreamInfer`: many inferences on one stream, one after the other.
//!
//! The next message is read when the answer to the one before has been taken, so a stream holds no
//! more than one request, and while it waits for its client it holds nothing.

use std::time::Instant;

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use glovebox_grpc::inference as proto;
use hyper::body::Frame;

use super::call::Call;
use super::infer;
use super::reply::{self, Piece};
use crate::error::RequestError;
use crate::limits;

/// Answers a call: the answer begins at once.
pub(super) fn answer(call: Call) -> Response {
    let (coding, id) = (call.coding, call.id.clone());
    let pieces = stream::unfold(Some(call), |call| async {
        let mut call = call?;
        let end = match next(&mut call).await {
            Ok(Some(frame)) => return Some((Ok(Frame::data(frame)), Some(call))),
            Ok(None) => reply::well(),
            Err(error) => reply::failure(&error),
        };
        let end: Piece = Ok(Frame::trailers(end));
        Some((end, None))
    });
    reply::pieces_of(pieces, coding, &id)
}

/// The answer to the next message; an error ends the stream.
async fn next(call: &mut Call) -> Result<Option<Bytes>, RequestError> {
    if !is_more(call).await? {
        return Ok(None);
    }
    let accepted = Instant::now();
    let until = call.until(accepted + limits::HEADER_TIME);
    let Some(beginning) = call.messages.begin(until).await? else {
        return Ok(None);
    };
    match infer::one(call, &beginning, accepted, answered).await {
        Ok(frame) => Ok(Some(frame)),
        Err(error) => {
            // The next message can be read only if the rest of this one comes.
            let until = call.until(accepted + limits::BODY_PACE.whole);
            call.messages.skip(until).await?;
            reply::frame(&failed(&error), call.coding).map(|frame| Some(frame.into()))
        }
    }
}

/// Waits for the client, but not for ever, and not when the host wants to stop.
async fn is_more(call: &mut Call) -> Result<bool, RequestError> {
    call.pause();
    let until = call.until(Instant::now() + limits::GRPC_IDLE_TIME);
    let state = call.state.clone();
    let more = tokio::select! {
        more = call.messages.wait(until) => more,
        () = state.readiness.stopped() => Err(RequestError::DRAINING),
    };
    call.resume();
    more
}

fn answered(response: proto::ModelInferResponse) -> proto::ModelStreamInferResponse {
    proto::ModelStreamInferResponse {
        error_message: String::new(),
        infer_response: Some(response),
    }
}

/// There is no other place for the code: the stream goes on.
fn failed(error: &RequestError) -> proto::ModelStreamInferResponse {
    proto::ModelStreamInferResponse {
        error_message: format!("{}: {error}", error.code().0),
        infer_response: None,
    }
}
