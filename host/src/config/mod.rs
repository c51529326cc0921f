//! `spin.toml`, as far as an application of HTTP triggers needs it: what was written becomes an
//! [`Application`]. What is not supported is refused by its name, never ignored. It must not know
//! wasm, and it reads no environment: values of variables are handed in.

mod application;
mod component;
mod dependency;
mod env_file;
mod files;
mod limits;
mod manifest;
mod name;
mod profile;
mod shape;
mod trigger;
mod variables;

use std::path::{Path, PathBuf};
use std::{fs, io};

pub use component::{Build, Component};
pub use dependency::{Capability, Dependency, Inherit};
pub use env_file::env_file;
pub use files::{File, Mount};
pub use limits::LimitSettings;
pub use trigger::{StaticResponse, Target, Trigger};
pub use variables::{Provider, Values};

use manifest::{Manifest, Probe, Version};

use crate::model::kind;
use crate::text;

/// What is to be served.
#[derive(Debug)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its version; empty if there is none.
    pub version: String,
    /// What is served where, in the order of the manifest.
    pub triggers: Vec<Trigger>,
    /// The components that triggers name, sorted by their ids.
    pub components: Vec<Component>,
    /// What its author should know, although it is served; made harmless for a terminal.
    pub warnings: Vec<String>,
}

/// What the command line adds to a manifest.
#[derive(Default)]
pub struct Settings {
    /// Which `[component.<id>.profile.<name>]` takes the place of what stands in the component.
    pub profile: Option<String>,
    /// Values of the application's variables.
    pub variables: Provider,
}

/// Why a manifest cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: {}; name a manifest, a folder with a spin.toml, a .wasm or an .onnx file",
        text::unreadable(source)
    )]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML or has a key that is not known.
    #[error("{0}")]
    Toml(String),
    /// The file says something that cannot be, or that is not supported.
    #[error("{path}: {}", text::escape(problem))]
    Invalid {
        /// The file.
        path: String,
        /// What.
        problem: String,
    },
}

/// Reads a manifest; paths in it are relative to its folder.
///
/// # Errors
/// The file cannot be read, has an unknown key, contradicts itself, or asks for what is not
/// supported.
pub fn read(path: &Path, settings: &Settings) -> Result<Application, ConfigError> {
    let written = fs::read(path).map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })?;
    let invalid = |problem: String| ConfigError::Invalid {
        path: path.display().to_string(),
        problem,
    };
    // What is known by its first bytes is no TOML.
    if let Some(problem) = kind::not_manifest(&written) {
        return Err(invalid(problem));
    }
    let written = String::from_utf8(written)
        .map_err(|_| invalid("this is no text, so it is no manifest".into()))?;
    parse(&written, path, settings)
}

/// How keys are written that a manifest cannot do without.
const SAMPLES: [(&str, &str); 10] = [
    ("spin_manifest_version", "spin_manifest_version = 2"),
    ("application", "[application] with name = \"<name>\""),
    ("name", "name = \"<name>\""),
    ("route", "route = \"/v2/models/<model>/...\""),
    ("source", "source = \"<file>.wasm\""),
    ("command", "command = \"<command>\""),
    ("destination", "destination = \"/<folder>\""),
    ("private", "private = true"),
    ("type", "type = \"http\""),
    ("max", "max = 8"),
];

/// What a manifest says that stands in the file `path`; no file is read.
///
/// # Errors
/// It has an unknown key, contradicts itself, or asks for what is not supported.
pub fn parse(written: &str, path: &Path, settings: &Settings) -> Result<Application, ConfigError> {
    let toml_error = |error: toml::de::Error| {
        ConfigError::Toml(text::toml_error(path, written, &error, &SAMPLES))
    };
    let invalid = |problem| ConfigError::Invalid {
        path: path.display().to_string(),
        problem,
    };
    let probe: Probe = toml::from_str(written).map_err(toml_error)?;
    probe.check().map_err(invalid)?;
    let manifest: Manifest = toml::from_str(written).map_err(toml_error)?;
    application::application(manifest, &folder(path), settings).map_err(invalid)
}

fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

impl Probe {
    /// Other versions have other keys, so this comes before any of them is looked at.
    fn check(&self) -> Result<(), String> {
        let written = self.spin_manifest_version.as_ref();
        let (key, version) = match (written, self.spin_version.as_ref()) {
            (Some(version), _) => ("spin_manifest_version", version),
            (None, Some(version)) => ("spin_version", version),
            // The manifest as a whole tells what is missing, and what is not known.
            (None, None) => return Ok(()),
        };
        match version {
            Version::Number(2) if key == "spin_manifest_version" => Ok(()),
            Version::Number(2) => {
                Err("spin_version is an old name; write spin_manifest_version = 2".into())
            }
            _ => Err(format!(
                "{key} is {version}, only 2 is supported{}",
                version.advice()
            )),
        }
    }
}
