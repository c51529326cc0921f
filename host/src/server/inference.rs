//! One inference, whatever protocol it came by: permit, sandbox, record.

use std::sync::Arc;
use std::time::Instant;

use glovebox_protocol::{InferRequest, InferResponse, Tensor};

use super::state::State;
use crate::admission::Permit;
use crate::error::RequestError;
use crate::model::Model;
use crate::sandbox::bindings::Media;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::invoke::{Fault, Finished, Usage};
use crate::telemetry::Record;
use crate::text;

/// A request for a model that exists. Leaves exactly one record of it, also if it is dropped.
pub(super) struct Inference {
    model: Arc<Model>,
    id: String,
    deadline: Instant,
    record: Record,
}

impl Inference {
    /// Begins the record.
    pub(super) fn new(state: &State, model: &Arc<Model>, id: &str, accepted: Instant) -> Self {
        let metrics = Arc::clone(&state.metrics);
        Self {
            model: Arc::clone(model),
            id: id.to_owned(),
            deadline: accepted + model.limits.timeout,
            record: Record::new(metrics, &model.name, id, accepted),
        }
    }

    /// The model that is asked.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// When the answer must be there.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The client wants the answer until then, if that is earlier.
    pub(super) fn give_up_at(&mut self, until: Instant) {
        self.deadline = self.deadline.min(until);
    }

    /// Waits for a permit.
    pub(super) async fn admit(&self, state: &State) -> Result<Permit, RequestError> {
        let (gate, tenant) = (&self.model.gate, &self.model.tenant.name);
        gate.admit(&state.admission, tenant, self.deadline).await
    }

    /// Tensors in, tensors out. Outputs that the model did not declare so are its fault.
    pub(super) async fn infer(
        &mut self,
        request: InferRequest,
        permit: Permit,
    ) -> Result<InferResponse, RequestError> {
        self.model.signature.check(&request)?;
        let InferRequest {
            id,
            inputs,
            outputs,
            ..
        } = request;
        match self.call(Call::Infer(inputs, outputs), permit).await? {
            Answer::Tensors(outputs) => self.response(id, outputs),
            _ => Err(RequestError::INTERNAL),
        }
    }

    /// Media in, media out.
    pub(super) async fn predict(
        &mut self,
        media: Media,
        permit: Permit,
    ) -> Result<Media, RequestError> {
        match self.call(Call::Predict(media), permit).await? {
            Answer::Media(media) => Ok(media),
            _ => Err(RequestError::INTERNAL),
        }
    }

    /// Ends the record.
    pub(super) fn end<T>(mut self, result: &Result<T, RequestError>) {
        self.record.outcome(match result {
            Ok(_) => "ok",
            Err(error) => error.code().0,
        });
    }

    async fn call(&mut self, call: Call, permit: Permit) -> Result<Answer, RequestError> {
        let loaded = self.model.loaded(self.deadline).await?;
        let held = (permit, Arc::clone(&loaded));
        let Finished { outcome, usage } = loaded.function.invoke(call, self.deadline, held).await;
        self.record.usage(usage);
        outcome.map_err(|fault| {
            self.log(&fault, &usage);
            fault.into()
        })
    }

    fn response(
        &self,
        id: Option<String>,
        outputs: Vec<Tensor>,
    ) -> Result<InferResponse, RequestError> {
        let is_declared = |tensor| self.model.signature.declares(tensor);
        if !outputs.iter().all(is_declared) {
            return Err(RequestError::BAD_OUTPUT);
        }
        Ok(InferResponse {
            model_name: self.model.name.clone(),
            model_version: self.model.version().map(str::to_owned),
            id,
            outputs,
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
