//! An inference over REST: headers, body, codec, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use glovebox_protocol::rest::{self, Forms, HEADER_LENGTH};
use glovebox_protocol::{Error, InferResponse};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::answer::{self, REQUEST_ID};
use super::body;
use super::coding::Coding;
use super::inference::Inference;
use super::state::State;
use crate::admission::{Memory, Permit};
use crate::error::RequestError;
use crate::limits;
use crate::sandbox::bindings::Media;

/// Which of a model's functions is called.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Tensors.
    Infer,
    /// Media.
    Predict,
}

/// What the headers of a request say of its body and of its answer's.
struct Wishes {
    content_type: Option<HeaderValue>,
    /// How the body is compressed.
    coding: Option<Coding>,
    /// The length of the JSON before binary tensors.
    header_length: Option<usize>,
    /// How the answer may be compressed.
    accepted: Option<Coding>,
}

/// The body of an answer, before it is compressed.
struct Answer {
    content_type: HeaderValue,
    body: Vec<u8>,
    header_length: Option<usize>,
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
    let wishes = Wishes::read(request.headers())?;
    body::check_length(&request, most)?;
    let permit = match inference.admit(state).await {
        Ok(permit) => permit,
        Err(error) => {
            body::discard(request).await;
            return Err(error);
        }
    };
    let memory = permit.memory();
    let mut body = body::read(request.into_body(), most, inference.deadline()).await?;
    if let Some(coding) = wishes.coding {
        // Few bytes may become many.
        let decoded = inference.reading(|| away(|| coding.decode(&body, most)))?;
        body = decoded.into();
    }
    let answer = match kind {
        Kind::Infer => infer(inference, body, wishes.header_length, permit).await?,
        Kind::Predict => predict(inference, wishes.content_type, body, permit).await?,
    };
    Ok(inference.writing(|| respond(answer, wishes.accepted, memory)))
}

async fn infer(
    inference: &mut Inference,
    body: Bytes,
    header_length: Option<usize>,
    permit: Permit,
) -> Result<Answer, RequestError> {
    let model = inference.shared_model();
    let (request, forms) = inference.reading(|| {
        heavy(body.len(), || {
            rest::read_request(&body, header_length, &model.signature)
        })
    })?;
    drop(body);
    let response = inference.infer(request, permit).await?;
    inference.writing(|| {
        let lengths = response.outputs.iter().map(|tensor| tensor.data.len());
        heavy(lengths.sum(), || write(response, &forms, model.labels()))
    })
}

async fn predict(
    inference: &mut Inference,
    content_type: Option<HeaderValue>,
    body: Bytes,
    permit: Permit,
) -> Result<Answer, RequestError> {
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
    let media = Media {
        content_type: content_type
            .unwrap_or("application/octet-stream")
            .to_owned(),
        body: body.into(),
    };
    let Media { content_type, body } = inference.predict(media, permit).await?;
    Ok(Answer {
        content_type: HeaderValue::from_str(&content_type).map_err(|_| RequestError::BAD_OUTPUT)?,
        body,
        header_length: None,
    })
}

/// What JSON cannot carry, or has no classes, the client may ask for in another form; the rest is the
/// model's fault.
fn write(
    mut response: InferResponse,
    forms: &Forms,
    labels: &[String],
) -> Result<Answer, RequestError> {
    forms.classify(&mut response, labels)?;
    let written = rest::write_response(&response, forms).map_err(|error| match error {
        Error::NoJsonForm { .. } | Error::NotText { .. } => error.into(),
        _ => RequestError::BAD_OUTPUT,
    })?;
    Ok(Answer {
        content_type: HeaderValue::from_static(written.content_type()),
        header_length: written.header_length,
        body: written.body,
    })
}

fn respond(answer: Answer, accepted: Option<Coding>, memory: Arc<Memory>) -> Response {
    let Answer {
        content_type,
        body,
        header_length,
    } = answer;
    let coding = accepted.filter(|_| is_worth_compressing(&content_type, &body));
    let compressed = coding.and_then(|coding| {
        let room = spare(&memory, body.len());
        Some((coding, heavy(body.len(), || coding.encode(&body, room))?))
    });
    let (coding, body) = match compressed {
        Some((coding, compressed)) => (Some(coding), compressed),
        None => (None, body),
    };
    let mut response = answer::of_model(content_type, body, memory);
    let headers = response.headers_mut();
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, coding.header());
    }
    if let Some(length) = header_length {
        headers.insert(HEADER_LENGTH, length.into());
    }
    response
}

/// What compressing an answer may take: by now the request has nothing else of its memory but the
/// answer. Nothing if its instance is still there.
fn spare(memory: &Arc<Memory>, answer: usize) -> usize {
    match Arc::strong_count(memory) {
        1 => usize::try_from(memory.size().0)
            .unwrap_or(usize::MAX)
            .saturating_sub(answer),
        _ => 0,
    }
}

/// Small answers fit into one packet; pictures and the like are compressed already.
fn is_worth_compressing(content_type: &HeaderValue, body: &[u8]) -> bool {
    let kinds = ["application/json", "application/octet-stream", "text/"];
    let is = |kind: &str| content_type.as_bytes().starts_with(kind.as_bytes());
    body.len() > limits::PLAIN_BYTES && kinds.into_iter().any(is)
}

impl Wishes {
    fn read(headers: &HeaderMap) -> Result<Self, RequestError> {
        let header_length = headers.get(HEADER_LENGTH);
        let header_length = header_length.map(|value| rest::header_length(value.as_bytes()));
        Ok(Self {
            content_type: headers.get(CONTENT_TYPE).cloned(),
            coding: Coding::of_request(headers)?,
            header_length: header_length.transpose()?,
            accepted: Coding::accepted(headers),
        })
    }
}

/// Work on so many bytes, off the network threads if they are many.
pub(super) fn heavy<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    match bytes < limits::HEAVY_BODY_BYTES {
        true => work(),
        false => away(work),
    }
}

/// Work off the network threads.
fn away<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
