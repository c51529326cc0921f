//! Deployed models: a package becomes something that can be called.

pub mod batch;
pub mod compose;
pub mod defaults;
pub mod example;
pub mod graphs;
pub mod http;
pub mod kind;
mod layout;
pub mod metadata;
pub mod on_demand;
pub mod package;
pub mod registry;
pub mod regular;
mod rows;
pub mod runtime;
pub mod shared;
mod sharing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use glovebox_protocol::{FIRST_VERSION, Signature};

use crate::admission::Gate;
use crate::compile::{CompileError, Compiler};
use crate::error::RequestError;
use crate::limits::{self, Bytes, Limits};
use crate::memory::{Budget, Reservation};
use crate::native::Graphs;
use crate::sandbox::Sandbox;
use crate::sandbox::compute::Tenant;
use crate::sandbox::engine::Metering;
use crate::sandbox::function::{Code, Function};
use crate::sandbox::invoke::Fault;
use crate::text;
use batch::Batcher;
use metadata::Metadata;
use on_demand::OnDemand;
use package::{Package, PackageError};

/// A model that answers requests.
pub struct Model {
    /// The name in URLs.
    pub name: String,
    /// The id of its component in the manifest, by which its neighbours call it.
    pub component: String,
    /// What its file says about it.
    pub metadata: Option<Metadata>,
    /// What it is called with.
    pub signature: Signature,
    /// What each request may use.
    pub limits: Limits,
    /// Whose compute it uses.
    pub tenant: Tenant,
    /// Its permits.
    pub gate: Gate,
    /// What puts its requests together, if that is wanted.
    pub batcher: Option<Arc<Batcher>>,
    /// The graphs that it runs outside of the sandbox; most models have none.
    pub graphs: Arc<Graphs>,
    source: Source,
}

/// What is said of a model that an operator has unloaded, in the words of Triton.
const UNLOADED: &str = "unloaded";

/// Where a model's function is.
enum Source {
    /// Loaded, as long as the model is: its file is closed.
    Here {
        loaded: Arc<Loaded>,
        /// Whether an operator wants no answers of it.
        unloaded: AtomicBool,
    },
    /// In memory at times.
    OnDemand(Arc<OnDemand>),
}

/// What is called. Who has it keeps it loaded.
pub struct Loaded {
    /// The model's function.
    pub function: Function,
    /// What it takes, if it may be unloaded.
    memory: Option<Reservation>,
}

impl Loaded {
    /// What it gives back when nobody has it any more.
    fn size(&self) -> Bytes {
        let memory = self.memory.as_ref();
        memory.map_or(Bytes(0), Reservation::size)
    }
}

/// Why a package does not become a model.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The file.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its code.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Its name cannot be part of a URL.
    #[error(
        "{} cannot be a model's name: use up to {max} letters, digits, '-', '_' and '.'",
        text::quoted(.0),
        max = limits::NAME_BYTES
    )]
    Name(String),
    /// Its imports.
    #[error(
        "the component imports {}; a model function must not import anything",
        text::escape(&.0.join(", "))
    )]
    Imports(Vec<String>),
    /// It runs graphs outside of the sandbox, and nobody has said that they are trusted.
    #[error(
        "the component imports {}: it runs a graph outside of the sandbox; if you trust that graph, write \
         execution = \"native\" and graphs = {{ name = \"model.onnx\" }} into its table tool.glovebox of \
         spin.toml",
        text::escape(.0)
    )]
    Untrusted(String),
    /// Graphs were named for it, and it asks for none.
    #[error(
        "the component does not import {}, so it would never run its graphs; remove execution and graphs",
        graphs::INTERFACES
    )]
    NoGraphs,
    /// Its imports, for a component that speaks HTTP.
    #[error(
        "the component imports {}, which this host does not have{}",
        text::escape(&.0.join(", ")),
        http::hint(.0)
    )]
    Unsupported(Vec<String>),
    /// Its exports.
    #[error(
        "the component does not fit this host: {0}; if another version of glovebox packed it, pack it again"
    )]
    World(String),
    /// Its memory limit is below what it starts with.
    #[error(
        "the model has {image} before any request, which does not fit the memory limit of {limit}; raise `memory`"
    )]
    Memory {
        /// The model's image.
        image: Bytes,
        /// The limit.
        limit: Bytes,
    },
    /// Its requests cannot be put together.
    #[error(
        "batch needs a model whose inputs and outputs all have an open first dimension (-1); remove it"
    )]
    Batch,
    /// It is not what it was registered as.
    #[error(
        "the file does not hold the model that it told of when the host started; pack it again and restart"
    )]
    Changed,
    /// It does not tell its signature.
    #[error("asking the model for its signature failed: {0}")]
    Signature(String),
}

/// Whether a text can be a model's name, which is part of URLs. Dots alone are other paths.
pub fn is_name(text: &str) -> bool {
    let is_dots = text.chars().all(|letter| letter == '.');
    (1..=limits::NAME_BYTES).contains(&text.len()) && text.chars().all(is_name_letter) && !is_dots
}

/// Whether a letter may stand in a model's name.
pub fn is_name_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

/// What makes models of packages.
#[derive(Clone)]
pub struct Deployer {
    /// Where they run.
    pub sandbox: Arc<Sandbox>,
    /// Where their machine code comes from.
    pub compiler: Arc<Compiler>,
}

impl Deployer {
    /// Compiles a package, links it and asks it for its signature, in the sandbox. What it may run
    /// outside is `graphs`.
    ///
    /// # Errors
    /// The component is not a model function, or fails within its limits.
    pub async fn deploy(
        &self,
        name: &str,
        package: &Package,
        graphs: Arc<Graphs>,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Model, DeployError> {
        let others = graphs::check(&package.imports, &graphs)?;
        if !others.is_empty() {
            return Err(DeployError::Imports(others));
        }
        check(name, package.image, &limits)?;
        let code = self.compiler.component(package, metering(&limits))?;
        let gate = Gate::new(&limits);
        let function = self.link(&code, Arc::clone(&graphs), tenant.clone(), limits.clone())?;
        let signature = function.signature().await.outcome;
        let signature = signature.map_err(|fault| refuse(&fault))?;
        let batcher = batcher(&signature, &limits, self.sandbox.threads())?;
        let loaded = Loaded {
            function,
            memory: None,
        };
        Ok(Model {
            name: name.to_owned(),
            component: name.to_owned(),
            metadata: package.metadata.clone(),
            signature,
            limits,
            tenant,
            gate,
            batcher,
            graphs,
            source: Source::Here {
                loaded: Arc::new(loaded),
                unloaded: AtomicBool::new(false),
            },
        })
    }

    fn link(
        &self,
        code: &Code,
        graphs: Arc<Graphs>,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Function, DeployError> {
        Function::new(Arc::clone(&self.sandbox), code, graphs, tenant, limits)
            .map_err(|error| DeployError::World(text::escape(&format!("{error:#}"))))
    }
}

/// Whether a component may have this name and these limits.
fn check(name: &str, image: Bytes, limits: &Limits) -> Result<(), DeployError> {
    if !is_name(name) {
        return Err(DeployError::Name(name.to_owned()));
    }
    match image > limits.memory {
        true => Err(DeployError::Memory {
            image,
            limit: limits.memory,
        }),
        false => Ok(()),
    }
}

/// What puts requests together, which must be possible if it is wanted.
fn batcher(
    signature: &Signature,
    limits: &Limits,
    threads: usize,
) -> Result<Option<Arc<Batcher>>, DeployError> {
    match limits.batch {
        None => Ok(None),
        Some(rules) if signature.has_rows() => Ok(Some(Batcher::new(rules, limits, threads))),
        Some(_) => Err(DeployError::Batch),
    }
}

fn metering(limits: &Limits) -> Metering {
    match limits.fuel {
        Some(_) => Metering::Fuel,
        None => Metering::Epochs,
    }
}

fn refuse(fault: &Fault) -> DeployError {
    DeployError::Signature(text::escape(&fault.to_string()))
}

impl Model {
    /// The same as a component of a manifest.
    #[must_use]
    pub fn of_component(self, id: &str) -> Self {
        Self {
            component: id.to_owned(),
            ..self
        }
    }

    /// What is called, loaded first if it must be: a request does this when it has its permit, for
    /// loading calls the model as well.
    ///
    /// # Errors
    /// It cannot be loaded, or not until the deadline.
    pub async fn loaded(&self, deadline: Instant) -> Result<Arc<Loaded>, RequestError> {
        match &self.source {
            Source::Here { loaded, .. } => Ok(Arc::clone(loaded)),
            Source::OnDemand(model) => model.loaded(deadline).await,
        }
    }

    /// Whether anybody has asked for it, or it is loaded in any case.
    pub fn is_in_use(&self) -> bool {
        match &self.source {
            Source::Here { .. } => true,
            Source::OnDemand(model) => model.is_in_use(),
        }
    }

    /// Why it answers no requests, if it does not.
    pub fn unavailable(&self) -> Option<&'static str> {
        match &self.source {
            Source::Here { unloaded, .. } => unloaded.load(Relaxed).then_some(UNLOADED),
            Source::OnDemand(model) => model.unavailable(),
        }
    }

    /// Whether it answers requests: also one that could not be loaded, with the reason.
    pub fn is_available(&self) -> bool {
        self.unavailable() != Some(UNLOADED)
    }

    /// Lets it answer no more requests, and frees what it holds if it can be loaded again. Requests
    /// in flight keep theirs until they are done.
    pub async fn unload(&self) {
        match &self.source {
            Source::Here { unloaded, .. } => unloaded.store(true, Relaxed),
            Source::OnDemand(model) => model.unload().await,
        }
    }

    /// Lets it answer again.
    ///
    /// # Errors
    /// It cannot be loaded, or not until the deadline.
    pub async fn load(&self, deadline: Instant) -> Result<(), RequestError> {
        match &self.source {
            Source::Here { unloaded, .. } => unloaded.store(false, Relaxed),
            Source::OnDemand(model) => {
                model.allow();
                model.loaded(deadline).await?;
            }
        }
        Ok(())
    }

    /// What it shares with all that are loaded when they are asked for, if it is one of them.
    pub fn shared_memory(&self) -> Option<&Budget> {
        match &self.source {
            Source::Here { .. } => None,
            Source::OnDemand(model) => Some(model.memory()),
        }
    }

    /// The names of its classes, if its file has some.
    pub fn labels(&self) -> &[String] {
        self.metadata
            .as_ref()
            .map_or(&[], |metadata| &metadata.labels)
    }

    /// The version that its file names, or the first one.
    pub fn version(&self) -> &str {
        let metadata = self.metadata.as_ref();
        let version = metadata.map(|metadata| metadata.version.as_str());
        let is_given = |version: &&str| !version.is_empty();
        version.filter(is_given).unwrap_or(FIRST_VERSION)
    }
}
