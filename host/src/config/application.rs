//! From the whole of a written manifest to what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::component::component;
use super::manifest::{ApplicationToml, ComponentToml, Manifest};
use super::trigger::{Target, Trigger, triggers};
use super::variables::Variables;
use super::{Application, Component, Settings, name, profile};
use crate::text;

pub(super) fn application(
    manifest: Manifest,
    dir: &Path,
    settings: &Settings,
) -> Result<Application, String> {
    let Manifest {
        application,
        variables,
        trigger: written,
        component: mut components,
        ..
    } = manifest;
    check_application(&application)?;
    for id in components.keys() {
        name::check_kebab(id).map_err(|problem| format!("[component.{id}]: {problem}"))?;
    }
    let variables = Variables::new(variables, &settings.variables)?;
    let (triggers, warnings) = triggers(written, &mut components)?;
    if let Some(profile) = &settings.profile {
        profile::select(&mut components, profile)?;
    }
    let components = served(components, &triggers, dir, &variables)?;
    Ok(Application {
        name: application.name,
        version: application.version,
        triggers,
        components,
        warnings: warnings
            .iter()
            .map(|warning| text::escape(warning))
            .collect(),
    })
}

fn check_application(application: &ApplicationToml) -> Result<(), String> {
    let http = application.trigger.http.as_ref();
    match http.and_then(|http| http.base.as_deref()) {
        None | Some("/") => Ok(()),
        Some(base) => Err(format!(
            "[application.trigger.http]: base {base:?} is not supported; write the whole path into \
             each route"
        )),
    }
}

/// The components that a trigger names; the others are not looked at.
fn served(
    mut written: BTreeMap<String, ComponentToml>,
    triggers: &[Trigger],
    dir: &Path,
    variables: &Variables,
) -> Result<Vec<Component>, String> {
    let mut ids = BTreeSet::new();
    for trigger in triggers {
        if let Target::Component(id) = &trigger.target {
            ids.insert(id);
        }
    }
    let mut components = Vec::new();
    for id in ids {
        let toml = written
            .remove(id)
            .ok_or_else(|| format!("[[trigger.http]]: there is no [component.{id}]"))?;
        let limits = toml.tool.glovebox.check();
        limits.map_err(|problem| format!("[component.{id}.tool.glovebox]: {problem}"))?;
        let explain = |problem| format!("[component.{id}]: {problem}");
        components.push(component(id, toml, dir, variables).map_err(explain)?);
    }
    Ok(components)
}
