//! `ModelInfer`: an inference over gRPC.
//!
//! The name of the model stands in the message. So the first bytes of it are read, no more than a
//! request's headers may have; then the request waits for its model's permit, and with it for memory;
//! then the rest is read. All libraries write fields in the order of their numbers, so name and
//! version come first. A message that has them elsewhere is refused, for to find them one would have
//! to take all of it without a permit.

use std::time::Instant;

use axum::response::Response;
use bytes::Bytes;
use glovebox_grpc::inference as proto;
use glovebox_protocol::InferResponse;
use glovebox_protocol::rest::Refusal;
use prost::Message;

use super::call::Call;
use super::field::{Fields, Malformed};
use super::method::given;
use super::{message, reply, tensor};
use crate::admission::Permit;
use crate::error::RequestError;
use crate::limits;
use crate::server::answer;
use crate::server::inference::Inference;
use crate::server::rest::heavy;

/// What the beginning of a message says.
pub(super) struct Asked {
    pub(super) name: String,
    /// Empty if any will do.
    pub(super) version: String,
}

/// Answers a call.
pub(super) async fn answer(mut call: Call) -> Response {
    let accepted = call.accepted;
    let begun = call.messages.begin(call.beginning_until()).await;
    let result = match begun {
        Ok(Some(beginning)) => one(&mut call, &beginning, accepted, |response| response).await,
        Ok(None) => Err(message::missing()),
        Err(error) => Err(error),
    };
    match result {
        Ok(frame) => reply::message(frame, call.coding, &call.id),
        Err(error) => call.refuse(&error),
    }
}

/// One inference, whose message has begun: the frame with its answer.
pub(super) async fn one<M: Message>(
    call: &mut Call,
    beginning: &[u8],
    accepted: Instant,
    wrap: fn(proto::ModelInferResponse) -> M,
) -> Result<Bytes, RequestError> {
    let asked = Asked::read(beginning)?;
    let state = call.state.clone();
    let model = state.registry.version(&asked.name, given(&asked.version))?;
    let mut inference = Inference::new(&state, model, &call.id, accepted);
    if let Some(deadline) = call.deadline {
        inference.give_up_at(deadline);
    }
    let result = run(call, &mut inference, &asked, wrap).await;
    inference.end(&result);
    result
}

async fn run<M: Message>(
    call: &mut Call,
    inference: &mut Inference,
    asked: &Asked,
    wrap: fn(proto::ModelInferResponse) -> M,
) -> Result<Bytes, RequestError> {
    let permit = inference.admit(&call.state).await?;
    let memory = permit.memory();
    let response = infer(call, inference, asked, permit).await?;
    let frame = inference.writing(|| {
        heavy(size(&response), || {
            reply::frame(&wrap(tensor::response(response)), call.coding)
        })
    });
    Ok(answer::reserved(frame?, memory))
}

async fn infer(
    call: &mut Call,
    inference: &mut Inference,
    asked: &Asked,
    permit: Permit,
) -> Result<InferResponse, RequestError> {
    let most = inference.model().limits.body;
    let message = call.messages.finish(most, inference.deadline()).await?;
    // As much as JSON of this size could become: the permit's memory is for that.
    let room = most.0.saturating_mul(limits::BYTES_PER_BODY_BYTE - 1);
    let (request, forms) =
        inference.reading(|| heavy(message.len(), || tensor::request(&message, asked, room)))?;
    drop(message);
    let model = inference.shared_model();
    let mut response = inference.infer(request, permit).await?;
    forms.classify(&mut response, model.labels())?;
    Ok(response)
}

fn size(response: &InferResponse) -> usize {
    let lengths = response.outputs.iter().map(|tensor| tensor.data.len());
    lengths.sum()
}

impl Asked {
    fn read(beginning: &[u8]) -> Result<Self, RequestError> {
        let mut fields = Fields::new(beginning);
        let (mut name, mut version) = ("", "");
        while let Some(key) = fields.key()? {
            let place = match key.number {
                1 => &mut name,
                2 => &mut version,
                _ => break,
            };
            *place = fields
                .value(key)
                .and_then(|value| value.text())
                .map_err(too_long)?;
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }
}

fn too_long(_: Malformed) -> Refusal {
    let problem = "the message must begin with model_name and model_version, each a short text";
    Refusal::InvalidRequest(problem.into())
}
