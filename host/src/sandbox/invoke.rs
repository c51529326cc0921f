//! One request in a fresh instance: instantiate, call, classify the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use super::Sandbox;
use super::allowance::{Allowance, Stop, until_closed};
use super::compute::Tenant;
use super::limiter::{Account, Limiter};
use super::meter::Meter;
use crate::limits::{self, Bytes, Limits};

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
    /// The part of it that graphs took outside of the sandbox.
    pub native: Duration,
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

/// What is instantiated for a request, and how it is called.
pub(super) trait Entry: Send + 'static {
    /// The data of its store.
    type Guest: Limited + Send + 'static;
    /// Its instance.
    type Instance: Send;
    /// What the call gives.
    type Answer: Send + 'static;

    /// The engine of its code.
    fn engine(&self) -> &Engine;

    /// The data of a store that may use so much. An error is the host's own.
    fn guest(&mut self, allowance: &Arc<Allowance>) -> wasmtime::Result<Self::Guest>;

    /// Makes the instance.
    fn instantiate(
        &self,
        store: &mut Store<Self::Guest>,
    ) -> impl Future<Output = wasmtime::Result<Self::Instance>> + Send;

    /// Calls it; the outer error is a trap, the inner one the guest's own or a broken answer.
    fn call(
        self,
        store: &mut Store<Self::Guest>,
        instance: &Self::Instance,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Answer, Fault>>> + Send;
}

/// The data of a store: it has what limits its instance.
pub(super) trait Limited {
    /// What counts the memory of its instance.
    fn limiter(&mut self) -> &mut Limiter;
}

/// A request on its way through the sandbox: what it may use, and what it has used, readable while
/// the instance runs and after it is gone.
pub(super) struct Invocation {
    limits: Limits,
    submitted: Instant,
    deadline: Instant,
    meter: Arc<Meter>,
    native_meter: Arc<Meter>,
    memory: Arc<Account>,
    queue_nanos: AtomicU64,
    instantiate_nanos: AtomicU64,
    guest_nanos: AtomicU64,
    /// Taken by the invocation itself at its end: its last slice is not finished by then.
    cpu_nanos: AtomicU64,
    fuel: AtomicU64,
}

/// What an invocation will have come to; dropping it ends the invocation.
pub(super) type Outcome<T> = oneshot::Receiver<Result<T, Fault>>;

impl Invocation {
    pub(super) fn new(limits: Limits, deadline: Instant) -> Arc<Self> {
        let (memory, meter) = (Account::new(limits.memory), Arc::default());
        Arc::new(Self {
            limits,
            submitted: Instant::now(),
            deadline,
            native_meter: Arc::new(Meter::part_of(&meter)),
            meter,
            memory,
            queue_nanos: AtomicU64::default(),
            instantiate_nanos: AtomicU64::default(),
            guest_nanos: AtomicU64::default(),
            cpu_nanos: AtomicU64::default(),
            fuel: AtomicU64::default(),
        })
    }

    /// Queues it for the compute threads. The permit is dropped after the instance.
    pub(super) fn submit<E: Entry>(
        self: &Arc<Self>,
        sandbox: &Sandbox,
        tenant: Tenant,
        entry: E,
        permit: impl Send + Sync + 'static,
    ) -> Outcome<E::Answer> {
        let (sender, receiver) = oneshot::channel();
        let allowance = Arc::new(Allowance {
            memory: Arc::clone(&self.memory),
            meter: Arc::clone(&self.meter),
            native_meter: Arc::clone(&self.native_meter),
            cpu: self.limits.cpu,
            deadline: self.deadline,
            tenant: tenant.clone(),
            native: Arc::clone(&sandbox.native),
            _permit: Box::new(permit),
        });
        let this = Arc::clone(self);
        let work = async move { this.run(entry, allowance).await };
        let meter = Arc::clone(&self.meter);
        let job = until_closed(work, sender);
        sandbox.compute.submit(tenant, meter, job);
        receiver
    }

    /// When it must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for the outcome, until the deadline, which ends the invocation: who asks may keep the
    /// outcome for longer, and a guest that waits for something would wait on.
    pub(super) async fn wait<T>(&self, outcome: &mut Outcome<T>) -> Result<T, Fault> {
        match tokio::time::timeout_at(self.deadline.into(), &mut *outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Fault::Host("the invocation was lost".into())),
            Err(_) => {
                outcome.close();
                Err(Fault::Timeout)
            }
        }
    }

    /// Everything that happens on a compute thread.
    async fn run<E: Entry>(
        &self,
        mut entry: E,
        allowance: Arc<Allowance>,
    ) -> Result<E::Answer, Fault> {
        store_nanos(&self.queue_nanos, self.submitted);
        // Its time may have passed while others had their turn.
        allowance.check().map_err(|stop| stopped(&stop))?;
        let store = entry.guest(&allowance);
        let store = store.and_then(|guest| self.store(entry.engine(), guest, &allowance));
        let mut store = store.map_err(|error| Fault::Host(format!("{error:#}")))?;
        let start = Instant::now();
        let instance = entry.instantiate(&mut store).await;
        store_nanos(&self.instantiate_nanos, start);
        let instance = instance.map_err(|error| self.classify(&error))?;
        let start = Instant::now();
        let answer = entry.call(&mut store, &instance).await;
        store_nanos(&self.guest_nanos, start);
        if let (Some(fuel), Ok(left)) = (self.limits.fuel, store.get_fuel()) {
            self.fuel.store(fuel.saturating_sub(left), Relaxed);
        }
        // Giving back the instance's memory is part of the bill.
        drop(store);
        self.cpu_nanos
            .store(nanos(self.meter.spent_in_slice()), Relaxed);
        answer.map_err(|error| self.classify(&error))?
    }

    fn store<G: Limited + 'static>(
        &self,
        engine: &Engine,
        guest: G,
        allowance: &Arc<Allowance>,
    ) -> wasmtime::Result<Store<G>> {
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| guest.limiter());
        let output = usize::try_from(self.limits.output.0).unwrap_or(usize::MAX);
        store.set_hostcall_fuel(output);
        store.set_max_component_handles(limits::HANDLES);
        // Before instantiation, for that runs guest code too.
        store.set_epoch_deadline(1);
        let allowance = Arc::clone(allowance);
        store.epoch_deadline_callback(move |_| {
            allowance.check()?;
            Ok(UpdateDeadline::Yield(1))
        });
        if let Some(fuel) = self.limits.fuel {
            store.set_fuel(fuel)?;
        }
        Ok(store)
    }

    /// What it has cost so far.
    pub(super) fn usage(&self) -> Usage {
        let read = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Relaxed));
        Usage {
            queue: read(&self.queue_nanos),
            instantiate: read(&self.instantiate_nanos),
            guest: read(&self.guest_nanos),
            cpu: read(&self.cpu_nanos).max(self.meter.spent()),
            native: self.native_meter.spent(),
            memory: self.memory.high_water(),
            fuel: self.fuel.load(Relaxed),
        }
    }

    /// What went wrong, from what wasmtime says and from what the limiter saw.
    fn classify(&self, error: &wasmtime::Error) -> Fault {
        if let Some(stop) = error.downcast_ref() {
            return stopped(stop);
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

fn stopped(stop: &Stop) -> Fault {
    match stop {
        Stop::Cpu => Fault::CpuLimit,
        Stop::Deadline => Fault::Timeout,
        Stop::Memory => Fault::MemoryLimit,
        Stop::Engine(_) => Fault::Trap(stop.to_string()),
        Stop::Lost => Fault::Host(stop.to_string()),
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

fn store_nanos(cell: &AtomicU64, since: Instant) {
    cell.store(nanos(since.elapsed()), Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
