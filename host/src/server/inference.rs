//! One inference, whatever protocol it came by: permit, sandbox, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_protocol::rest::Refusal;
use glovebox_protocol::{InferRequest, InferResponse, Parameter, Parameters, Tensor};
use tokio::time::timeout_at;

use super::state::State;
use crate::admission::Permit;
use crate::error::RequestError;
use crate::limits;
use crate::model::batch::{Batcher, Member};
use crate::model::{Loaded, Model};
use crate::sandbox::bindings::Media;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::invoke::{Fault, Finished, Usage};
use crate::telemetry::Record;
use crate::text;

/// A request for a model that exists. Leaves exactly one record of it, also if it is dropped.
pub(super) struct Inference {
    model: Arc<Model>,
    id: String,
    accepted: Instant,
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
            accepted,
            deadline: accepted + model.limits.timeout,
            record: Record::new(metrics, &model.name, id, accepted).of_model(model.version()),
        }
    }

    /// The model that is asked.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The same, to keep while the request goes on.
    pub(super) fn shared_model(&self) -> Arc<Model> {
        Arc::clone(&self.model)
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

    /// Reads what the client sent; statistics tell how long that took.
    pub(super) fn reading<T>(&mut self, read: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = read();
        self.record.reading(start.elapsed());
        result
    }

    /// Writes what the client gets, in the same way.
    pub(super) fn writing<T>(&mut self, write: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = write();
        self.record.writing(start.elapsed());
        result
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
            parameters,
        } = request;
        self.shorten(&parameters)?;
        let rows = self.model.signature.rows(&inputs);
        self.record.rows(rows.unwrap_or(1), rows.or(Some(1)));
        let batcher = self.batcher(rows);
        let turn = batcher.as_ref().and_then(Batcher::turn);
        let answer = match batcher.filter(|_| turn.is_none()) {
            Some(batcher) => self.join(&batcher, inputs, outputs, permit).await?,
            None => self.call(Call::Infer(inputs, outputs), permit).await?,
        };
        drop(turn);
        match answer {
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

    /// A client may want its answer earlier than its model's limit says: the parameter `timeout`, in
    /// microseconds, where 0 is none.
    fn shorten(&mut self, parameters: &Parameters) -> Result<(), RequestError> {
        let micros = match parameters.get("timeout") {
            None | Some(Parameter::Int64(0)) => return Ok(()),
            Some(Parameter::Int64(micros)) => u64::try_from(*micros).ok(),
            Some(Parameter::Uint64(micros)) => Some(*micros),
            Some(_) => None,
        };
        let micros = micros.ok_or_else(|| {
            let problem = "the parameter timeout must be a whole number of microseconds";
            Refusal::InvalidRequest(problem.to_owned())
        })?;
        // A time beyond the clock's end shortens nothing.
        let wanted = self.accepted.checked_add(Duration::from_micros(micros));
        self.deadline = wanted.map_or(self.deadline, |wanted| wanted.min(self.deadline));
        Ok(())
    }

    async fn call(&mut self, call: Call, permit: Permit) -> Result<Answer, RequestError> {
        let loaded = self.load(&permit).await?;
        let held = (permit, Arc::clone(&loaded));
        let finished = loaded.function.invoke(call, self.deadline, held).await;
        self.settle(finished)
    }

    /// What puts a request of so many rows together with others, if anything does.
    fn batcher(&self, rows: Option<u64>) -> Option<Arc<Batcher>> {
        let batcher = self.model.batcher.as_ref()?;
        batcher.takes(rows?).then(|| Arc::clone(batcher))
    }

    /// The same as [`call`](Self::call), together with others.
    async fn join(
        &mut self,
        batcher: &Arc<Batcher>,
        mut inputs: Vec<Tensor>,
        outputs: Vec<String>,
        permit: Permit,
    ) -> Result<Answer, RequestError> {
        let loaded = self.load(&permit).await?;
        inputs.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let rows = self.model.signature.rows(&inputs).unwrap_or(1);
        let member = Member {
            inputs,
            outputs,
            rows,
            deadline: self.deadline,
            held: Arc::new((permit, loaded)),
        };
        // What was used until the deadline is known a moment later.
        let until = self.deadline + limits::BATCH_GRACE;
        let share = timeout_at(until.into(), batcher.join(member));
        let share = share.await.map_err(|_| RequestError::Timeout)?;
        let share = share.ok_or(RequestError::INTERNAL)?;
        self.record.rows(rows, share.execution);
        self.settle(share.finished)
    }

    async fn load(&mut self, permit: &Permit) -> Result<Arc<Loaded>, RequestError> {
        self.record.waited(permit.waited());
        self.model.loaded(self.deadline).await
    }

    fn settle(&mut self, finished: Finished<Answer>) -> Result<Answer, RequestError> {
        let Finished { outcome, usage } = finished;
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
            model_version: Some(self.model.version().to_owned()),
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
