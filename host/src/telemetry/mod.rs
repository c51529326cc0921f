//! What is measured, by name. One record a request ([`record`]) feeds all of it: the metrics of the
//! host here, and those that Triton has ([`statistics`]).

mod record;
mod statistics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use glovebox_protocol::ModelStatistics;
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
use statistics::Statistics;

pub use record::Record;

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
struct ExecutionLabels {
    model: String,
    execution: &'static str,
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
    native: Family<ModelLabel, Counter<f64, AtomicU64>>,
    fuel: Family<ModelLabel, Counter>,
    memory: Family<ModelLabel, Gauge>,
    waiting: Family<ModelLabel, Gauge>,
    running: Family<ModelLabel, Gauge>,
    info: Family<ExecutionLabels, Gauge>,
    broken: Family<ModelLabel, Gauge>,
    hardening: Family<LayerLabel, Gauge>,
    memory_budget: Gauge,
    memory_reserved: Gauge,
    live: LiveGauges,
    statistics: Arc<Statistics>,
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
            exposition: Exposition::default(),
            requests: Family::default(),
            total: histograms(),
            queue: histograms(),
            instantiate: histograms(),
            guest: histograms(),
            cpu: Family::default(),
            native: Family::default(),
            fuel: Family::default(),
            memory: Family::default(),
            waiting: Family::default(),
            running: Family::default(),
            info: Family::default(),
            broken: Family::default(),
            hardening: Family::default(),
            memory_budget: Gauge::default(),
            memory_reserved: Gauge::default(),
            live: LiveGauges::default(),
            statistics: Arc::default(),
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
            native,
            fuel,
            memory,
            waiting,
            running,
            info,
            broken,
            hardening,
            memory_budget,
            memory_reserved,
            live,
            statistics,
        } = self;
        exposition.register_collector(Box::new(Arc::clone(statistics)));
        let exposition = exposition.sub_registry_with_prefix("glovebox");
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
        exposition.register_with_unit(
            "native_cpu",
            "The part of it that graphs took outside of the sandbox",
            seconds(),
            native.clone(),
        );
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
            "model_info",
            "Where a model is computed: in the sandbox, or natively",
            info.clone(),
        );
        exposition.register(
            "component_broken",
            "Components of the manifest: 1 if it could not be loaded",
            broken.clone(),
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
        let _ = self.native.get_or_create(label);
        let _ = self.fuel.get_or_create(label);
        let _ = self.memory.get_or_create(label);
        let _ = self.broken.get_or_create(label);
    }

    /// Counts a model from the start, in the words of Triton too.
    pub fn begin_model(&self, model: &str, version: &str) {
        self.statistics.begin(model, version);
    }

    /// Says where the model of a component is computed.
    pub fn execution(&self, model: &str, execution: &'static str) {
        let labels = ExecutionLabels {
            model: model.to_owned(),
            execution,
        };
        self.info.get_or_create(&labels).set(1);
    }

    /// Says that a component could not be loaded.
    pub fn broken(&self, component: &str) {
        let label = ModelLabel {
            model: component.to_owned(),
        };
        self.broken.get_or_create(&label).set(1);
    }

    /// What has been counted of a model.
    pub fn of_model(&self, model: &str, version: &str) -> ModelStatistics {
        self.statistics.report(model, version)
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
            self.statistics.pending(name, gate.waiting());
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

    /// One request has ended so.
    fn request(&self, model: &str, outcome: &'static str, total: Duration) {
        let label = ModelLabel {
            model: model.to_owned(),
        };
        let labels = OutcomeLabels {
            model: model.to_owned(),
            outcome,
        };
        self.requests.get_or_create(&labels).inc();
        self.total
            .get_or_create(&label)
            .observe(total.as_secs_f64());
    }

    /// And it has cost so much in the sandbox.
    fn usage(&self, model: &str, usage: &Usage) {
        let label = ModelLabel {
            model: model.to_owned(),
        };
        let observe = |histograms: &Histograms, time: Duration| {
            histograms.get_or_create(&label).observe(time.as_secs_f64())
        };
        observe(&self.queue, usage.queue);
        observe(&self.instantiate, usage.instantiate);
        observe(&self.guest, usage.guest);
        let cpu = usage.cpu.as_secs_f64();
        self.cpu.get_or_create(&label).inc_by(cpu);
        let native = usage.native.as_secs_f64();
        self.native.get_or_create(&label).inc_by(native);
        self.fuel.get_or_create(&label).inc_by(usage.fuel);
        let memory = i64::try_from(usage.memory.0).unwrap_or(i64::MAX);
        let high_water = self.memory.get_or_create(&label);
        high_water.inner().fetch_max(memory, Relaxed);
    }
}

/// From 50 µs, about the time of an instance, to 27 s, about the longest timeout.
fn new_histogram() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}
