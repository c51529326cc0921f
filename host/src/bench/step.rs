//! One load for some time: who sends when, and what is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Ask, Connection, Dialect};
use super::report::{Latency, Step};
use super::{BenchError, Load, Plan, Target};
use crate::limits;

/// What all clients of a load share.
struct Shared {
    target: Target,
    dialect: Dialect,
    ask: Ask,
    load: Load,
    begin: Instant,
    /// From here on it is measured.
    measured: Instant,
    end: Instant,
    /// The number of the next request that is due.
    next: AtomicU64,
    /// One permit for each request that is due, at a rate.
    due: Semaphore,
}

/// What one client has seen.
struct Tally {
    latency: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

/// Sends, and waits for the last answers.
pub(super) async fn run(
    plan: &Plan,
    dialect: Dialect,
    ask: &Ask,
    load: Load,
) -> Result<Step, BenchError> {
    let (begin, warm_up) = (
        Instant::now(),
        (plan.duration / 10).min(limits::BENCH_WARM_UP),
    );
    let shared = Arc::new(Shared {
        target: plan.target.clone(),
        dialect,
        ask: ask.clone(),
        load,
        begin,
        measured: begin + warm_up,
        end: begin + warm_up + plan.duration,
        next: AtomicU64::new(0),
        due: Semaphore::new(0),
    });
    let clients = match load {
        Load::Concurrency(clients) => clients,
        Load::Rate(_) => limits::BENCH_CLIENTS,
    };
    if let Load::Rate(rate) = load {
        let shared = Arc::clone(&shared);
        // A clock of the runtime is too coarse for this.
        tokio::task::spawn_blocking(move || shared.keep_pace(rate));
    }
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let shared = Arc::clone(&shared);
        running.spawn(async move { shared.client().await });
    }
    let mut all = Tally::new()?;
    while let Some(tally) = running.join_next().await {
        // A client that panics would be a bug, and its requests would be missing.
        if let Ok(tally) = tally {
            all.add(tally?);
        }
    }
    Ok(all.into_step(load, plan.duration))
}

impl Shared {
    /// One client until the end.
    async fn client(&self) -> Result<Tally, BenchError> {
        let mut tally = Tally::new()?;
        let mut connection = None;
        while let Some(due) = self.next().await {
            if due >= self.end {
                break;
            }
            if Instant::now() >= self.end {
                // At a rate that the server does not reach, some are never sent.
                tally.count("not_sent", due >= self.measured);
                continue;
            }
            let sent = self.send(&mut connection).await;
            let counts = due >= self.measured;
            match sent {
                Ok(()) if counts => tally.record(due.elapsed()),
                Ok(()) => {}
                Err(kind) => tally.count(&kind, counts),
            }
        }
        Ok(tally)
    }

    /// When the next request is due.
    async fn next(&self) -> Option<Instant> {
        let Load::Rate(rate) = self.load else {
            return Some(Instant::now());
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Relaxed);
        Some(self.begin + Duration::from_secs_f64(number as f64 / rate))
    }

    async fn send(&self, connection: &mut Option<Connection>) -> Result<(), String> {
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(&self.target, self.dialect).await,
        };
        let mut open = match open {
            Ok(open) => open,
            Err(_) => {
                // Nobody there: to ask again at once would only measure this loop.
                tokio::time::sleep(limits::BENCH_RETRY_TIME).await;
                return Err("connection".into());
            }
        };
        match open.send(&self.ask).await {
            Ok(_) => {
                *connection = Some(open);
                Ok(())
            }
            Err(failed) => {
                *connection = (!failed.is_lost).then_some(open);
                Err(failed.kind)
            }
        }
    }

    /// Says of each request when it is due. A few more at the end tell the clients that it is the end.
    fn keep_pace(&self, rate: f64) {
        let mut told = 0;
        while Instant::now() < self.end {
            let due = (self.begin.elapsed().as_secs_f64() * rate) as usize + 1;
            self.due.add_permits(due.saturating_sub(told));
            told = due.max(told);
            let next = self.begin + Duration::from_secs_f64(told as f64 / rate);
            let wait = next.min(self.end).saturating_duration_since(Instant::now());
            thread::sleep(wait.max(limits::BENCH_PACE_TIME));
        }
        self.due
            .add_permits(((self.end - self.begin).as_secs_f64() * rate) as usize + 1);
        self.due.add_permits(limits::BENCH_CLIENTS);
    }
}

impl Tally {
    fn new() -> Result<Self, BenchError> {
        Ok(Self {
            // Three digits. It grows with what is recorded.
            latency: Histogram::new(3)?,
            errors: BTreeMap::new(),
        })
    }

    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        // Only recording so makes it grow; a number of hours fits into 64 bits.
        let _ = self.latency.record(micros);
    }

    fn count(&mut self, kind: &str, counts: bool) {
        if counts {
            *self.errors.entry(kind.to_owned()).or_default() += 1;
        }
    }

    fn add(&mut self, other: Self) {
        // It grows by itself, so all fit.
        let _ = self.latency.add(&other.latency);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    fn into_step(self, load: Load, duration: Duration) -> Step {
        let at = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let requests = self.latency.len();
        Step {
            load: load.into(),
            seconds: duration.as_secs_f64(),
            requests,
            throughput: requests as f64 / duration.as_secs_f64(),
            latency_ms: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p99_9: at(0.999),
                max: self.latency.max() as f64 / 1000.0,
            },
            errors: self.errors,
        }
    }
}
