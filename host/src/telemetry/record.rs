//! The record of one request: begun when it is accepted, written when it ends, however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Metrics;
use super::statistics::Answered;
use crate::sandbox::invoke::Usage;

/// The record of one request. Written when dropped: also if the client goes away.
pub struct Record {
    metrics: Arc<Metrics>,
    name: String,
    request_id: String,
    accepted: Instant,
    outcome: &'static str,
    usage: Option<Usage>,
    /// What is known of requests for models only.
    inference: Option<Phases>,
}

/// Where the time of an inference went beside the sandbox, and what it counts for.
struct Phases {
    version: String,
    waited: Duration,
    reading: Duration,
    writing: Duration,
    rows: u64,
    execution: Option<u64>,
}

impl Record {
    /// Begins a record; without an outcome it says that the client went away.
    pub fn new(metrics: Arc<Metrics>, name: &str, request_id: &str, accepted: Instant) -> Self {
        Self {
            metrics,
            name: name.to_owned(),
            request_id: request_id.to_owned(),
            accepted,
            outcome: "cancelled",
            usage: None,
            inference: None,
        }
    }

    /// Says that the request is for a model of this version.
    #[must_use]
    pub fn of_model(mut self, version: &str) -> Self {
        self.inference = Some(Phases {
            version: version.to_owned(),
            waited: Duration::ZERO,
            reading: Duration::ZERO,
            writing: Duration::ZERO,
            rows: 1,
            execution: Some(1),
        });
        self
    }

    /// How it ended.
    pub fn outcome(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// What it cost in the sandbox.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// It has waited so long for its permit.
    pub fn waited(&mut self, time: Duration) {
        self.phases(|phases| phases.waited += time);
    }

    /// Reading its tensors took so long.
    pub fn reading(&mut self, time: Duration) {
        self.phases(|phases| phases.reading += time);
    }

    /// Writing its answer took so long.
    pub fn writing(&mut self, time: Duration) {
        self.phases(|phases| phases.writing += time);
    }

    /// It has so many rows. The model ran for it with so many, or ran for it within the execution of
    /// another request, which counts that.
    pub fn rows(&mut self, rows: u64, execution: Option<u64>) {
        self.phases(|phases| (phases.rows, phases.execution) = (rows, execution));
    }

    fn phases(&mut self, change: impl FnOnce(&mut Phases)) {
        if let Some(phases) = &mut self.inference {
            change(phases);
        }
    }

    fn count(&self, phases: &Phases, total: Duration) {
        let statistics = &self.metrics.statistics;
        let (model, version) = (&self.name, &phases.version);
        if self.outcome != "ok" {
            return statistics.failed(model, version, self.outcome, total);
        }
        let of_sandbox =
            |time: fn(&Usage) -> Duration| self.usage.as_ref().map_or(Duration::ZERO, time);
        let answered = Answered {
            total,
            queue: phases.waited + of_sandbox(|usage| usage.queue),
            input: phases.reading,
            infer: of_sandbox(|usage| usage.instantiate + usage.guest),
            output: phases.writing,
            rows: phases.rows,
            execution: phases.execution,
        };
        statistics.answered(model, version, &answered);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let total = self.accepted.elapsed();
        self.metrics.request(&self.name, self.outcome, total);
        if let Some(usage) = &self.usage {
            self.metrics.usage(&self.name, usage);
        }
        if let Some(phases) = &self.inference {
            self.count(phases, total);
        }
        let cpu_us = self.usage.map_or(0, |usage| usage.cpu.as_micros() as u64);
        let memory_bytes = self.usage.map_or(0, |usage| usage.memory.0);
        tracing::debug!(
            model = self.name,
            request_id = self.request_id,
            outcome = self.outcome,
            total_us = total.as_micros() as u64,
            cpu_us,
            memory_bytes,
            "request"
        );
    }
}
