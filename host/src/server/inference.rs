//! One inference over HTTP: permit, body, codec, sandbox, record.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use glovebox_protocol::{InferRequest, InferResponse};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answer::{self, REQUEST_ID};
use super::body;
use super::state::State;
use crate::admission::Permit;
use crate::error::RequestError;
use crate::limits;
use crate::model::Model;
use crate::sandbox::bindings::Media;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::invoke::{Fault, Finished, Usage};
use crate::telemetry::Record;
use crate::text;

/// Which of a model's functions is called.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Tensors as JSON.
    Infer,
    /// Media.
    Predict,
}

/// A request for a model that exists.
struct Inference {
    model: Arc<Model>,
    kind: Kind,
    id: String,
    accepted: Instant,
}

/// Answers a request and leaves exactly one record of it.
pub(super) async fn answer(
    state: Arc<State>,
    name: &str,
    version: Option<&str>,
    kind: Kind,
    request: Request,
) -> Response {
    let (accepted, id) = (Instant::now(), state.request_ids.next());
    let mut response = match state.registry.version(name, version) {
        Err(error) => {
            body::discard(request).await;
            answer::error(&error, &id)
        }
        Ok(model) => {
            let inference = Inference {
                model: Arc::clone(model),
                kind,
                id: id.clone(),
                accepted,
            };
            let metrics = Arc::clone(&state.metrics);
            let mut record = Record::new(metrics, &model.name, &id, accepted);
            let result = inference.run(&state, request, &mut record).await;
            record.outcome(
                result
                    .as_ref()
                    .map_or_else(|error| error.code().0, |_| "ok"),
            );
            result.unwrap_or_else(|error| answer::error(&error, &id))
        }
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl Inference {
    async fn run(
        &self,
        state: &State,
        request: Request,
        record: &mut Record,
    ) -> Result<Response, RequestError> {
        let (limits, gate) = (&self.model.limits, &self.model.gate);
        let tenant = &self.model.tenant.name;
        let deadline = self.accepted + limits.timeout;
        body::check_encoding(&request)?;
        body::check_length(&request, limits.body)?;
        let permit = match gate.admit(&state.admission, tenant, deadline).await {
            Ok(permit) => permit,
            Err(error) => {
                body::discard(request).await;
                return Err(error);
            }
        };
        let memory = permit.memory();
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let body = body::read(request.into_body(), limits.body, deadline).await?;
        let answer = match self.kind {
            Kind::Infer => self.infer(body, deadline, permit, record).await?,
            Kind::Predict => {
                self.predict(body, content_type, deadline, permit, record)
                    .await?
            }
        };
        let content_type =
            HeaderValue::from_str(&answer.content_type).map_err(|_| RequestError::BAD_OUTPUT)?;
        Ok(answer::of_model(content_type, answer.body, memory))
    }

    async fn infer(
        &self,
        body: Bytes,
        deadline: Instant,
        permit: Permit,
        record: &mut Record,
    ) -> Result<Media, RequestError> {
        let request = heavy(body.len(), || InferRequest::from_json(&body))?;
        drop(body);
        self.model.signature.check(&request)?;
        let InferRequest {
            id,
            inputs,
            outputs,
            ..
        } = request;
        match self
            .call(Call::Infer(inputs, outputs), deadline, permit, record)
            .await?
        {
            Answer::Tensors(outputs) => self.tensors(id, outputs),
            _ => Err(RequestError::INTERNAL),
        }
    }

    async fn predict(
        &self,
        body: Bytes,
        content_type: Option<HeaderValue>,
        deadline: Instant,
        permit: Permit,
        record: &mut Record,
    ) -> Result<Media, RequestError> {
        let content_type = content_type
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or("application/octet-stream");
        let media = Media {
            content_type: content_type.to_owned(),
            body: body.into(),
        };
        match self
            .call(Call::Predict(media), deadline, permit, record)
            .await?
        {
            Answer::Media(media) => Ok(media),
            _ => Err(RequestError::INTERNAL),
        }
    }

    async fn call(
        &self,
        call: Call,
        deadline: Instant,
        permit: Permit,
        record: &mut Record,
    ) -> Result<Answer, RequestError> {
        let loaded = self.model.loaded(deadline).await?;
        let held = (permit, Arc::clone(&loaded));
        let Finished { outcome, usage } = loaded.function.invoke(call, deadline, held).await;
        record.usage(usage);
        outcome.map_err(|fault| {
            self.log(&fault, &usage);
            fault.into()
        })
    }

    /// A tensor that JSON cannot carry is the model's fault, as is one that it did not declare so.
    fn tensors(
        &self,
        id: Option<String>,
        outputs: Vec<glovebox_protocol::Tensor>,
    ) -> Result<Media, RequestError> {
        let is_declared = |tensor| self.model.signature.declares(tensor);
        if !outputs.iter().all(is_declared) {
            return Err(RequestError::BAD_OUTPUT);
        }
        let model_version = self.model.version().map(str::to_owned);
        let response = InferResponse {
            model_name: self.model.name.clone(),
            model_version,
            id,
            outputs,
        };
        let bytes = response
            .outputs
            .iter()
            .map(|tensor| tensor.data.len())
            .sum();
        let json = heavy(bytes, || response.to_json());
        let body = json.map_err(|_| RequestError::BAD_OUTPUT)?;
        Ok(Media {
            content_type: answer::JSON.to_owned(),
            body,
        })
    }

    fn log(&self, fault: &Fault, usage: &Usage) {
        let (model, request_id) = (self.model.name.as_str(), self.id.as_str());
        let (fault, cpu_ms) = (
            text::escape(&fault.to_string()),
            usage.cpu.as_millis() as u64,
        );
        tracing::info!(
            model,
            request_id,
            fault,
            cpu_ms,
            "a request failed in the sandbox"
        );
    }
}

/// Work on so many bytes, off the network threads if they are many.
fn heavy<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    match bytes < limits::HEAVY_BODY_BYTES {
        true => work(),
        false => tokio::task::block_in_place(work),
    }
}
