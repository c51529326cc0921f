//! One request in a fresh instance: instantiate, call, classify the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use glovebox_protocol as protocol;
use tokio::sync::oneshot;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use super::Sandbox;
use super::bindings::{Error as GuestError, Media, ModelFunction, ModelFunctionPre, Tensor};
use super::compute::{Job, Tenant};
use super::limiter::{Limiter, MemoryGauge};
use super::meter::Meter;
use crate::limits::{self, Bytes, Limits};

/// What to ask of a component.
pub enum Call {
    /// Its signature.
    Signature,
    /// Tensors to tensors; no names means all outputs.
    Infer(Vec<protocol::Tensor>, Vec<String>),
    /// Media to an answer.
    Predict(Media),
}

/// What a component answered.
pub enum Answer {
    /// To [`Call::Signature`].
    Signature(protocol::Signature),
    /// To [`Call::Infer`].
    Tensors(Vec<protocol::Tensor>),
    /// To [`Call::Predict`].
    Media(Media),
}

/// Why there is no answer. Texts come from the guest: hostile, not for clients or logs as they are.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The guest refused the input.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// The guest does not take this content type.
    #[error("unsupported media: {0}")]
    UnsupportedMedia(String),
    /// The guest finds the input too large.
    #[error("input too large: {0}")]
    TooLarge(String),
    /// The guest says that the model failed.
    #[error("the model failed: {0}")]
    ModelFailed(String),
    /// The CPU limit stopped the guest.
    #[error("the CPU limit stopped the guest")]
    CpuLimit,
    /// The guest's fuel is used up.
    #[error("the guest's fuel is used up")]
    FuelLimit,
    /// The wall deadline passed.
    #[error("the deadline passed")]
    Timeout,
    /// The guest needed more memory than its limit.
    #[error("the memory limit stopped the guest")]
    MemoryLimit,
    /// The guest's stack is used up.
    #[error("the guest's stack is used up")]
    StackExhausted,
    /// The guest returned more than it may.
    #[error("the guest's output is too large")]
    OutputTooLarge,
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// The guest's answer breaks the contract.
    #[error("the guest's output is invalid: {0}")]
    BadOutput(String),
    /// No instance is free.
    #[error("no instance is free")]
    Exhausted,
    /// Our own fault.
    #[error("{0}")]
    Host(String),
}

/// What one request cost.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// From submission to the first slice.
    pub queue: Duration,
    /// Making the instance.
    pub instantiate: Duration,
    /// From the call to its return, waiting for other tenants included.
    pub guest: Duration,
    /// CPU time, instantiation and copies across the boundary included.
    pub cpu: Duration,
    /// The most memory that was in use.
    pub memory: Bytes,
    /// Instructions, if they are counted.
    pub fuel: u64,
}

/// An outcome with its cost.
pub struct Finished<T> {
    /// The answer, or why there is none.
    pub outcome: Result<T, Fault>,
    /// What it cost either way.
    pub usage: Usage,
}

impl<T> Finished<T> {
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> Result<U, Fault>) -> Finished<U> {
        Finished {
            outcome: self.outcome.and_then(convert),
            usage: self.usage,
        }
    }
}

/// The data of a store: what limits its instance.
pub struct State {
    limiter: Limiter,
}

/// A request on its way through the sandbox.
pub(super) struct Invocation {
    pre: ModelFunctionPre<State>,
    limits: Limits,
    call: Call,
    submitted: Instant,
    deadline: Instant,
    shared: Arc<Shared>,
}

/// What the waiting side may read while the instance runs, and after it is gone.
#[derive(Default)]
struct Shared {
    meter: Arc<Meter>,
    memory: Arc<MemoryGauge>,
    queue_nanos: AtomicU64,
    instantiate_nanos: AtomicU64,
    guest_nanos: AtomicU64,
    /// Taken by the invocation itself at its end: its last slice is not finished by then.
    cpu_nanos: AtomicU64,
    fuel: AtomicU64,
}

/// Why the epoch callback stopped a guest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Stop {
    #[error("cpu limit")]
    Cpu,
    #[error("deadline")]
    Deadline,
}

impl Invocation {
    pub(super) fn new(
        pre: ModelFunctionPre<State>,
        limits: Limits,
        call: Call,
        deadline: Instant,
    ) -> Self {
        Self {
            pre,
            limits,
            call,
            submitted: Instant::now(),
            deadline,
            shared: Arc::default(),
        }
    }

    /// Runs on the compute threads; waits here until the answer or the deadline.
    pub(super) async fn run(
        self,
        sandbox: &Sandbox,
        tenant: Tenant,
        permit: impl Send + 'static,
    ) -> Finished<Answer> {
        let shared = Arc::clone(&self.shared);
        let deadline = tokio::time::Instant::from_std(self.deadline);
        let (sender, receiver) = oneshot::channel();
        let future = Box::pin(until_closed(self.answer(permit), sender));
        sandbox.compute.submit(Job {
            tenant,
            meter: Arc::clone(&shared.meter),
            future,
        });
        let outcome = match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::Host("the invocation was lost".into())),
            Err(_) => Err(Fault::Timeout),
        };
        Finished {
            outcome,
            usage: shared.usage(),
        }
    }

    /// Everything that happens on a compute thread. The permit goes last, after the instance.
    async fn answer(self, permit: impl Send) -> Result<Answer, Fault> {
        let _permit = permit;
        store_nanos(&self.shared.queue_nanos, self.submitted);
        let mut store = self.store();
        self.fill(&mut store)
            .map_err(|error| Fault::Host(format!("{error:#}")))?;
        let start = Instant::now();
        let instance = self.pre.instantiate_async(&mut store).await;
        store_nanos(&self.shared.instantiate_nanos, start);
        let instance = instance.map_err(|error| self.shared.classify(&error))?;
        let start = Instant::now();
        let answer = call(&mut store, &instance, self.call).await;
        store_nanos(&self.shared.guest_nanos, start);
        if let (Some(fuel), Ok(left)) = (self.limits.fuel, store.get_fuel()) {
            self.shared.fuel.store(fuel.saturating_sub(left), Relaxed);
        }
        // Giving back the instance's memory is part of the bill.
        drop(store);
        self.shared
            .cpu_nanos
            .store(nanos(self.shared.meter.spent_in_slice()), Relaxed);
        answer.map_err(|error| self.shared.classify(&error))?
    }

    /// Its budget of instructions, if it has one.
    fn fill(&self, store: &mut Store<State>) -> wasmtime::Result<()> {
        self.limits.fuel.map_or(Ok(()), |fuel| store.set_fuel(fuel))
    }

    fn store(&self) -> Store<State> {
        let limiter = Limiter::new(self.limits.memory, Arc::clone(&self.shared.memory));
        let mut store = Store::new(self.pre.engine(), State { limiter });
        store.limiter(|state| &mut state.limiter);
        let output = usize::try_from(self.limits.output.0).unwrap_or(usize::MAX);
        store.set_hostcall_fuel(output);
        store.set_max_component_handles(limits::HANDLES);
        // Before instantiation, for that runs guest code too.
        store.set_epoch_deadline(1);
        let (meter, cpu, deadline) = (
            Arc::clone(&self.shared.meter),
            self.limits.cpu,
            self.deadline,
        );
        store.epoch_deadline_callback(move |_| {
            if meter.spent_in_slice() >= cpu {
                Err(Stop::Cpu.into())
            } else if Instant::now() >= deadline {
                Err(Stop::Deadline.into())
            } else {
                Ok(UpdateDeadline::Yield(1))
            }
        });
        store
    }
}

/// Sends the result, or stops as soon as nobody waits for it.
async fn until_closed<T>(work: impl Future<Output = T>, sender: oneshot::Sender<T>) {
    let mut work = std::pin::pin!(work);
    let result = std::future::poll_fn(|context| {
        if sender.is_closed() {
            return std::task::Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    });
    if let Some(result) = result.await {
        // The receiver may have gone in this very moment.
        let _ = sender.send(result);
    }
}

/// Calls the guest; the outer error is a trap, the inner one the guest's own or a broken answer.
async fn call(
    store: &mut Store<State>,
    instance: &ModelFunction,
    call: Call,
) -> wasmtime::Result<Result<Answer, Fault>> {
    let model = instance.glovebox_inference_model();
    Ok(match call {
        Call::Signature => Ok(Answer::Signature(model.call_signature(store).await?.into())),
        Call::Infer(inputs, outputs) => {
            let inputs: Vec<Tensor> = inputs.into_iter().map(Into::into).collect();
            match model.call_infer(store, &inputs, &outputs).await? {
                Ok(tensors) => tensors_of(tensors).map(Answer::Tensors),
                Err(error) => Err(error.into()),
            }
        }
        Call::Predict(media) => match model.call_predict(store, &media).await? {
            Ok(media) => Ok(Answer::Media(media)),
            Err(error) => Err(error.into()),
        },
    })
}

fn tensors_of(tensors: Vec<Tensor>) -> Result<Vec<protocol::Tensor>, Fault> {
    let tensor = |tensor: Tensor| {
        tensor
            .try_into()
            .map_err(|error: protocol::Error| Fault::BadOutput(error.to_string()))
    };
    tensors.into_iter().map(tensor).collect()
}

impl Shared {
    fn usage(&self) -> Usage {
        let read = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed));
        Usage {
            queue: read(&self.queue_nanos),
            instantiate: read(&self.instantiate_nanos),
            guest: read(&self.guest_nanos),
            cpu: read(&self.cpu_nanos).max(self.meter.spent()),
            memory: self.memory.high_water(),
            fuel: self.fuel.load(Relaxed),
        }
    }

    /// What went wrong, from what wasmtime says and from what the limiter saw.
    fn classify(&self, error: &wasmtime::Error) -> Fault {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Cpu => Fault::CpuLimit,
                Stop::Deadline => Fault::Timeout,
            };
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Fault::Exhausted;
        }
        if self.memory.refused() {
            return Fault::MemoryLimit;
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Fault::StackExhausted,
            Some(Trap::OutOfFuel) => Fault::FuelLimit,
            Some(trap) => Fault::Trap(trap.to_string()),
            None => classify_text(format!("{error:#}")),
        }
    }
}

/// Wasmtime has no type for an exhausted lifting budget, only this text.
fn classify_text(text: String) -> Fault {
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        Fault::OutputTooLarge
    } else {
        Fault::BadOutput(text)
    }
}

impl From<GuestError> for Fault {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::InvalidInput(text) => Self::InvalidInput(text),
            GuestError::UnsupportedMedia(text) => Self::UnsupportedMedia(text),
            GuestError::TooLarge(text) => Self::TooLarge(text),
            GuestError::Failed(text) => Self::ModelFailed(text),
        }
    }
}

fn store_nanos(cell: &AtomicU64, since: Instant) {
    cell.store(nanos(since.elapsed()), Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
