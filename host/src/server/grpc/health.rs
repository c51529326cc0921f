//! `grpc.health.v1`: what load balancers ask.

use std::time::Instant;

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use glovebox_grpc::SERVICE;
use glovebox_grpc::health::health_check_response::ServingStatus;
use glovebox_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use glovebox_protocol::rest::Refusal;
use hyper::body::Frame;
use prost::Message;
use tokio::time::timeout_at;

use super::call::Call;
use super::reply::{self, Piece};
use crate::error::RequestError;
use crate::limits;
use crate::server::state::State;

/// The state now.
pub(super) async fn check(call: Call) -> Response {
    call.unary(
        |state, request: HealthCheckRequest| match serving(state, &request) {
            ServingStatus::ServiceUnknown => Err(Refusal::unknown_path(&request.service).into()),
            status => Ok(HealthCheckResponse {
                status: status.into(),
            }),
        },
    )
    .await
}

/// The state now, and once more when it changes, which it does once: when draining begins. A stream
/// that has nothing to tell for a long time ends, and its client asks again.
pub(super) async fn watch(mut call: Call) -> Response {
    let until = call.beginning_until();
    let message = match call.messages.only(until).await {
        Ok(message) => message,
        Err(error) => return call.refuse(&error),
    };
    let Ok(request) = HealthCheckRequest::decode(message.as_slice()) else {
        return call.refuse(&super::field::Malformed.into());
    };
    let id = call.id.clone();
    let until = call.until(Instant::now() + limits::GRPC_IDLE_TIME);
    let watch = Watch {
        call,
        request,
        until,
        told: None,
    };
    let pieces = stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(frame) => Some((Ok(Frame::data(frame)), Some(watch))),
            Err(error) => {
                let end: Piece = Ok(Frame::trailers(reply::failure(&error)));
                Some((end, None))
            }
        }
    });
    reply::pieces_of(pieces, None, &id)
}

struct Watch {
    call: Call,
    request: HealthCheckRequest,
    until: Instant,
    told: Option<ServingStatus>,
}

impl Watch {
    /// What is to tell next; the error is the end.
    async fn next(&mut self) -> Result<Bytes, RequestError> {
        let state = &self.call.state;
        if self.told.is_some() {
            self.call.pause();
            let stopped = timeout_at(self.until.into(), state.readiness.stopped());
            stopped.await.map_err(|_| RequestError::Timeout)?;
            self.call.resume();
        }
        let status = serving(state, &self.request);
        if self.told == Some(status) {
            return Err(RequestError::DRAINING);
        }
        self.told = Some(status);
        let response = HealthCheckResponse {
            status: status.into(),
        };
        reply::frame(&response, None).map(Bytes::from)
    }
}

fn serving(state: &State, request: &HealthCheckRequest) -> ServingStatus {
    match request.service.as_str() {
        "" | SERVICE if state.readiness.is_ready() => ServingStatus::Serving,
        "" | SERVICE => ServingStatus::NotServing,
        _ => ServingStatus::ServiceUnknown,
    }
}
