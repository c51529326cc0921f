//! What all requests share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::admission::Admission;
use crate::model::registry::Registry;
use crate::telemetry::Metrics;

/// The models and what is counted about them.
pub struct State {
    /// The models.
    pub registry: Registry,
    /// The host's permits.
    pub admission: Admission,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Whether to send traffic here.
    pub readiness: Readiness,
    /// Numbers the requests.
    pub request_ids: RequestIds,
}

impl State {
    /// State for these models; ready at once, for they are loaded.
    pub fn new(registry: Registry, admission: Admission) -> Self {
        let metrics = Metrics::new(&registry);
        let (readiness, request_ids) = Default::default();
        Self {
            registry,
            admission,
            metrics,
            readiness,
            request_ids,
        }
    }
}

/// Ready from the start until draining begins.
#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
}

impl Readiness {
    /// Says that no new traffic should come.
    pub fn stop(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether new traffic may come.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Relaxed)
    }
}

/// Makes an id for each request: unique across restarts, and no secret.
pub struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        let process = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        Self {
            process,
            next: AtomicU64::new(1),
        }
    }
}

impl RequestIds {
    /// The next id.
    pub fn next(&self) -> String {
        format!(
            "{:016x}-{:x}",
            self.process,
            self.next.fetch_add(1, Relaxed)
        )
    }
}
