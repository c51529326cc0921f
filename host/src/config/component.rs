//! `[component.<id>]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::Pattern as Glob;

use super::LimitSettings;
use super::dependency::{Dependency, dependencies};
use super::files::{self, Mount};
use super::manifest::{BuildToml, ComponentToml, SourceToml};
use super::shape::TextOr;
use super::variables::{Values, Variables};
use crate::allowed_hosts::AllowedHosts;
use crate::model::graphs::Files;

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
    /// The graphs that it may run outside of the sandbox.
    pub graphs: Files,
    /// How its file is made.
    pub build: Option<Build>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its variables with their values, which may be secrets.
    pub variables: Values,
    /// The folder of the manifest, in which the files lie that it may read.
    pub dir: PathBuf,
    /// The files that it may read.
    pub files: Vec<Mount>,
    /// Which of them it may not read; by their paths in the folder of the manifest.
    pub exclude_files: Vec<Glob>,
    /// Whom it may call.
    pub outbound: AllowedHosts,
    /// The components that it is composed with.
    pub dependencies: Vec<Dependency>,
}

/// Shell commands that make a component's file.
#[derive(Debug)]
pub struct Build {
    /// Run one after the other.
    pub commands: Vec<String>,
    /// Where.
    pub dir: PathBuf,
    /// What it is made of: globs of files, relative to `dir`.
    pub watch: Vec<String>,
}

/// Reads a component.
pub(super) fn component(
    id: &str,
    toml: ComponentToml,
    dir: &Path,
    variables: &Variables,
) -> Result<Component, String> {
    refuse_unsupported(&toml)?;
    check_environment(&toml.environment)?;
    let limits = toml.tool.glovebox;
    let inherit = toml.dependencies_inherit_configuration;
    Ok(Component {
        id: id.to_owned(),
        source: source(toml.source, dir)?,
        tenant: limits.tenant.clone().unwrap_or_else(|| id.to_owned()),
        weight: limits.weight.unwrap_or(1),
        build: toml.build.map(|toml| build(toml, dir)),
        graphs: limits.graphs(dir),
        limits,
        environment: toml.environment,
        variables: variables.of_component(toml.variables)?,
        dir: dir.to_path_buf(),
        files: files::mounts(toml.files)?,
        exclude_files: files::excluded(&toml.exclude_files)?,
        outbound: outbound(&toml.allowed_outbound_hosts, variables)?,
        dependencies: dependencies(toml.dependencies, inherit, dir)?,
    })
}

fn refuse_unsupported(toml: &ComponentToml) -> Result<(), String> {
    if toml.allowed_http_hosts.is_some() {
        return Err(
            "allowed_http_hosts is not supported; write allowed_outbound_hosts, such as \
             [\"https://example.com\"]"
                .into(),
        );
    }
    let stores = [
        ("key_value_stores", &toml.key_value_stores),
        ("sqlite_databases", &toml.sqlite_databases),
        ("ai_models", &toml.ai_models),
    ];
    match stores.iter().find(|(_, names)| !names.is_empty()) {
        None => Ok(()),
        Some(("ai_models", _)) => Err(
            "ai_models is not supported; pack the model as a component and serve that, or remove it"
                .into(),
        ),
        Some((key, _)) => Err(format!(
            "{key} is not supported; keep the data behind a service that is in \
             allowed_outbound_hosts, or remove it"
        )),
    }
}

fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("environment: {name:?} is no name of a variable"));
        }
        if value.contains('\0') {
            return Err(format!(
                "environment.{name}: no variable can have a zero byte"
            ));
        }
    }
    Ok(())
}

fn source(written: TextOr<SourceToml>, dir: &Path) -> Result<PathBuf, String> {
    match written {
        TextOr::Text(path) if path.is_empty() => Err("source names no file".into()),
        TextOr::Text(path) => Ok(dir.join(path)),
        TextOr::Table(table) if table.url.is_some() => Err(
            "source.url is not supported; download the file, check its digest, and write its path \
             as source"
                .into(),
        ),
        TextOr::Table(_) => Err(
            "source from a registry (registry, package, version) is not supported; fetch the \
             package with `wkg get` and write the file's path as source"
                .into(),
        ),
    }
}

fn build(toml: BuildToml, dir: &Path) -> Build {
    Build {
        commands: toml.command.0,
        dir: dir.join(toml.workdir.unwrap_or_default()),
        watch: toml.watch,
    }
}

/// What cannot be allowed is named as it was written, for its variables may be secrets.
fn outbound(written: &[String], variables: &Variables) -> Result<AllowedHosts, String> {
    let mut hosts = AllowedHosts::default();
    for template in written {
        let allowed = variables.fill(template).and_then(|entry| {
            let added = hosts.allow(template, &entry);
            added.map_err(|error| error.to_string())
        });
        allowed.map_err(|problem| format!("allowed_outbound_hosts {template:?}: {problem}"))?;
    }
    Ok(hosts)
}
