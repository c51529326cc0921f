//! What was measured, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Load;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The model's URL.
    pub target: String,
    /// `REST` or `gRPC`.
    pub protocol: &'static str,
    /// The size of one request, without headers.
    pub request_bytes: usize,
    /// One for each load.
    pub steps: Vec<Step>,
}

/// What one load has come to.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The load.
    #[serde(flatten)]
    pub load: Named,
    /// How long it was measured.
    pub seconds: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, how many in a second.
    pub throughput: f64,
    /// Of these, how long they took, in milliseconds.
    pub latency_ms: Latency,
    /// Requests that were not, by kind.
    pub errors: BTreeMap<String, u64>,
}

/// A load by its name.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Named {
    /// Clients, if there is a fixed number of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Requests in a second, if they come at a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// Percentiles.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
    /// 999 of 1000 are faster.
    pub p99_9: f64,
    /// The slowest.
    pub max: f64,
}

impl From<Load> for Named {
    fn from(load: Load) -> Self {
        let (concurrency, rate) = match load {
            Load::Concurrency(clients) => (Some(clients), None),
            Load::Rate(rate) => (None, Some(rate)),
        };
        Self { concurrency, rate }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.concurrency, self.rate) {
            (Some(clients), _) => f.pad(&clients.to_string()),
            (_, Some(rate)) => f.pad(&format!("{rate}/s")),
            _ => Ok(()),
        }
    }
}

impl Report {
    /// Whether any request was answered.
    pub fn has_answers(&self) -> bool {
        self.steps.iter().any(|step| step.requests > 0)
    }

    fn head(&self) -> &'static str {
        match self.steps.iter().any(|step| step.load.rate.is_some()) {
            true => "rate",
            false => "concurrency",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            protocol,
            request_bytes,
            steps,
        } = self;
        writeln!(
            f,
            "{target} over {protocol}, {request_bytes} bytes a request\n"
        )?;
        writeln!(
            f,
            "{:>11} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9}  errors",
            self.head(),
            "requests/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        )?;
        steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = self.latency_ms;
        write!(f, "{:>11} {:>12.1}", self.load, self.throughput)?;
        for latency in [p50, p90, p99, p99_9, max] {
            match self.requests {
                0 => write!(f, " {:>9}", "-")?,
                _ => write!(f, " {latency:>9.2}")?,
            }
        }
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        match errors.is_empty() {
            true => write!(f, "  none"),
            false => write!(f, "  {}", errors.join(", ")),
        }
    }
}
