//! What is measured, by name. One record a request feeds all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry as Exposition, Unit};

use crate::admission::Gate;
use crate::harden::{Layer, Wall};
use crate::limits::Bytes;
use crate::memory::Budget;
use crate::sandbox::Live;
use crate::sandbox::invoke::Usage;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    model: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LayerLabel {
    layer: &'static str,
}

type Histograms = Family<ModelLabel, Histogram, fn() -> Histogram>;

/// All metrics of a host.
pub struct Metrics {
    exposition: Exposition,
    requests: Family<OutcomeLabels, Counter>,
    total: Histograms,
    queue: Histograms,
    instantiate: Histograms,
    guest: Histograms,
    cpu: Family<ModelLabel, Counter<f64, AtomicU64>>,
    fuel: Family<ModelLabel, Counter>,
    memory: Family<ModelLabel, Gauge>,
    waiting: Family<ModelLabel, Gauge>,
    running: Family<ModelLabel, Gauge>,
    hardening: Family<LayerLabel, Gauge>,
    memory_budget: Gauge,
    memory_reserved: Gauge,
    live: LiveGauges,
}

/// What guests hold of the pool, over all models.
#[derive(Default)]
struct LiveGauges {
    instances: Gauge,
    memories: Gauge,
    tables: Gauge,
    stacks: Gauge,
}

impl LiveGauges {
    fn register(&self, exposition: &mut Exposition) {
        let Self {
            instances,
            memories,
            tables,
            stacks,
        } = self;
        let mut register = |name: &str, help: &str, gauge: &Gauge| {
            exposition.register(name, help, gauge.clone());
        };
        register("live_instances", "Instances of components now", instances);
        register("live_memories", "Linear memories of guests now", memories);
        register("live_tables", "Tables of guests now", tables);
        register("live_stacks", "Stacks of guests now", stacks);
    }

    fn set(&self, live: Live) {
        let set = |gauge: &Gauge, count: u64| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        set(&self.instances, live.instances);
        set(&self.memories, live.memories);
        set(&self.tables, live.tables);
        set(&self.stacks, live.stacks);
    }
}

impl Metrics {
    /// Metrics with a series for each model and component from the start, so that rates have a zero.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let histograms = || Histograms::new_with_constructor(new_histogram);
        let mut metrics = Self {
            exposition: Exposition::with_prefix("glovebox"),
            requests: Family::default(),
            total: histograms(),
            queue: histograms(),
            instantiate: histograms(),
            guest: histograms(),
            cpu: Family::default(),
            fuel: Family::default(),
            memory: Family::default(),
            waiting: Family::default(),
            running: Family::default(),
            hardening: Family::default(),
            memory_budget: Gauge::default(),
            memory_reserved: Gauge::default(),
            live: LiveGauges::default(),
        };
        metrics.register();
        for name in names {
            metrics.begin(&ModelLabel {
                model: name.to_owned(),
            });
            let _ = metrics.requests.get_or_create(&OutcomeLabels {
                model: name.to_owned(),
                outcome: "ok",
            });
        }
        metrics
    }

    fn register(&mut self) {
        let Self {
            exposition,
            requests,
            total,
            queue,
            instantiate,
            guest,
            cpu,
            fuel,
            memory,
            waiting,
            running,
            hardening,
            memory_budget,
            memory_reserved,
            live,
        } = self;
        exposition.register(
            "requests",
            "Inference requests by outcome",
            requests.clone(),
        );
        let seconds = || Unit::Seconds;
        exposition.register_with_unit(
            "request_duration",
            "From accepting a request to its answer",
            seconds(),
            total.clone(),
        );
        exposition.register_with_unit(
            "queue_duration",
            "Waiting for a compute thread",
            seconds(),
            queue.clone(),
        );
        exposition.register_with_unit(
            "instantiate_duration",
            "Making the instance",
            seconds(),
            instantiate.clone(),
        );
        exposition.register_with_unit(
            "guest_duration",
            "From calling the guest to its return",
            seconds(),
            guest.clone(),
        );
        exposition.register_with_unit("guest_cpu", "CPU time of guests", seconds(), cpu.clone());
        exposition.register(
            "guest_fuel",
            "Instructions of guests whose fuel is limited",
            fuel.clone(),
        );
        exposition.register_with_unit(
            "guest_memory_high_water",
            "The most memory that one request used",
            Unit::Bytes,
            memory.clone(),
        );
        exposition.register(
            "waiting_requests",
            "Requests waiting for a permit",
            waiting.clone(),
        );
        exposition.register(
            "running_requests",
            "Requests that hold a permit",
            running.clone(),
        );
        exposition.register(
            "hardening",
            "Layers of the wall around the process: 1 if it stands",
            hardening.clone(),
        );
        exposition.register_with_unit(
            "memory_budget",
            "Memory that requests may take together",
            Unit::Bytes,
            memory_budget.clone(),
        );
        exposition.register_with_unit(
            "memory_reserved",
            "Memory reserved by requests and by answers on their way",
            Unit::Bytes,
            memory_reserved.clone(),
        );
        live.register(exposition);
    }

    fn begin(&self, label: &ModelLabel) {
        for histograms in [&self.total, &self.queue, &self.instantiate, &self.guest] {
            let _ = histograms.get_or_create(label);
        }
        let _ = self.cpu.get_or_create(label);
        let _ = self.fuel.get_or_create(label);
        let _ = self.memory.get_or_create(label);
    }

    /// Says which layers of the wall stand.
    pub fn hardening(&self, wall: &Wall) {
        for layer in Layer::ALL {
            let stands = wall.layers().any(|standing| standing == layer);
            let label = LayerLabel {
                layer: layer.name(),
            };
            self.hardening.get_or_create(&label).set(stands.into());
        }
    }

    /// The text that Prometheus scrapes, with what the gates, the budget and the sandbox say now.
    pub fn encode<'a>(
        &self,
        gates: impl Iterator<Item = (&'a str, &'a Gate)>,
        budget: &Budget,
        live: Live,
    ) -> String {
        let bytes = |bytes: Bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX);
        self.memory_budget.set(bytes(budget.total()));
        self.memory_reserved.set(bytes(budget.reserved()));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, gate) in gates {
            let label = ModelLabel {
                model: name.to_owned(),
            };
            self.waiting
                .get_or_create(&label)
                .set(count(gate.waiting()));
            self.running
                .get_or_create(&label)
                .set(count(gate.running()));
        }
        self.live.set(live);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.exposition);
        text
    }
}

/// From 50 µs, about the time of an instance, to 27 s, about the longest timeout.
fn new_histogram() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

/// The record of one request. Written when dropped: also if the client goes away.
pub struct Record {
    metrics: Arc<Metrics>,
    model: String,
    request_id: String,
    accepted: Instant,
    outcome: &'static str,
    usage: Option<Usage>,
}

impl Record {
    /// Begins a record; without an outcome it says that the client went away.
    pub fn new(metrics: Arc<Metrics>, model: &str, request_id: &str, accepted: Instant) -> Self {
        Self {
            metrics,
            model: model.to_owned(),
            request_id: request_id.to_owned(),
            accepted,
            outcome: "cancelled",
            usage: None,
        }
    }

    /// How it ended.
    pub fn outcome(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// What it cost in the sandbox.
    pub fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn measure(&self, label: &ModelLabel, usage: &Usage) {
        let observe = |histograms: &Histograms, time: Duration| {
            histograms.get_or_create(label).observe(time.as_secs_f64())
        };
        observe(&self.metrics.queue, usage.queue);
        observe(&self.metrics.instantiate, usage.instantiate);
        observe(&self.metrics.guest, usage.guest);
        self.metrics
            .cpu
            .get_or_create(label)
            .inc_by(usage.cpu.as_secs_f64());
        self.metrics.fuel.get_or_create(label).inc_by(usage.fuel);
        let memory = i64::try_from(usage.memory.0).unwrap_or(i64::MAX);
        self.metrics
            .memory
            .get_or_create(label)
            .inner()
            .fetch_max(memory, Relaxed);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let total = self.accepted.elapsed();
        let label = ModelLabel {
            model: self.model.clone(),
        };
        let labels = OutcomeLabels {
            model: self.model.clone(),
            outcome: self.outcome,
        };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics
            .total
            .get_or_create(&label)
            .observe(total.as_secs_f64());
        if let Some(usage) = &self.usage {
            self.measure(&label, usage);
        }
        let cpu_us = self.usage.map_or(0, |usage| usage.cpu.as_micros() as u64);
        let memory_bytes = self.usage.map_or(0, |usage| usage.memory.0);
        tracing::debug!(
            model = self.model,
            request_id = self.request_id,
            outcome = self.outcome,
            total_us = total.as_micros() as u64,
            cpu_us,
            memory_bytes,
            "request"
        );
    }
}
