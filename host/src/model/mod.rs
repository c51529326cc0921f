//! Deployed models: a package becomes something that can be called.

pub mod compose;
pub mod http;
pub mod metadata;
pub mod package;
pub mod registry;
pub mod runtime;
mod sharing;

use std::sync::Arc;

use glovebox_protocol::Signature;

use crate::admission::Gate;
use crate::compile::{CompileError, Compiled, Compiler};
use crate::limits::{self, Limits};
use crate::sandbox::Sandbox;
use crate::sandbox::compute::Tenant;
use crate::sandbox::engine::Metering;
use crate::sandbox::function::Function;
use crate::sandbox::invoke::Fault;
use crate::text;
use metadata::Metadata;
use package::{Package, PackageError};

/// A model that answers requests.
pub struct Model {
    /// The name in URLs.
    pub name: String,
    /// What its file says about it.
    pub metadata: Option<Metadata>,
    /// What it is called with.
    pub signature: Signature,
    /// What is called.
    pub function: Function,
    /// Its permits.
    pub gate: Gate,
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
        image: crate::limits::Bytes,
        /// The limit.
        limit: crate::limits::Bytes,
    },
    /// It does not tell its signature.
    #[error("asking the model for its signature failed: {0}")]
    Signature(String),
}

/// Whether a text can be a model's name, which is part of URLs.
pub fn is_name(text: &str) -> bool {
    (1..=limits::NAME_BYTES).contains(&text.len()) && text.chars().all(is_name_letter)
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
    /// Compiles a package, links it and asks it for its signature, in the sandbox.
    ///
    /// # Errors
    /// The component is not a model function, or fails within its limits.
    pub async fn deploy(
        &self,
        name: &str,
        package: &Package,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Model, DeployError> {
        if !package.imports.is_empty() {
            return Err(DeployError::Imports(package.imports.clone()));
        }
        let compiled = self.compile(name, package, &limits)?;
        let gate = Gate::new(&limits);
        let sandbox = Arc::clone(&self.sandbox);
        let function = Function::new(
            sandbox,
            &compiled.component,
            compiled.runtime.as_ref(),
            tenant,
            limits,
        )
        .map_err(|error| DeployError::World(text::escape(&format!("{error:#}"))))?;
        let signature = function
            .signature()
            .await
            .outcome
            .map_err(|fault| refuse(&fault))?;
        Ok(Model {
            name: name.to_owned(),
            metadata: package.metadata.clone(),
            signature,
            function,
            gate,
        })
    }

    fn compile(
        &self,
        name: &str,
        package: &Package,
        limits: &Limits,
    ) -> Result<Compiled, DeployError> {
        if !is_name(name) {
            return Err(DeployError::Name(name.to_owned()));
        }
        if package.image > limits.memory {
            return Err(DeployError::Memory {
                image: package.image,
                limit: limits.memory,
            });
        }
        let metering = match limits.fuel {
            Some(_) => Metering::Fuel,
            None => Metering::Epochs,
        };
        Ok(self.compiler.component(package, metering)?)
    }
}

fn refuse(fault: &Fault) -> DeployError {
    DeployError::Signature(text::escape(&fault.to_string()))
}

impl Model {
    /// The version that its file names.
    pub fn version(&self) -> Option<&str> {
        self.metadata
            .as_ref()
            .and_then(|metadata| metadata.version.as_deref())
    }
}
