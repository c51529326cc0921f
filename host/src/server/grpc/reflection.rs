//! Reflection: what services there are, for clients that have no description of them.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::stream;
use glovebox_grpc::DESCRIPTORS;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::timeout_at;
use tonic_reflection::server::Builder;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::reply;
use crate::error::RequestError;
use crate::limits;

type Service = BoxCloneSyncService<Request, hyper::Response<tonic::body::Body>, Infallible>;

/// Made once: it decodes all descriptions. None if they are none, which a test would notice.
static V1: LazyLock<Option<Service>> = LazyLock::new(|| {
    let service = builder().build_v1().ok()?;
    let most = limits::GRPC_MESSAGE_BYTES.0 as usize;
    Some(Service::new(service.max_decoding_message_size(most)))
});
/// The version before, which older clients ask for.
static V1_ALPHA: LazyLock<Option<Service>> = LazyLock::new(|| {
    let service = builder().build_v1alpha().ok()?;
    let most = limits::GRPC_MESSAGE_BYTES.0 as usize;
    Some(Service::new(service.max_decoding_message_size(most)))
});

fn builder() -> Builder<'static> {
    Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS)
}

/// Answers; the whole conversation has as much time as the headers of a request.
pub(super) async fn answer(request: Request) -> Response {
    let service = match request.uri().path().starts_with("/grpc.reflection.v1.") {
        true => &V1,
        false => &V1_ALPHA,
    };
    let Some(service) = service.as_ref() else {
        return reply::refusal(&RequestError::INTERNAL, "");
    };
    let until = Instant::now() + limits::HEADER_TIME;
    let request = request.map(|body| ending(body, until));
    let Ok(response) = service.clone().oneshot(request).await;
    response.map(Body::new)
}

/// The body, which ends then at the latest.
fn ending(body: Body, until: Instant) -> Body {
    let frames = stream::unfold(body, move |mut body| async move {
        let frame = timeout_at(until.into(), body.frame()).await.ok()??;
        Some((frame, body))
    });
    Body::new(StreamBody::new(frames))
}
