//! The threads that run guests, and whose turn it is.
//!
//! A job runs in slices of one tick. After each slice the tenant's debt grows by the CPU time
//! used, divided by its weight, and the next slice goes to the tenant with the least debt. A
//! tenant that was idle starts at the least debt there is: idling saves nothing up.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::process::nice;

use super::meter::Meter;
use crate::limits;

/// Whose compute a job uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// The tenant's name.
    pub name: Arc<str>,
    /// Its share of a busy machine, relative to others. At least 1.
    pub weight: u32,
}

/// One invocation. Its future is pending exactly when its slice is over: a guest without imports
/// waits for nothing.
pub(super) struct Job {
    pub(super) tenant: Tenant,
    pub(super) meter: Arc<Meter>,
    pub(super) future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A handle on the compute threads; they end with it.
pub struct Compute {
    shared: Arc<Shared>,
    threads: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    tenants: HashMap<Arc<str>, Turn>,
    /// The debt of the tenant that was last picked: where a newcomer starts.
    floor: u64,
    /// Threads of another generation end after their slice.
    generation: usize,
}

/// A tenant with jobs.
struct Turn {
    debt_nanos: u64,
    weight: u32,
    running: usize,
    waiting: VecDeque<Job>,
}

impl Compute {
    /// Starts `threads` compute threads.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let compute = Self {
            shared: Arc::default(),
            threads,
        };
        compute.restart()?;
        Ok(compute)
    }

    /// Starts new threads; the old ones end after the slice that they run.
    pub(super) fn restart(&self) -> io::Result<()> {
        let generation = self.end_generation();
        for index in 0..self.threads {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name(format!("compute-{index}"))
                .spawn(move || {
                    yield_to_others();
                    shared.run(generation);
                })?;
        }
        Ok(())
    }

    fn end_generation(&self) -> usize {
        let mut queue = self.shared.lock();
        queue.generation += 1;
        self.shared.work.notify_all();
        queue.generation
    }

    /// Queues a job.
    pub(super) fn submit(&self, job: Job) {
        self.shared.lock().push(job);
        self.shared.work.notify_one();
    }
}

/// Lets the ticker and the network threads run as soon as they wake: both sleep most of the time,
/// and what a guest gets is what they leave. Where it is not allowed, guests run as before.
fn yield_to_others() {
    let _ = nice(limits::COMPUTE_NICE);
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.end_generation();
    }
}

impl Shared {
    /// The life of a compute thread.
    fn run(&self, generation: usize) {
        while let Some(mut job) = self.next(generation) {
            let meter = Arc::clone(&job.meter);
            let mut context = Context::from_waker(Waker::noop());
            let (poll, spent) = meter.slice(|| {
                // A panic is our bug; it must not cost the thread. The job's caller sees its
                // channel closed.
                catch_unwind(AssertUnwindSafe(|| job.future.as_mut().poll(&mut context)))
            });
            let tenant = job.tenant.clone();
            // A finished job is dropped before the lock is taken: that frees its memory.
            let unfinished = matches!(poll, Ok(Poll::Pending)).then_some(job);
            let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            self.lock().settle(&tenant, nanos, unfinished);
        }
    }

    fn next(&self, generation: usize) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.generation != generation {
                return None;
            }
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, job: Job) {
        let newcomer = Turn {
            debt_nanos: self.floor,
            weight: 1,
            running: 0,
            waiting: VecDeque::new(),
        };
        let turn = self
            .tenants
            .entry(Arc::clone(&job.tenant.name))
            .or_insert(newcomer);
        turn.weight = job.tenant.weight.max(1);
        turn.waiting.push_back(job);
    }

    /// The next job of the tenant with the least debt.
    fn pop(&mut self) -> Option<Job> {
        let waiting = self
            .tenants
            .values_mut()
            .filter(|turn| !turn.waiting.is_empty());
        let turn = waiting.min_by_key(|turn| turn.debt_nanos)?;
        self.floor = self.floor.max(turn.debt_nanos);
        turn.running += 1;
        turn.waiting.pop_front()
    }

    /// Books a slice; its job goes behind the tenant's others if it is not done.
    fn settle(&mut self, tenant: &Tenant, nanos: u64, unfinished: Option<Job>) {
        let Some(turn) = self.tenants.get_mut(&tenant.name) else {
            return;
        };
        turn.debt_nanos = turn
            .debt_nanos
            .saturating_add(nanos / u64::from(turn.weight));
        turn.running = turn.running.saturating_sub(1);
        turn.waiting.extend(unfinished);
        if turn.running == 0 && turn.waiting.is_empty() {
            self.tenants.remove(&tenant.name);
        }
    }
}
