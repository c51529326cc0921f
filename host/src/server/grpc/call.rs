//! One call of a method: its messages, its client's deadline, its id.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use hyper::HeaderMap;
use prost::Message;

use super::message::{CODING, Messages};
use super::{deadline, reply};
use crate::error::RequestError;
use crate::limits;
use crate::server::activity::Pause;
use crate::server::coding::Coding;
use crate::server::state::State;

const UNKNOWN_CODING: RequestError = RequestError::Unsupported(
    "this grpc-encoding is not here; use gzip or deflate, or send messages as they are",
);

/// A call that has been accepted.
pub(super) struct Call {
    pub(super) state: Arc<State>,
    pub(super) id: String,
    pub(super) accepted: Instant,
    /// When the client gives up.
    pub(super) deadline: Option<Instant>,
    pub(super) messages: Messages,
    /// How the client compresses; answers are compressed so too.
    pub(super) coding: Option<Coding>,
    /// The metadata that the client sent.
    pub(super) headers: HeaderMap,
    pause: Option<Pause>,
}

impl Call {
    /// Reads the headers. The error is an answer that refuses the call.
    #[allow(
        clippy::result_large_err,
        reason = "an answer is large, and it is the end of the call"
    )]
    pub(super) fn new(state: Arc<State>, request: Request) -> Result<Self, Response> {
        let (id, accepted) = (state.request_ids.next(), Instant::now());
        let (parts, body) = request.into_parts();
        let refuse = |error: RequestError| reply::refusal(&error, &id);
        let coding = coding(&parts.headers).map_err(refuse)?;
        let deadline = deadline::read(&parts.headers, accepted).map_err(refuse)?;
        Ok(Self {
            messages: Messages::new(body, coding),
            pause: parts.extensions.get().cloned(),
            headers: parts.headers,
            state,
            id,
            accepted,
            deadline,
            coding,
        })
    }

    /// Until when the client waits, or until `otherwise`.
    pub(super) fn until(&self, otherwise: Instant) -> Instant {
        self.deadline
            .map_or(otherwise, |deadline| deadline.min(otherwise))
    }

    /// Until when the beginning of its first message must be there: it is what headers are to REST.
    pub(super) fn beginning_until(&self) -> Instant {
        self.until(self.accepted + limits::HEADER_TIME)
    }

    /// The call is a stream, which waits for its client.
    pub(super) fn pause(&self) {
        self.pause.as_ref().inspect(|pause| pause.begin());
    }

    /// It waits no more.
    pub(super) fn resume(&self) {
        self.pause.as_ref().inspect(|pause| pause.end());
    }

    /// The answer of a method with one small message each way.
    pub(super) async fn unary<Q: Message + Default, A: Message>(
        mut self,
        answer: impl FnOnce(&State, Q) -> Result<A, RequestError>,
    ) -> Response {
        let question = self.question().await;
        let answer = question.and_then(|question| answer(&self.state, question));
        self.answer(answer)
    }

    /// The only message, which is small.
    pub(super) async fn question<Q: Message + Default>(&mut self) -> Result<Q, RequestError> {
        let until = self.beginning_until();
        let message = self.messages.only(until).await?;
        Ok(Q::decode(message.as_slice()).map_err(|_| super::field::Malformed)?)
    }

    /// One message, or an error.
    pub(super) fn answer<A: Message>(&self, answer: Result<A, RequestError>) -> Response {
        match answer.and_then(|answer| reply::frame(&answer, self.coding)) {
            Ok(frame) => reply::message(Bytes::from(frame), self.coding, &self.id),
            Err(error) => self.refuse(&error),
        }
    }

    /// An error alone.
    pub(super) fn refuse(&self, error: &RequestError) -> Response {
        reply::refusal(error, &self.id)
    }
}

fn coding(headers: &HeaderMap) -> Result<Option<Coding>, RequestError> {
    match headers.get(CODING).map(|name| name.as_bytes()) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(Coding::Gzip)),
        Some(b"deflate") => Ok(Some(Coding::Deflate)),
        Some(_) => Err(UNKNOWN_CODING),
    }
}
