//! What all requests share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::application::Application;
use super::repository::Token;
use crate::admission::{Admission, Gate};
use crate::model::registry::Registry;
use crate::native::Graphs;
use crate::sandbox::Sandbox;
use crate::telemetry::Metrics;

/// The models and what is counted about them.
pub struct State {
    /// The models.
    pub registry: Registry,
    /// What is served beside them.
    pub application: Application,
    /// The host's permits.
    pub admission: Admission,
    /// Where all guests run.
    pub sandbox: Arc<Sandbox>,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// Whether to send traffic here.
    pub readiness: Readiness,
    /// Numbers the requests.
    pub request_ids: RequestIds,
    /// Who may load and unload models; nobody unless it is set.
    pub repository: OnceLock<Token>,
}

impl State {
    /// State for these models and routes; ready at once, for they are loaded, or will be when they
    /// are asked for.
    pub fn new(
        registry: Registry,
        application: Application,
        admission: Admission,
        sandbox: Arc<Sandbox>,
    ) -> Self {
        let gates = gates(&registry, &application);
        let metrics = Arc::new(Metrics::new(gates.map(|(name, _)| name)));
        for model in registry.iter().filter(|model| model.is_in_use()) {
            metrics.begin_model(&model.name, model.version());
        }
        for (name, graphs) in graphs(&registry, &application) {
            metrics.execution(name, graphs.execution());
        }
        for broken in registry.broken() {
            metrics.broken(&broken.name);
        }
        let (readiness, request_ids) = Default::default();
        Self {
            registry,
            application,
            admission,
            sandbox,
            metrics,
            readiness,
            request_ids,
            repository: OnceLock::new(),
        }
    }

    /// The permits of all that is served, by its name; not of models on demand that nobody has asked
    /// for yet.
    pub fn gates(&self) -> impl Iterator<Item = (&str, &Gate)> {
        gates(&self.registry, &self.application)
    }
}

fn gates<'a>(
    registry: &'a Registry,
    application: &'a Application,
) -> impl Iterator<Item = (&'a str, &'a Gate)> {
    let models = registry
        .iter()
        .filter(|model| model.is_in_use())
        .map(|model| (model.name.as_str(), &model.gate));
    let functions = application.functions.iter();
    models.chain(functions.map(|function| (function.id.as_str(), &function.gate)))
}

/// The graphs that each runs outside of the sandbox; not of models on demand, which have none, and of
/// which there may be thousands.
fn graphs<'a>(
    registry: &'a Registry,
    application: &'a Application,
) -> impl Iterator<Item = (&'a str, &'a Graphs)> {
    let models = registry
        .iter()
        .filter(|model| model.shared_memory().is_none())
        .map(|model| (model.name.as_str(), &*model.graphs));
    let functions = application.functions.iter();
    models.chain(functions.map(|function| (function.id.as_str(), &*function.graphs)))
}

/// Ready from the start until draining begins.
#[derive(Default)]
pub struct Readiness {
    draining: watch::Sender<bool>,
}

impl Readiness {
    /// Says that no new traffic should come.
    pub fn stop(&self) {
        self.draining.send_replace(true);
    }

    /// Whether new traffic may come.
    pub fn is_ready(&self) -> bool {
        !*self.draining.borrow()
    }

    /// Waits until no new traffic may come.
    pub async fn stopped(&self) {
        let mut draining = self.draining.subscribe();
        // The sender lives as long as this.
        let _ = draining.wait_for(|draining| *draining).await;
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
