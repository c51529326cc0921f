//! The threads that run guests, or graphs for them, and whose turn it is.
//!
//! A job runs in slices of one tick. After each slice the tenant's debt grows by the CPU time
//! used, divided by its weight, and the next slice goes to the tenant with the least debt. A
//! tenant that was idle starts at the least debt there is: idling saves nothing up.
//!
//! A job whose slice is over wakes itself at once and is queued again. One that waits for
//! something else (its client, a connection) is parked until that wakes it, and costs no thread.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use rustix::process::nice;
use tokio::runtime::Handle;

use super::meter::Meter;
use super::ticker::Guests;

/// Whose compute a job uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// The tenant's name.
    pub name: Arc<str>,
    /// Its share of a busy machine, relative to others. At least 1.
    pub weight: u32,
}

/// One invocation.
struct Job {
    tenant: Tenant,
    meter: Arc<Meter>,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Arc<JobWaker>,
}

/// Where a job is when it is on no queue, for whoever wakes it.
struct JobWaker {
    compute: Arc<Shared>,
    stage: Mutex<Stage>,
}

enum Stage {
    /// On a queue or on a thread; `woken` says that something has happened meanwhile.
    Active { woken: bool },
    /// Waiting to be woken.
    Parked(Job),
}

/// A handle on compute threads; they end with it.
pub struct Compute {
    shared: Arc<Shared>,
    pool: Pool,
}

/// What the threads of a pool are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    /// What they are called.
    pub(super) name: &'static str,
    /// How many there are.
    pub(super) threads: usize,
    /// By how much they are nicer than others.
    pub(super) nice: i32,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    guests: Arc<Guests>,
}

#[derive(Default)]
struct Queue {
    tenants: HashMap<Arc<str>, Turn>,
    /// The debt of the tenant that was last picked: where a newcomer starts.
    floor: u64,
    /// Threads of another generation end after their slice.
    generation: usize,
    /// Threads that wait for a job. To wake nobody is a system call, too.
    idle: usize,
}

/// A tenant with jobs.
struct Turn {
    debt_nanos: u64,
    weight: u32,
    running: usize,
    waiting: VecDeque<Job>,
}

impl Compute {
    /// Starts the threads. Tickers know from `guests` when they work.
    pub(super) fn start(pool: Pool, guests: &Arc<Guests>) -> io::Result<Self> {
        let shared = Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            guests: Arc::clone(guests),
        };
        let compute = Self {
            shared: Arc::new(shared),
            pool,
        };
        compute.restart(None)?;
        Ok(compute)
    }

    /// Starts new threads; the old ones end after the slice that they run. What guests wait for
    /// happens on `network`.
    pub(super) fn restart(&self, network: Option<&Handle>) -> io::Result<()> {
        let generation = self.end_generation();
        let Pool {
            name,
            threads,
            nice,
        } = self.pool;
        for index in 0..threads {
            let (shared, network) = (Arc::clone(&self.shared), network.cloned());
            thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || {
                    yield_to_others(nice);
                    let _entered = network.as_ref().map(Handle::enter);
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

    /// How many there are.
    pub(super) fn threads(&self) -> usize {
        self.pool.threads
    }

    /// Queues a job.
    pub(super) fn submit(
        &self,
        tenant: Tenant,
        meter: Arc<Meter>,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let waker = Arc::new(JobWaker {
            compute: Arc::clone(&self.shared),
            stage: Mutex::new(Stage::Active { woken: false }),
        });
        self.shared.queue(Job {
            tenant,
            meter,
            future: Box::pin(future),
            waker,
        });
    }
}

/// Lets the ticker and the network threads run as soon as they wake: both sleep most of the time,
/// and what a guest gets is what they leave. Where it is not allowed, guests run as before.
fn yield_to_others(by: i32) {
    let _ = nice(by);
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
            let (meter, waker) = (Arc::clone(&job.meter), Arc::clone(&job.waker));
            waker.run();
            let as_waker = Waker::from(Arc::clone(&waker));
            let mut context = Context::from_waker(&as_waker);
            let slice = || {
                // A panic is our bug; it must not cost the thread. The job's caller sees its
                // channel closed.
                catch_unwind(AssertUnwindSafe(|| job.future.as_mut().poll(&mut context)))
            };
            let (poll, spent) = self.guests.run(|| meter.slice(slice));
            let tenant = job.tenant.clone();
            // A finished job is dropped before the lock is taken: that frees its memory.
            let unfinished = matches!(poll, Ok(Poll::Pending)).then_some(job);
            let ready = unfinished.and_then(|job| waker.park(job));
            let nanos = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
            self.lock().settle(&tenant, nanos, ready);
        }
    }

    fn queue(&self, job: Job) {
        let mut queue = self.lock();
        queue.push(job);
        let is_awaited = queue.idle > 0;
        drop(queue);
        if is_awaited {
            self.work.notify_one();
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
            queue.idle += 1;
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobWaker {
    /// A slice begins: what happened before it, the job will see.
    fn run(&self) {
        *self.lock() = Stage::Active { woken: false };
    }

    /// Keeps a job until it is woken; gives it back if it has been already.
    fn park(&self, job: Job) -> Option<Job> {
        let mut stage = self.lock();
        match *stage {
            Stage::Active { woken: true } => Some(job),
            _ => {
                *stage = Stage::Parked(job);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for JobWaker {
    fn wake(self: Arc<Self>) {
        let stage = mem::replace(&mut *self.lock(), Stage::Active { woken: true });
        if let Stage::Parked(job) = stage {
            self.compute.queue(job);
        }
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

    /// Books a slice; its job goes behind the tenant's others if it can go on.
    fn settle(&mut self, tenant: &Tenant, nanos: u64, ready: Option<Job>) {
        let Some(turn) = self.tenants.get_mut(&tenant.name) else {
            return;
        };
        turn.debt_nanos = turn
            .debt_nanos
            .saturating_add(nanos / u64::from(turn.weight));
        turn.running = turn.running.saturating_sub(1);
        turn.waiting.extend(ready);
        if turn.running == 0 && turn.waiting.is_empty() {
            self.tenants.remove(&tenant.name);
        }
    }
}
