//! `[component.<id>.profile.<name>]`: what takes the place of what stands in the component itself.

use std::collections::BTreeMap;

use super::manifest::{BuildToml, ComponentToml, ProfileToml};

/// Uses a profile in each component that has it; no component having it is an error.
pub(super) fn select(
    components: &mut BTreeMap<String, ComponentToml>,
    profile: &str,
) -> Result<(), String> {
    let mut found = false;
    for component in components.values_mut() {
        if let Some(changes) = component.profile.remove(profile) {
            apply(changes, component);
            found = true;
        }
    }
    match found {
        true => Ok(()),
        false => Err(format!(
            "--profile {profile:?}: no component has a table [component.<id>.profile.{profile}]"
        )),
    }
}

fn apply(changes: ProfileToml, component: &mut ComponentToml) {
    if let Some(source) = changes.source {
        component.source = source;
    }
    component.environment.extend(changes.environment);
    component.dependencies.extend(changes.dependencies);
    if let Some(build) = changes.build {
        match &mut component.build {
            Some(own) => own.command = build.command,
            None => component.build = Some(BuildToml::new(build.command)),
        }
    }
}
