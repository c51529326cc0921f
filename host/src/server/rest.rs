//! An inference over REST: headers, body, codec, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use glovebox_protocol::{InferRequest, InferResponse};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answer::{self, REQUEST_ID};
use super::body;
use super::inference::Inference;
use super::state::State;
use crate::admission::Permit;
use crate::error::RequestError;
use crate::limits;
use crate::sandbox::bindings::Media;

/// Which of a model's functions is called.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Tensors as JSON.
    Infer,
    /// Media.
    Predict,
}

/// Answers a request.
pub(super) async fn answer(
    state: Arc<State>,
    name: &str,
    version: Option<&str>,
    kind: Kind,
    request: Request,
) -> Response {
    let (accepted, id) = (Instant::now(), state.request_ids.next());
    let result = match state.registry.version(name, version) {
        Err(error) => {
            body::discard(request).await;
            Err(error)
        }
        Ok(model) => {
            let mut inference = Inference::new(&state, model, &id, accepted);
            let result = run(&mut inference, &state, kind, request).await;
            inference.end(&result);
            result
        }
    };
    let mut response = result.unwrap_or_else(|error| answer::error(&error, &id));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn run(
    inference: &mut Inference,
    state: &State,
    kind: Kind,
    request: Request,
) -> Result<Response, RequestError> {
    let most = inference.model().limits.body;
    body::check_encoding(&request)?;
    body::check_length(&request, most)?;
    let permit = match inference.admit(state).await {
        Ok(permit) => permit,
        Err(error) => {
            body::discard(request).await;
            return Err(error);
        }
    };
    let memory = permit.memory();
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let body = body::read(request.into_body(), most, inference.deadline()).await?;
    let answer = match kind {
        Kind::Infer => infer(inference, body, permit).await?,
        Kind::Predict => {
            let media = media(content_type.as_ref(), body);
            inference.predict(media, permit).await?
        }
    };
    let content_type =
        HeaderValue::from_str(&answer.content_type).map_err(|_| RequestError::BAD_OUTPUT)?;
    Ok(answer::of_model(content_type, answer.body, memory))
}

async fn infer(
    inference: &mut Inference,
    body: Bytes,
    permit: Permit,
) -> Result<Media, RequestError> {
    let request = heavy(body.len(), || InferRequest::from_json(&body))?;
    drop(body);
    write(&inference.infer(request, permit).await?)
}

fn media(content_type: Option<&HeaderValue>, body: Bytes) -> Media {
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream");
    Media {
        content_type: content_type.to_owned(),
        body: body.into(),
    }
}

/// A tensor that JSON cannot carry is the model's fault.
fn write(response: &InferResponse) -> Result<Media, RequestError> {
    let lengths = response.outputs.iter().map(|tensor| tensor.data.len());
    let json = heavy(lengths.sum(), || response.to_json());
    let body = json.map_err(|_| RequestError::BAD_OUTPUT)?;
    Ok(Media {
        content_type: answer::JSON.to_owned(),
        body,
    })
}

/// Work on so many bytes, off the network threads if they are many.
pub(super) fn heavy<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    match bytes < limits::HEAVY_BODY_BYTES {
        true => work(),
        false => tokio::task::block_in_place(work),
    }
}
