//! `[component.<id>.tool.glovebox]`: limits as far as a manifest gives them, and what follows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::limits::{self, Batch, Bytes, Limits};
use crate::model::defaults::Defaults;
use crate::model::graphs::Files;
use crate::native::Engine;
use crate::text;

/// Where a component's model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Execution {
    /// In the sandbox, like all its code.
    Sandbox,
    /// By the host itself, for the operator trusts its graphs.
    Native,
    /// The same by a library of the system.
    OnnxRuntime,
}

impl Execution {
    /// What runs graphs, if anything does.
    fn engine(self) -> Option<Engine> {
        match self {
            Self::Sandbox => None,
            Self::Native => Some(Engine::Tract),
            Self::OnnxRuntime => Some(Engine::OnnxRuntime),
        }
    }
}

/// Limits as far as they are given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    memory: Option<Bytes>,
    #[serde(default, with = "humantime_serde")]
    cpu: Option<Duration>,
    fuel: Option<u64>,
    #[serde(default, with = "humantime_serde")]
    timeout: Option<Duration>,
    concurrency: Option<usize>,
    body: Option<Bytes>,
    output: Option<Bytes>,
    batch: Option<Batch>,
    execution: Option<Execution>,
    /// The graphs that it may run natively, by their names; paths as they are written.
    #[serde(default)]
    graphs: BTreeMap<String, PathBuf>,
    pub(super) tenant: Option<String>,
    pub(super) weight: Option<u32>,
}

impl LimitSettings {
    /// Reads such a table that does not stand in a manifest.
    ///
    /// # Errors
    /// It says what the manifest could not say either.
    pub fn read(table: toml::Table) -> Result<Self, String> {
        let settings: Self = table.try_into().map_err(|error: toml::de::Error| {
            let message: Vec<_> = error.message().lines().map(str::trim).collect();
            text::escape(&message.join(" "))
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// Whose compute it is, and the share of it; by default that of `name`.
    pub fn tenant(&self, name: &str) -> (String, u32) {
        let tenant = self.tenant.as_deref().unwrap_or(name);
        (tenant.to_owned(), self.weight.unwrap_or(1))
    }

    /// The limits of a component whose requests take `own` of the host at most, with defaults for what
    /// is not given: as small as they must be for requests to fit.
    ///
    /// # Errors
    /// Requests at once with all their memory do not fit into `share`: a line with the arithmetic.
    pub fn resolve(&self, defaults: &Defaults, own: Bytes, share: Bytes) -> Result<Limits, String> {
        let limits = self.limits(defaults, own, share);
        let fitting = fitting(&limits, share);
        let concurrency = match self.concurrency {
            Some(concurrency) => concurrency,
            None => limits.concurrency.min(fitting).max(1),
        };
        let limits = Limits {
            concurrency,
            ..limits
        };
        match concurrency <= fitting {
            true => Ok(limits),
            false => Err(too_much(&limits, share)),
        }
    }

    /// The largest of which as many fit as should; else of which one does.
    fn limits(&self, defaults: &Defaults, own: Bytes, share: Bytes) -> Limits {
        let wanted = self.concurrency.unwrap_or(limits::WANTED_CONCURRENCY);
        let all = || {
            let divisors = Defaults::DIVISORS.into_iter();
            divisors.map(|divisor| self.over(defaults.limits(divisor), own))
        };
        let first = |count| all().find(|limits| fitting(limits, share) >= count);
        let least = || {
            all()
                .next_back()
                .unwrap_or_else(|| self.over(defaults.limits(1), own))
        };
        first(wanted).or_else(|| first(1)).unwrap_or_else(least)
    }

    /// What is given, in the place of defaults.
    fn over(&self, defaults: Limits, own: Bytes) -> Limits {
        Limits {
            memory: self.memory.unwrap_or(defaults.memory),
            cpu: self.cpu.unwrap_or(defaults.cpu),
            fuel: self.fuel,
            timeout: self.timeout.unwrap_or(defaults.timeout),
            concurrency: self.concurrency.unwrap_or(defaults.concurrency),
            body: self.body.unwrap_or(defaults.body),
            output: self.output.unwrap_or(defaults.output),
            own,
            batch: self.batch,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let most = limits::INSTANCES as usize;
        if !(1..=most).contains(&self.concurrency.unwrap_or(1)) {
            return Err(format!(
                "concurrency must be from 1 to {most}, the instances of a host"
            ));
        }
        if self.fuel == Some(0) {
            return Err("fuel must be more than 0".into());
        }
        if self.weight == Some(0) {
            return Err("weight must be at least 1".into());
        }
        self.check_batch()?;
        self.check_graphs()?;
        let mut times = [self.cpu, self.timeout].into_iter().flatten();
        if times.any(|time| time.is_zero() || time > Limits::LONGEST) {
            return Err(format!(
                "cpu and timeout must be more than 0, and {} at most",
                humantime::format_duration(Limits::LONGEST)
            ));
        }
        Ok(())
    }

    /// The graphs that it may run, in the folder of the manifest.
    pub(super) fn graphs(&self, dir: &Path) -> Files {
        let paths = self.graphs.iter();
        let paths = paths.map(|(name, path)| (name.clone(), dir.join(path)));
        Files {
            engine: self.engine().unwrap_or_default(),
            paths: paths.collect(),
        }
    }

    fn engine(&self) -> Option<Engine> {
        self.execution.and_then(Execution::engine)
    }

    /// Two keys, so that nobody trusts a graph by naming a file.
    fn check_graphs(&self) -> Result<(), String> {
        match (self.engine(), self.graphs.is_empty()) {
            (Some(engine), true) => Err(format!(
                "execution = {:?} runs the graphs that you trust: name them with graphs = {{ name = \
                 \"model.onnx\" }}",
                engine.name()
            )),
            (None, false) => Err(
                "graphs are run outside of the sandbox: if you trust them, write execution = \
                 \"native\" as well"
                    .into(),
            ),
            (_, _) => Ok(()),
        }
    }

    fn check_batch(&self) -> Result<(), String> {
        let Some(Batch { max, delay }) = &self.batch else {
            return Ok(());
        };
        if !(2..=Batch::ROWS).contains(max) {
            return Err(format!("batch.max must be from 2 to {} rows", Batch::ROWS));
        }
        if *delay > Batch::LONGEST_DELAY {
            return Err(format!(
                "batch.delay must be {} at most",
                humantime::format_duration(Batch::LONGEST_DELAY)
            ));
        }
        Ok(())
    }
}

/// How many requests fit.
fn fitting(limits: &Limits, share: Bytes) -> usize {
    let count = share.0.checked_div(limits.footprint().0);
    count.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    })
}

fn too_much(limits: &Limits, share: Bytes) -> String {
    let Limits {
        memory,
        concurrency,
        body,
        output,
        ..
    } = limits;
    let footprint = limits.footprint();
    let all = Bytes(footprint.0.saturating_mul(*concurrency as u64));
    format!(
        "concurrency {concurrency} x {footprint} a request = {all}, but there are {share}; a request \
         is memory {memory} + {} x body {body} + {} x output {output} + {}: lower one of them, or \
         raise --memory-budget",
        limits::BYTES_PER_BODY_BYTE,
        limits::BYTES_PER_OUTPUT_BYTE,
        limits.fixed()
    )
}
