//! A load generator for servers of Open Inference Protocol v2, over REST and over gRPC.
//!
//! Two kinds of load. With a *concurrency* of n, n clients send one request after the other. At a
//! *rate*, requests are due at fixed moments whatever the server does, and a latency counts from the
//! moment at which its request was due: a server that stops for a second makes late all that would
//! have been sent in it, not one request.

mod client;
mod input;
pub mod plot;
pub mod report;
mod step;
mod target;

use std::time::Duration;

pub use target::Target;

use client::{Connection, Dialect};
use report::Report;

/// What to measure.
pub struct Plan {
    /// The model.
    pub target: Target,
    /// Over gRPC, and not over REST.
    pub grpc: bool,
    /// One after the other.
    pub loads: Vec<Load>,
    /// How long each load lasts; what is before the measurement comes on top.
    pub duration: Duration,
    /// A request as JSON; else one is made of the model's metadata.
    pub input: Option<Vec<u8>>,
}

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// By so many clients, each one after the other.
    Concurrency(usize),
    /// So many in a second.
    Rate(f64),
}

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URL.
    #[error(
        "{0:?} is not the URL of a model; it looks like http://127.0.0.1:3000/v2/models/digits"
    )]
    Url(String),
    /// Nobody is there.
    #[error("cannot reach {authority}: {problem}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// Why.
        problem: String,
    },
    /// Somebody is there, who speaks something else.
    #[error("{authority} does not answer as a server of the protocol: {problem}")]
    Foreign {
        /// Host and port.
        authority: String,
        /// What it did.
        problem: String,
    },
    /// The server answers with an error.
    #[error("the server refuses {what}: {problem}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// What it said, harmless.
        problem: String,
    },
    /// The input.
    #[error("{0}; give a request with --input")]
    Input(String),
    /// The input's file.
    #[error("--input: {0}")]
    File(glovebox_protocol::Error),
    /// Latencies cannot be counted.
    #[error("cannot count latencies: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// Measures; says before each load which one it is.
///
/// # Errors
/// The server cannot be reached, or does not answer the first request.
pub async fn run(plan: &Plan, begin: impl Fn(usize, Load)) -> Result<Report, BenchError> {
    let dialect = match plan.grpc {
        true => Dialect::Grpc,
        false => Dialect::Rest,
    };
    let mut connection = Connection::open(&plan.target, dialect).await?;
    let request = match &plan.input {
        Some(json) => input::read(json)?,
        None => input::generate(&connection.describe(&plan.target).await?)?,
    };
    let ask = dialect.infer(&plan.target, request, plan.input.as_deref())?;
    connection.try_out(&ask).await?;
    drop(connection);
    let mut steps = Vec::new();
    for (index, load) in plan.loads.iter().enumerate() {
        begin(index, *load);
        steps.push(step::run(plan, dialect, &ask, *load).await?);
    }
    Ok(Report {
        target: plan.target.to_string(),
        protocol: dialect.name(),
        request_bytes: ask.body.len(),
        steps,
    })
}
