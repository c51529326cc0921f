//! What a component's dependency may reach: nothing that it does not inherit.

use crate::config::{Capability, Dependency, Inherit};
use crate::model::package::Package;
use crate::text;

/// Interfaces by the beginning of their names, each with what gives access to it.
const GUARDED: [(&str, Capability, &str); 6] = [
    (
        "wasi:cli/environment@",
        Capability::Environment,
        "environment",
    ),
    ("wasi:filesystem/", Capability::Files, "files"),
    (
        "wasi:http/outgoing-handler@",
        Capability::AllowedOutboundHosts,
        "allowed_outbound_hosts",
    ),
    (
        "wasi:sockets/",
        Capability::AllowedOutboundHosts,
        "allowed_outbound_hosts",
    ),
    (
        "fermyon:spin/variables@",
        Capability::Variables,
        "variables",
    ),
    ("wasi:config/", Capability::Variables, "variables"),
];

/// Whether a dependency is content with what it inherits. Both are linked into one component, so
/// one that asks for more cannot be kept from it and is refused.
///
/// # Errors
/// It imports something that it does not inherit.
pub(super) fn check(dependency: &Dependency, package: &Package) -> Result<(), String> {
    if let Some(export) = dependency
        .export
        .as_ref()
        .filter(|export| **export != dependency.name)
    {
        return Err(format!(
            "dependency {:?}: export = {export:?} is not supported; what it exports must have the \
             name of what is imported",
            dependency.name
        ));
    }
    for import in &package.imports {
        let guard = GUARDED.iter().find(|(name, ..)| import.starts_with(name));
        if let Some((_, capability, key)) = guard
            && !inherits(&dependency.inherit, *capability)
        {
            return Err(format!(
                "dependency {:?} imports {}, which it does not inherit; write \
                 inherit_configuration = [{key:?}], or true",
                dependency.name,
                text::escape(import)
            ));
        }
    }
    Ok(())
}

fn inherits(inherit: &Inherit, capability: Capability) -> bool {
    match inherit {
        Inherit::None => false,
        Inherit::All => true,
        Inherit::Only(capabilities) => capabilities.contains(&capability),
    }
}
