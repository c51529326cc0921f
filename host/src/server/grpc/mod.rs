//! gRPC: the same models and the same inferences as over REST, in the messages of `glovebox-grpc`.
//!
//! Messages are read here and not by tonic, for it reads a whole message before anybody can ask whom
//! it is for. Here a request waits for its model's permit when its first few bytes have been read
//! ([`message`], [`infer`]), so that, as over REST, what a client sends is taken only when memory is
//! reserved for it. tonic writes statuses and serves reflection.

mod call;
mod deadline;
mod extension;
mod field;
mod health;
mod infer;
mod message;
mod method;
mod reflection;
mod reply;
mod stream;
mod tensor;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use glovebox_grpc::{HEALTH_SERVICE, SERVICE};
use hyper::Version;
use hyper::header::CONTENT_TYPE;

use super::state::State;
use crate::error::RequestError;
use call::Call;

/// The methods of this service are on paths of the form `/service/method`.
const REFLECTION_SERVICE: &str = "grpc.reflection.";
const NO_METHOD: RequestError =
    RequestError::Unsupported("this method is not here; reflection lists those that are");

/// Whether a path belongs to one of the services here; no manifest can take it.
pub(super) fn is_service(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let is_of = |service: &str| {
        path.strip_prefix(service)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_of(SERVICE) || is_of(HEALTH_SERVICE) || path.starts_with(REFLECTION_SERVICE)
}

/// Whether a request is one of gRPC, to whatever service.
pub(super) fn is_spoken(request: &Request) -> bool {
    let Some(content_type) = request.headers().get(CONTENT_TYPE) else {
        return false;
    };
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    // "application/grpc-web" is another protocol.
    let is_grpc = rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    is_grpc && request.version() == Version::HTTP_2
}

/// Answers a request of gRPC.
pub(super) async fn answer(state: Arc<State>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path.trim_start_matches('/').starts_with(REFLECTION_SERVICE) {
        return reflection::answer(request).await;
    }
    let call = match Call::new(state, request) {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    let method = |service| {
        path.strip_prefix('/')?
            .strip_prefix(service)?
            .strip_prefix('/')
    };
    match (method(SERVICE), method(HEALTH_SERVICE)) {
        (Some("ModelInfer"), _) => infer::answer(call).await,
        (Some("ModelStreamInfer"), _) => stream::answer(call),
        (Some(name), _) => method::answer(call, name).await,
        (_, Some("Check")) => health::check(call).await,
        (_, Some("Watch")) => health::watch(call).await,
        _ => call.refuse(&NO_METHOD),
    }
}
