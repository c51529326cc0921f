//! Permits: how many requests are in the sandbox at once, and how many may wait.
//!
//! A permit is taken before the body is read, so that a refused request costs no memory. A full
//! component is the tenant's own affair (429); a full host is ours (503).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::error::RequestError;
use crate::limits;

/// The host's permits, over all components.
#[derive(Clone)]
pub struct Admission {
    instances: Arc<Semaphore>,
}

/// One component's permits and the bounded queue before them.
pub struct Gate {
    permits: Arc<Semaphore>,
    concurrency: usize,
    waiting: Arc<AtomicUsize>,
    queue: usize,
}

/// The right to one instance, given back by dropping.
pub struct Permit {
    _component: OwnedSemaphorePermit,
    _instance: OwnedSemaphorePermit,
}

/// A place in the queue, given back by dropping: also when the client goes away.
struct Place(Arc<AtomicUsize>);

impl Default for Admission {
    fn default() -> Self {
        Self {
            instances: Arc::new(Semaphore::new(limits::INSTANCES as usize)),
        }
    }
}

impl Gate {
    /// A gate that lets `concurrency` requests through at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            waiting: Arc::default(),
            queue: concurrency.saturating_mul(limits::QUEUE_PER_PERMIT),
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
    /// The component's queue is full or too slow, or the host has no instance left.
    pub async fn admit(&self, host: &Admission, deadline: Instant) -> Result<Permit, RequestError> {
        let _place = self.queue_up()?;
        let until = deadline.min(Instant::now() + limits::QUEUE_TIME).into();
        let component = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await;
        let component = component
            .map_err(|_| RequestError::Quota)?
            .map_err(|_| RequestError::Internal)?;
        let instance = timeout_at(until, Arc::clone(&host.instances).acquire_owned()).await;
        let instance = instance
            .map_err(|_| RequestError::Overload)?
            .map_err(|_| RequestError::Internal)?;
        Ok(Permit {
            _component: component,
            _instance: instance,
        })
    }

    fn queue_up(&self) -> Result<Place, RequestError> {
        let place = Place(Arc::clone(&self.waiting));
        let before = self.waiting.fetch_add(1, Relaxed);
        if before >= self.queue {
            Err(RequestError::Quota)
        } else {
            Ok(place)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
