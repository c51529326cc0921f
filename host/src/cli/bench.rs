//! `glovebox bench`: how fast a server of the protocol answers.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::pack::spinner;
use crate::bench::{self, Load, Plan, Target, plot};
use crate::limits;

#[derive(Args)]
pub(super) struct Bench {
    /// A model's URL, such as http://127.0.0.1:3000/v2/models/digits
    url: Target,
    /// Speak gRPC, on the same port
    #[arg(long)]
    grpc: bool,
    /// How many clients send at once, one load after the other
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 2, 4, 8], value_parser = clients)]
    concurrency: Vec<usize>,
    /// Requests in a second, whether the server keeps up or not; latency counts from when each was due
    #[arg(long, value_name = "N", conflicts_with = "concurrency", value_parser = rate)]
    rate: Option<f64>,
    /// How long each load is measured, after a short time that is not
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The request to send, as JSON [default: one made of the model's metadata]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Draw the result into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

impl Bench {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.measure())
    }

    async fn measure(self) -> Result<ExitCode, Failure> {
        let plan = self.plan()?;
        let count = plan.loads.len();
        let progress = io::stderr()
            .is_terminal()
            .then(|| spinner("connecting".into()));
        let begin = |index: usize, load: Load| {
            if let Some(progress) = &progress {
                progress.set_message(format!("load {} of {count}: {}", index + 1, named(load)));
            }
        };
        let report = bench::run(&plan, begin).await;
        progress.inspect(|progress| progress.finish_and_clear());
        let report = report?;
        if let Some(file) = &self.plot {
            let written = fs::write(file, plot::svg(&report));
            written.map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{report}"),
        }
        match report.has_answers() {
            true => Ok(ExitCode::SUCCESS),
            false => Err("no request was answered".into()),
        }
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        };
        Ok(Plan {
            target: self.url.clone(),
            grpc: self.grpc,
            loads: match self.rate {
                Some(rate) => vec![Load::Rate(rate)],
                None => self
                    .concurrency
                    .iter()
                    .map(|clients| Load::Concurrency(*clients))
                    .collect(),
            },
            duration: self.duration,
            input: self.input.as_ref().map(read).transpose()?,
        })
    }
}

fn named(load: Load) -> String {
    match load {
        Load::Concurrency(clients) => format!("concurrency {clients}"),
        Load::Rate(rate) => format!("{rate} requests a second"),
    }
}

fn clients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(clients) if (1..=limits::CONNECTIONS).contains(&clients) => Ok(clients),
        _ => Err(format!("a number from 1 to {}", limits::CONNECTIONS)),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=limits::BENCH_RATE).contains(&rate) => Ok(rate),
        _ => Err(format!("a number from 0.1 to {}", limits::BENCH_RATE)),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (limits::BENCH_SHORTEST..=limits::BENCH_LONGEST).contains(&duration) {
        true => Ok(duration),
        false => Err("a time from 100ms to 1h".into()),
    }
}
