//! The extension `statistics`: what a server has counted of its models, in the form that Triton has.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answer to `GET /v2/models/stats` and `GET /v2/models/{model}/stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatisticsReport {
    /// One entry a model.
    pub model_stats: Vec<ModelStatistics>,
}

/// What has been counted of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelStatistics {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it last answered, in milliseconds since 1970; 0 if it never has.
    pub last_inference: u64,
    /// Rows answered: a request of 8 rows counts 8.
    pub inference_count: u64,
    /// How often the model ran for them.
    pub execution_count: u64,
    /// Requests, and where their time went.
    pub inference_stats: InferenceStatistics,
    /// For models that answer a request more than once; no model here does.
    pub response_stats: BTreeMap<String, u64>,
    /// Executions by their number of rows.
    pub batch_stats: Vec<BatchStatistics>,
    /// Not measured in this form.
    pub memory_usage: Vec<u64>,
}

/// Requests, and where the time of those that were answered went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct InferenceStatistics {
    /// Answered requests, from their arrival to their answer.
    pub success: DurationStatistics,
    /// All others.
    pub fail: DurationStatistics,
    /// Waiting.
    pub queue: DurationStatistics,
    /// Reading tensors.
    pub compute_input: DurationStatistics,
    /// Running the model.
    pub compute_infer: DurationStatistics,
    /// Writing tensors.
    pub compute_output: DurationStatistics,
    /// There is no cache: always zero.
    pub cache_hit: DurationStatistics,
    /// There is no cache: always zero.
    pub cache_miss: DurationStatistics,
}

/// How often something happened, and how long it took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DurationStatistics {
    /// How often.
    pub count: u64,
    /// How long, in nanoseconds.
    pub ns: u64,
}

/// Executions with one number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BatchStatistics {
    /// The rows.
    pub batch_size: u64,
    /// Reading their tensors.
    pub compute_input: DurationStatistics,
    /// Running the model.
    pub compute_infer: DurationStatistics,
    /// Writing their tensors.
    pub compute_output: DurationStatistics,
}

impl DurationStatistics {
    /// Counts one more.
    pub fn add(&mut self, nanos: u64) {
        self.count = self.count.saturating_add(1);
        self.ns = self.ns.saturating_add(nanos);
    }
}
