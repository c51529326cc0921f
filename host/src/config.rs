//! `spin.toml` as far as models need it: what was written ([`Manifest`]) becomes what is served
//! ([`Component`]). A key that is not known is an error, never ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::Deserialize;
use serde_json::Value;

use crate::limits::{self, Bytes, Limits};
use crate::text;

/// A component to be served.
#[derive(Debug)]
pub struct Component {
    /// Its id, which is the model's name in URLs.
    pub id: String,
    /// The wasm file.
    pub source: PathBuf,
    /// Whose compute it uses: the component's own id by default.
    pub tenant: String,
    /// The tenant's share of a busy machine.
    pub weight: u32,
    /// What the manifest says of its limits.
    pub limits: LimitSettings,
    /// How its file is made.
    pub build: Option<Build>,
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
    tenant: Option<String>,
    weight: Option<u32>,
}

/// Shell commands that make a component's file.
#[derive(Debug)]
pub struct Build {
    /// Run one after the other.
    pub commands: Vec<String>,
    /// Where.
    pub dir: PathBuf,
}

/// Why a manifest cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; name a manifest, a .wasm or an .onnx file with --from")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML or has a key that is not supported.
    #[error("{0}")]
    Toml(String),
    /// The file says something that cannot be.
    #[error("{path}: {}", text::escape(problem))]
    Invalid {
        /// The file.
        path: String,
        /// What.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: Application,
    trigger: Triggers,
    component: BTreeMap<String, ComponentToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Application {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "version")]
    _version: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "tool")]
    _tool: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    #[serde(default)]
    http: Vec<HttpTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    #[serde(rename = "id")]
    _id: Option<String>,
    route: String,
    component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentToml {
    #[serde(rename = "description")]
    _description: Option<String>,
    source: PathBuf,
    build: Option<BuildToml>,
    #[serde(default)]
    tool: Tools,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuildToml {
    command: Commands,
    workdir: Option<PathBuf>,
    #[serde(default, rename = "watch")]
    _watch: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Commands {
    One(String),
    Many(Vec<String>),
}

/// The table that Spin leaves to other tools; ours is one of them.
#[derive(Default, Deserialize)]
struct Tools {
    #[serde(default)]
    glovebox: LimitSettings,
}

impl LimitSettings {
    /// The limits of a component whose image has `image`, with defaults for what is not given.
    ///
    /// # Errors
    /// Requests at once with all their memory do not fit into `share`: a line with the arithmetic.
    pub fn resolve(&self, image: Bytes, share: Bytes) -> Result<Limits, String> {
        let limits = self.limits(image);
        let fitting = usize::try_from(share.0 / limits.footprint().0).unwrap_or(usize::MAX);
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

    fn limits(&self, image: Bytes) -> Limits {
        let defaults = Limits::for_image(image.0);
        Limits {
            memory: self.memory.unwrap_or(defaults.memory),
            cpu: self.cpu.unwrap_or(defaults.cpu),
            fuel: self.fuel,
            timeout: self.timeout.unwrap_or(defaults.timeout),
            concurrency: self.concurrency.unwrap_or(defaults.concurrency),
            body: self.body.unwrap_or(defaults.body),
            output: self.output.unwrap_or(defaults.output),
        }
    }

    fn check(&self) -> Result<(), String> {
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
        let mut times = [self.cpu, self.timeout].into_iter().flatten();
        if times.any(|time| time.is_zero() || time > Limits::LONGEST) {
            return Err(format!(
                "cpu and timeout must be more than 0, and {} at most",
                humantime::format_duration(Limits::LONGEST)
            ));
        }
        Ok(())
    }
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
        Bytes(limits::FIBER_STACK_BYTES as u64 + limits::REQUEST_BYTES)
    )
}

/// Reads a manifest; paths in it are relative to its folder.
///
/// # Errors
/// The file cannot be read, has an unknown key, or contradicts itself.
pub fn read(path: &Path) -> Result<Vec<Component>, ConfigError> {
    let written = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })?;
    parse(&written, path)
}

/// What a manifest says that stands in the file `path`, which is not read.
///
/// # Errors
/// It has an unknown key or contradicts itself.
pub fn parse(written: &str, path: &Path) -> Result<Vec<Component>, ConfigError> {
    let manifest: Manifest = toml::from_str(written)
        .map_err(|error| ConfigError::Toml(text::toml_error(path, written, &error)))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    components(manifest, dir).map_err(|problem| ConfigError::Invalid {
        path: path.display().to_string(),
        problem,
    })
}

fn components(manifest: Manifest, dir: &Path) -> Result<Vec<Component>, String> {
    if manifest.spin_manifest_version != 2 {
        return Err(format!(
            "spin_manifest_version is {}, only 2 is supported",
            manifest.spin_manifest_version
        ));
    }
    if manifest.trigger.http.is_empty() {
        return Err("there is no [[trigger.http]], so nothing would be served".into());
    }
    manifest
        .trigger
        .http
        .iter()
        .try_for_each(|trigger| check_route(trigger, &manifest.component))?;
    let served = |id: &str| {
        manifest
            .trigger
            .http
            .iter()
            .any(|trigger| trigger.component == id)
    };
    manifest
        .component
        .into_iter()
        .filter(|(id, _)| served(id))
        .map(|(id, toml)| component(id, toml, dir))
        .collect()
}

/// A model function has no HTTP of its own: the host serves it at the protocol's path.
fn check_route(
    trigger: &HttpTrigger,
    components: &BTreeMap<String, ComponentToml>,
) -> Result<(), String> {
    let HttpTrigger {
        route, component, ..
    } = trigger;
    if !components.contains_key(component) {
        return Err(format!(
            "the trigger for route {route:?} names component {component:?}, which does not exist"
        ));
    }
    let expected = format!("/v2/models/{component}/...");
    if *route == expected {
        return Ok(());
    }
    Err(format!(
        "route {route:?} of component {component:?}: a model is served at its own path, write route = {expected:?}"
    ))
}

fn component(id: String, toml: ComponentToml, dir: &Path) -> Result<Component, String> {
    let limits = toml.tool.glovebox;
    limits
        .check()
        .map_err(|problem| format!("[component.{id}.tool.glovebox]: {problem}"))?;
    let build = toml.build.map(|build| Build {
        commands: match build.command {
            Commands::One(command) => vec![command],
            Commands::Many(commands) => commands,
        },
        dir: dir.join(build.workdir.unwrap_or_default()),
    });
    let tenant = limits.tenant.clone().unwrap_or_else(|| id.clone());
    let weight = limits.weight.unwrap_or(1);
    Ok(Component {
        source: dir.join(toml.source),
        id,
        tenant,
        weight,
        limits,
        build,
    })
}
