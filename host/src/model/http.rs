//! Components that speak HTTP themselves.

use std::sync::Arc;

use super::metadata::Metadata;
use super::package::Package;
use super::{DeployError, Deployer, check, graphs, metering};
use crate::admission::Gate;
use crate::limits::Limits;
use crate::native::Graphs;
use crate::sandbox::compute::Tenant;
use crate::sandbox::wasi::{Handler, World};
use crate::text;

/// An HTTP component that answers requests.
pub struct HttpFunction {
    /// Its id in the manifest, by which it is counted and logged.
    pub id: String,
    /// What its file says about the model inside, if there is one.
    pub metadata: Option<Metadata>,
    /// What is called.
    pub handler: Handler,
    /// Its permits.
    pub gate: Gate,
    /// The graphs that it runs outside of the sandbox; most components have none.
    pub graphs: Arc<Graphs>,
}

/// The packages of WASI 0.2 that every HTTP component may import.
const PACKAGES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
/// What else it may import: its variables.
const VARIABLES: [&str; 2] = [
    "fermyon:spin/variables@2.0.0",
    "wasi:config/store@0.2.0-draft-2024-09-27",
];

impl Deployer {
    /// Compiles a package and links it to what it may see of the world.
    ///
    /// # Errors
    /// The component wants what this host does not have, or does not fit its limits.
    pub fn deploy_http(
        &self,
        id: &str,
        package: &Package,
        world: World,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<HttpFunction, DeployError> {
        let graphs = Arc::clone(&world.graphs);
        let others = graphs::check(&package.imports, &graphs)?;
        let unsupported: Vec<_> = unsupported(&others).cloned().collect();
        if !unsupported.is_empty() {
            return Err(DeployError::Unsupported(unsupported));
        }
        check(id, package.image, &limits)?;
        let code = self.compiler.component(package, metering(&limits))?;
        let gate = Gate::new(&limits);
        let handler = Handler::new(Arc::clone(&self.sandbox), &code, world, tenant, limits)
            .map_err(|error| DeployError::World(text::escape(&format!("{error:#}"))))?;
        Ok(HttpFunction {
            id: id.to_owned(),
            metadata: package.metadata.clone(),
            handler,
            gate,
            graphs,
        })
    }
}

fn unsupported(imports: &[String]) -> impl Iterator<Item = &String> {
    imports.iter().filter(|import| !is_supported(import))
}

fn is_supported(import: &str) -> bool {
    let is_wasi = PACKAGES.iter().any(|package| import.starts_with(package));
    let version = import.rsplit('@').next();
    is_wasi && version.is_some_and(is_final_version) || VARIABLES.contains(&import)
}

/// Not one of the release candidates, which have a hyphen in their names.
fn is_final_version(version: &str) -> bool {
    let patch = version.strip_prefix("0.2.");
    patch.is_some_and(|patch| patch.chars().all(|digit| digit.is_ascii_digit()))
}

/// What to do about an import that there is not.
pub(super) fn hint(imports: &[String]) -> &'static str {
    let has = |prefix: &str| imports.iter().any(|import| import.starts_with(prefix));
    if has("glovebox:inference/") {
        "; give it a model with `glovebox compose`, or as a dependency in the manifest"
    } else if has("wasi:") {
        "; build it for WASI 0.2"
    } else {
        ""
    }
}
