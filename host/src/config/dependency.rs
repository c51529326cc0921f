//! `[component.<id>.dependencies]`: components that stand in for a component's imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use semver::Version;
use serde::Deserialize;

use super::manifest::DependencyToml;
use super::name;
use super::shape::{SwitchOr, TextOr};

/// A component that another one is composed with.
#[derive(Debug)]
pub struct Dependency {
    /// The import that it satisfies: `ns:package/interface@version`, `ns:package@version`, or a
    /// plain name; an interface or version that is not given means all of them.
    pub name: String,
    /// The wasm file.
    pub path: PathBuf,
    /// Which of its exports is meant; by default the one of the same name.
    pub export: Option<String>,
    /// What it may do of what its dependent may.
    pub inherit: Inherit,
}

/// What a dependency may do of what its dependent may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// These.
    Only(BTreeSet<Capability>),
}

/// Something that a component may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Models of the host; none are supported.
    AiModels,
    /// Calls to other hosts.
    AllowedOutboundHosts,
    /// Environment variables.
    Environment,
    /// Files.
    Files,
    /// Key-value stores; none are supported.
    KeyValueStores,
    /// Databases; none are supported.
    SqliteDatabases,
    /// The application's variables.
    Variables,
}

/// Reads the dependencies of a component, which may say for all of them what they inherit.
pub(super) fn dependencies(
    written: BTreeMap<String, TextOr<DependencyToml>>,
    all_inherit: Option<bool>,
    dir: &Path,
) -> Result<Vec<Dependency>, String> {
    let mut dependencies = Vec::new();
    for (name, toml) in written {
        let explain = |problem| format!("dependencies.{name:?}: {problem}");
        dependencies.push(dependency(&name, toml, all_inherit, dir).map_err(explain)?);
    }
    Ok(dependencies)
}

fn dependency(
    name: &str,
    toml: TextOr<DependencyToml>,
    all_inherit: Option<bool>,
    dir: &Path,
) -> Result<Dependency, String> {
    check_name(name)?;
    let toml = match toml {
        TextOr::Table(toml) => *toml,
        TextOr::Text(_) => return Err(from_registry("a version")),
    };
    refuse_unsupported(&toml)?;
    let path = toml
        .path
        .ok_or("it names no file; write { path = \"<file>.wasm\" }")?;
    let inherit = match (toml.inherit_configuration, all_inherit) {
        (Some(_), Some(_)) => {
            return Err("write either inherit_configuration here or \
                 dependencies_inherit_configuration for the component"
                .into());
        }
        (Some(SwitchOr::List(keys)), None) => Inherit::Only(keys.into_iter().collect()),
        (Some(SwitchOr::Switch(true)), None) | (None, Some(true)) => Inherit::All,
        (Some(SwitchOr::Switch(false)), None) | (None, Some(false) | None) => Inherit::None,
    };
    Ok(Dependency {
        name: name.to_owned(),
        path: dir.join(path),
        export: toml.export,
        inherit,
    })
}

fn refuse_unsupported(toml: &DependencyToml) -> Result<(), String> {
    if toml.component.is_some() {
        return Err(
            "component is not supported; write that component's file, { path = \"<file>.wasm\" }"
                .into(),
        );
    }
    if toml.url.is_some() || toml.digest.is_some() {
        return Err(
            "url is not supported; download the file, check its digest, and write \
             { path = \"<file>.wasm\" }"
                .into(),
        );
    }
    let registry = [
        ("version", &toml.version),
        ("registry", &toml.registry),
        ("package", &toml.package),
    ];
    match registry.iter().find(|(_, value)| value.is_some()) {
        Some((key, _)) => Err(from_registry(key)),
        None => Ok(()),
    }
}

fn from_registry(key: &str) -> String {
    format!(
        "{key} from a registry is not supported; fetch the package with `wkg get` and write \
         {{ path = \"<file>.wasm\" }}"
    )
}

/// A plain name, or `ns:package` with an interface, a version or both.
fn check_name(name: &str) -> Result<(), String> {
    let Some((namespace, rest)) = name.split_once(':') else {
        return name::check_kebab(name);
    };
    let (path, version) = match rest.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (rest, None),
    };
    let (package, interface) = match path.split_once('/') {
        Some((package, interface)) => (package, Some(interface)),
        None => (path, None),
    };
    let mut names = [Some(namespace), Some(package), interface]
        .into_iter()
        .flatten();
    names.try_for_each(name::check_kebab)?;
    match version.map(Version::parse) {
        Some(Err(_)) => Err("its version is not complete; write it as in @0.2.0".into()),
        _ => Ok(()),
    }
}
