//! What is counted of models in the words of Triton: its metrics, and the protocol's extension
//! `statistics`. Both read the same numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use glovebox_protocol::{BatchStatistics, InferenceStatistics, ModelStatistics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::limits;

/// All models that anybody has asked for, by name.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    models: Mutex<BTreeMap<String, Totals>>,
}

/// What has been counted of one model.
#[derive(Debug, Default)]
struct Totals {
    version: String,
    /// In milliseconds since 1970.
    last: u64,
    rows: u64,
    executions: u64,
    times: InferenceStatistics,
    failures: [u64; REASONS.len()],
    batches: BTreeMap<u64, BatchStatistics>,
    pending: u64,
}

/// A request that was answered.
pub(super) struct Answered {
    pub(super) total: Duration,
    pub(super) queue: Duration,
    pub(super) input: Duration,
    pub(super) infer: Duration,
    pub(super) output: Duration,
    pub(super) rows: u64,
    /// The rows of the execution that this request counts, if it counts one.
    pub(super) execution: Option<u64>,
}

/// Why requests fail, as Triton tells it.
const REASONS: [&str; 4] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

/// Which of the reasons a code of ours is: refused for want of room, given up by the client, the
/// model's fault, anything else.
fn reason(outcome: &str) -> usize {
    match outcome {
        "quota" | "overload" => 0,
        "cancelled" => 1,
        "invalid_request" | "invalid_input" | "unsupported_media" | "too_large" | "slow_body"
        | "internal" => 3,
        _ => 2,
    }
}

impl Statistics {
    /// Counts from zero, so that rates have one.
    pub(super) fn begin(&self, model: &str, version: &str) {
        self.change(model, version, |_| {});
    }

    pub(super) fn answered(&self, model: &str, version: &str, answered: &Answered) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |time| time.as_millis() as u64);
        self.change(model, version, |totals| {
            totals.last = now;
            totals.answered(answered);
        });
    }

    pub(super) fn failed(&self, model: &str, version: &str, outcome: &str, total: Duration) {
        self.change(model, version, |totals| {
            totals.times.fail.add(nanos(total));
            if let Some(count) = totals.failures.get_mut(reason(outcome)) {
                *count += 1;
            }
        });
    }

    /// How many requests wait for a model now, if it is one that is counted.
    pub(super) fn pending(&self, model: &str, waiting: usize) {
        if let Some(totals) = self.lock().get_mut(model) {
            totals.pending = waiting as u64;
        }
    }

    /// What has been counted of a model.
    pub(super) fn report(&self, model: &str, version: &str) -> ModelStatistics {
        let (models, none) = (self.lock(), Totals::default());
        let totals = models.get(model).unwrap_or(&none);
        ModelStatistics {
            name: model.to_owned(),
            version: version.to_owned(),
            last_inference: totals.last,
            inference_count: totals.rows,
            execution_count: totals.executions,
            inference_stats: totals.times,
            batch_stats: totals.batches.values().copied().collect(),
            ..ModelStatistics::default()
        }
    }

    fn change(&self, model: &str, version: &str, change: impl FnOnce(&mut Totals)) {
        let mut models = self.lock();
        if let Some(totals) = models.get_mut(model) {
            return change(totals);
        }
        let totals = models.entry(model.to_owned()).or_default();
        totals.version = version.to_owned();
        change(totals);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Totals>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn labels<'a>(&'a self, model: &'a str) -> [(&'static str, &'a str); 2] {
        [("model", model), ("version", &self.version)]
    }

    fn answered(&mut self, answered: &Answered) {
        let (input, infer, output) = (
            nanos(answered.input),
            nanos(answered.infer),
            nanos(answered.output),
        );
        self.rows = self.rows.saturating_add(answered.rows);
        self.times.success.add(nanos(answered.total));
        self.times.queue.add(nanos(answered.queue));
        self.times.compute_input.add(input);
        self.times.compute_infer.add(infer);
        self.times.compute_output.add(output);
        let Some(batch_size) = answered.execution else {
            return;
        };
        self.executions += 1;
        // Clients choose the rows: beyond some sizes, others are not told apart.
        let is_known = self.batches.contains_key(&batch_size);
        if is_known || self.batches.len() < limits::BATCH_SIZES {
            let batch = self.batches.entry(batch_size).or_default();
            batch.batch_size = batch_size;
            batch.compute_input.add(input);
            batch.compute_infer.add(infer);
            batch.compute_output.add(output);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A metric with one number a model.
type Series = (&'static str, &'static str, fn(&Totals) -> u64);

const SERIES: [Series; 9] = [
    (
        "nv_inference_request_success",
        "Requests that were answered",
        |totals| totals.times.success.count,
    ),
    ("nv_inference_count", "Rows that were answered", |totals| {
        totals.rows
    }),
    (
        "nv_inference_exec_count",
        "How often the model ran",
        |totals| totals.executions,
    ),
    (
        "nv_inference_request_duration_us",
        "Time of answered requests, in microseconds",
        |totals| totals.times.success.ns / 1000,
    ),
    (
        "nv_inference_queue_duration_us",
        "Of that, waiting",
        |totals| totals.times.queue.ns / 1000,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "Of that, reading tensors",
        |totals| totals.times.compute_input.ns / 1000,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Of that, running the model",
        |totals| totals.times.compute_infer.ns / 1000,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Of that, writing tensors",
        |totals| totals.times.compute_output.ns / 1000,
    ),
    (
        "nv_inference_pending_request_count",
        "Requests waiting for a permit",
        |totals| totals.pending,
    ),
];

/// OpenMetrics ends the names of counters with `_total`, which Triton's do not; so their type is not
/// told.
impl Collector for Statistics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let models = self.lock();
        for (name, help, number) in SERIES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
            for (model, totals) in &*models {
                let labels = totals.labels(model);
                metric
                    .encode_family(&labels)?
                    .encode_gauge(&number(totals))?;
            }
        }
        let (name, help) = ("nv_inference_request_failure", "Requests that failed");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
        for (model, totals) in &*models {
            for (reason, count) in REASONS.iter().zip(&totals.failures) {
                let [model, version] = totals.labels(model);
                let labels = [model, version, ("reason", reason)];
                metric.encode_family(&labels)?.encode_gauge(count)?;
            }
        }
        Ok(())
    }
}
