//! Who may run: permits for instances, memory for requests, and bounded queues before them.
//!
//! A request passes three gates before its body is read, so that a refused one costs no memory:
//! its component's permits, what its tenant may hold, what the host has. The first two are the
//! tenant's own affair (429), the third is ours (503).
//!
//! A request reserves its footprint, the most that it can take ([`Limits::footprint`]). What is
//! reserved is never more than the budget, so what is taken is not either.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::error::RequestError;
use crate::limits::{self, Bytes, Limits};
use crate::memory::{Budget, Reservation};

/// What the host has, and what each tenant may hold of it.
pub struct Admission {
    host: Pool,
    tenants: HashMap<String, Pool>,
}

/// Instances and memory. Clones share them.
#[derive(Clone)]
struct Pool {
    instances: Arc<Semaphore>,
    memory: Budget,
}

/// One component's permits and the bounded queue before them.
pub struct Gate {
    permits: Arc<Semaphore>,
    concurrency: usize,
    footprint: Bytes,
    waiting: Arc<AtomicUsize>,
    queue: usize,
    pace: Arc<Pace>,
}

/// The right to one instance, given back by dropping.
pub struct Permit {
    memory: Arc<Memory>,
    waited: Duration,
    _instances: Vec<OwnedSemaphorePermit>,
    _component: OwnedSemaphorePermit,
    _hold: Hold,
}

/// The memory of one request, reserved from its tenant's part and from the host's.
pub struct Memory(Vec<Reservation>);

/// A place in the queue, given back by dropping: also when the client goes away.
struct Place(Arc<AtomicUsize>);

/// How long permits are held, on average over the last ones.
#[derive(Default)]
struct Pace(AtomicU64);

/// Tells the pace when it is dropped.
struct Hold {
    since: Instant,
    pace: Arc<Pace>,
}

impl Admission {
    /// Everything for one tenant; no more than its share for each of several.
    pub fn new<'a>(memory: Budget, tenants: impl IntoIterator<Item = &'a str>) -> Self {
        let share = Bytes(memory.total().0 / u64::from(limits::TENANT_SHARE));
        let pool = |tenant: &str| {
            let pool = Pool {
                instances: semaphore(limits::INSTANCES / limits::TENANT_SHARE),
                memory: Budget::new(share),
            };
            (tenant.to_owned(), pool)
        };
        let mut tenants: HashMap<_, _> = tenants.into_iter().map(pool).collect();
        if tenants.len() == 1 {
            tenants.clear();
        }
        let host = Pool {
            instances: semaphore(limits::INSTANCES),
            memory,
        };
        Self { host, tenants }
    }

    /// The memory of all requests together.
    pub fn memory(&self) -> &Budget {
        &self.host.memory
    }

    /// The memory that a tenant may hold.
    pub fn share(&self, tenant: &str) -> Bytes {
        let pool = self.tenants.get(tenant).unwrap_or(&self.host);
        pool.memory.total()
    }
}

fn semaphore(permits: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits as usize))
}

impl Pool {
    async fn take(&self, footprint: Bytes) -> Option<(OwnedSemaphorePermit, Reservation)> {
        let instance = Arc::clone(&self.instances).acquire_owned().await.ok()?;
        Some((instance, self.memory.reserve(footprint).await?))
    }
}

impl Gate {
    /// A gate for a component with these limits.
    pub fn new(limits: &Limits) -> Self {
        let concurrency = limits.concurrency.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            footprint: limits.footprint(),
            waiting: Arc::default(),
            queue: concurrency.saturating_mul(limits::QUEUE_PER_PERMIT),
            pace: Arc::default(),
        }
    }

    /// Requests that hold a permit now.
    pub fn running(&self) -> usize {
        self.concurrency
            .saturating_sub(self.permits.available_permits())
    }

    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits for a permit, at most until the queue's time or the deadline is over.
    ///
    /// # Errors
    /// The component's queue is full or too slow, its tenant holds all that it may, or the host
    /// has nothing left.
    pub async fn admit(
        &self,
        admission: &Admission,
        tenant: &str,
        deadline: Instant,
    ) -> Result<Permit, RequestError> {
        let (_place, asked) = (self.queue_up()?, Instant::now());
        let until = deadline.min(asked + limits::QUEUE_TIME).into();
        let component = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await;
        let component = component
            .map_err(|_| self.quota())?
            .map_err(|_| RequestError::INTERNAL)?;
        let (mut instances, mut memory) = (Vec::new(), Vec::new());
        let own = admission.tenants.get(tenant).map(|pool| (pool, true));
        for (pool, is_own) in own.into_iter().chain([(&admission.host, false)]) {
            let taken = timeout_at(until, pool.take(self.footprint)).await;
            let taken = taken.map_err(|_| match is_own {
                true => self.quota(),
                false => RequestError::Overload(self.pace.retry_after(1)),
            })?;
            let (instance, reservation) = taken.ok_or(RequestError::INTERNAL)?;
            instances.push(instance);
            memory.push(reservation);
        }
        Ok(Permit {
            memory: Arc::new(Memory(memory)),
            waited: asked.elapsed(),
            _instances: instances,
            _component: component,
            _hold: Hold {
                since: Instant::now(),
                pace: Arc::clone(&self.pace),
            },
        })
    }

    fn queue_up(&self) -> Result<Place, RequestError> {
        let place = Place(Arc::clone(&self.waiting));
        let before = self.waiting.fetch_add(1, Relaxed);
        if before >= self.queue {
            Err(self.quota())
        } else {
            Ok(place)
        }
    }

    /// Come back when those who wait now will have been served.
    fn quota(&self) -> RequestError {
        let rounds = self.waiting().div_ceil(self.concurrency.max(1));
        RequestError::Quota(self.pace.retry_after(rounds))
    }
}

impl Permit {
    /// The request's memory, which may outlive its instance: the answer is still there.
    pub fn memory(&self) -> Arc<Memory> {
        Arc::clone(&self.memory)
    }

    /// How long its request waited for it.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Memory {
    /// What is reserved.
    pub fn size(&self) -> Bytes {
        self.0.first().map_or(Bytes(0), Reservation::size)
    }

    /// Gives back all but so many bytes.
    pub fn keep(&mut self, part: Bytes) {
        for reservation in &mut self.0 {
            reservation.keep(part);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Pace {
    /// How long so many rounds of requests will take.
    fn retry_after(&self, rounds: usize) -> Duration {
        let nanos = self.0.load(Relaxed).saturating_mul(rounds as u64);
        Duration::from_nanos(nanos).min(limits::RETRY_TIME)
    }

    /// Two threads may read the same mean, and one hold is lost: it is a mean.
    fn learn(&self, hold: Duration) {
        let hold = u64::try_from(hold.as_nanos()).unwrap_or(u64::MAX);
        let mean = match self.0.load(Relaxed) {
            0 => hold,
            mean => mean - mean / 8 + hold / 8,
        };
        self.0.store(mean, Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pace.learn(self.since.elapsed());
    }
}
