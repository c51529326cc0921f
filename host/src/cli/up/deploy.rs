//! Files become models and HTTP components, and what they may reach becomes a door in the wall.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use indicatif::{ProgressBar, ProgressFinish};

use super::flags::Flags;
use super::{assets, dependencies};
use crate::admission::Admission;
use crate::allowed_hosts::AllowedHosts;
use crate::cli::{Failure, pack};
use crate::config::{Application as Manifest, Component, LimitSettings, Target as Written};
use crate::harden::Door;
use crate::limits::{self, Limits};
use crate::memory::Budget;
use crate::model::compose::{Part, compose};
use crate::model::defaults::Defaults;
use crate::model::graphs;
use crate::model::http::HttpFunction;
use crate::model::metadata::Metadata;
use crate::model::on_demand::{Loader, Registered};
use crate::model::package::{Package, World as Kind};
use crate::model::registry::{Broken, Registry};
use crate::model::{Deployer, Model, is_name};
use crate::native::Graphs;
use crate::pack::config::ModelConfig;
use crate::pack::guest::Guest;
use crate::routing::{Pattern, Table};
use crate::sandbox::compute::Tenant;
use crate::sandbox::wasi::World;
use crate::sandbox::wasi::outbound::{Network, Outbound, Siblings};
use crate::server::application::{Application, StaticAnswer, Target};
use crate::server::routes::is_reserved;
use crate::server::state::State;
use crate::text;

/// Everything that is served, and what of the machine it needs.
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) state: Arc<State>,
    pub(in crate::cli) door: Door,
}

/// How an application is served.
pub(in crate::cli) struct Terms {
    /// Memory for all requests together.
    pub(in crate::cli) budget: Budget,
    /// What loads models on demand, if that is wanted.
    pub(in crate::cli) loader: Option<Arc<Loader>>,
    /// Whether components are served although others cannot be.
    pub(in crate::cli) keep_going: bool,
}

/// One file that is served by itself.
pub(in crate::cli) struct Alone<'a> {
    /// The file.
    pub(in crate::cli) file: &'a Path,
    /// What the command line says of it.
    pub(in crate::cli) flags: &'a Flags,
}

/// Packs an ONNX file and serves it as a model.
pub(in crate::cli) async fn onnx(
    deployer: &Deployer,
    alone: Alone<'_>,
    budget: Budget,
) -> Result<Loaded, Failure> {
    let limits = Limits::generous(limits::PACK_CPU);
    let config = ModelConfig::find(alone.file, None)?;
    let packed = pack::pack(deployer, alone.file, &config, &Guest::standard(), limits).await?;
    for assumption in &packed.assumed {
        tracing::info!("assumed: {assumption}");
    }
    let package = Package::parse(packed.bytes)?;
    one(deployer, alone.flags, &config.name, (&package, budget)).await
}

/// Serves one component: a model at the protocol's path, an HTTP component everywhere.
pub(in crate::cli) async fn component(
    deployer: &Deployer,
    alone: Alone<'_>,
    budget: Budget,
) -> Result<Loaded, Failure> {
    let package = Package::open(alone.file)?;
    let stem = alone.file.file_stem().unwrap_or_default().to_string_lossy();
    let metadata = package.metadata.as_ref();
    let name = metadata.map_or(stem.into_owned(), |metadata| metadata.name.clone());
    one(deployer, alone.flags, &name, (&package, budget)).await
}

async fn one(
    deployer: &Deployer,
    flags: &Flags,
    name: &str,
    (package, budget): (&Package, Budget),
) -> Result<Loaded, Failure> {
    let (name, settings) = (flags.name.as_deref().unwrap_or(name), flags.settings()?);
    let (owner, weight) = settings.tenant(name);
    let admission = Admission::new(budget, [owner.as_str()]);
    let mut loading = Loading::new(deployer, admission);
    let limits = loading.limits(&settings, package, &owner)?;
    let tenant = Tenant {
        name: owner.as_str().into(),
        weight,
    };
    let _progress = progress(name);
    match package.world()? {
        Kind::ModelFunction => {
            let graphs = Arc::default();
            let model = deployer
                .deploy(name, package, graphs, tenant, limits)
                .await?;
            let model = loading.model(model)?;
            let short = Pattern::parse("/predict")?;
            loading.routes.push((short, Target::Model(model)));
        }
        Kind::Http => {
            check_alone(&limits)?;
            let function = deployer.deploy_http(name, package, World::default(), tenant, limits)?;
            let function = Arc::new(function);
            loading.functions.push(Arc::clone(&function));
            let everywhere = Pattern::parse("/...")?;
            loading
                .routes
                .push((everywhere, Target::Function(function)));
        }
    }
    Ok(loading.finish(name.to_owned(), String::new()))
}

/// Serves what a manifest names.
pub(in crate::cli) async fn application(
    deployer: &Deployer,
    manifest: Manifest,
    terms: Terms,
) -> Result<Loaded, Failure> {
    let tenants = manifest.components.iter();
    let tenants = tenants.map(|component| component.tenant.as_str());
    let mut loading = Loading::new(deployer, Admission::new(terms.budget, tenants));
    loading.loader = terms.loader;
    let mut routes = routes(&manifest);
    for component in &manifest.components {
        let routes = routes.remove(component.id.as_str()).unwrap_or_default();
        let deployed = loading.component(component, &routes, &manifest).await;
        match deployed.map_err(|error| explain(component, error)) {
            Err(error) if terms.keep_going => loading.give_up(component, &routes, &error),
            deployed => deployed?,
        }
    }
    for trigger in &manifest.triggers {
        if let (Some(route), Written::Static(answer)) = (&trigger.route, &trigger.target) {
            let answer =
                StaticAnswer::new(answer.status, answer.headers.clone(), answer.body.clone());
            let answer = answer.ok_or("a static_response is no answer of HTTP")?;
            loading.route(route, Target::Static(answer))?;
        }
    }
    Ok(loading.finish(manifest.name, manifest.version))
}

/// All that a look at the components finds wrong, by their ids. Loading stops at the first of it.
pub(in crate::cli) fn problems(manifest: &Manifest) -> BTreeMap<String, Vec<String>> {
    let mut routes = routes(manifest);
    let components = manifest.components.iter().map(|component| {
        let routes = routes.remove(component.id.as_str()).unwrap_or_default();
        let siblings = check_siblings(component, manifest);
        let taken = routes.iter().map(|route| check_route(route));
        let graphs = component.graphs.paths.values();
        let graphs = graphs.map(|path| Ok(Package::file(path).map(|_| ())?));
        let files = component.find_files().map(|_| ()).map_err(Into::into);
        let source = check_source(component);
        let found = taken.chain(graphs).chain([siblings, files, source]);
        let found = found.filter_map(|check| Some(check.err()?.to_string()));
        (component.id.clone(), found.collect())
    });
    components.collect()
}

/// Whether a component's file is one, and is given nothing that a model cannot have.
fn check_source(component: &Component) -> Result<(), Failure> {
    let package = open(component)?;
    match package.world()? {
        Kind::Http => Ok(()),
        Kind::ModelFunction => check_plain(component, package.front.is_some()),
    }
}

/// The routes of each component, by its id.
fn routes(manifest: &Manifest) -> BTreeMap<&str, Vec<&Pattern>> {
    let mut routes = BTreeMap::<_, Vec<_>>::new();
    for trigger in &manifest.triggers {
        if let (Some(route), Written::Component(id)) = (&trigger.route, &trigger.target) {
            routes.entry(id.as_str()).or_default().push(route);
        }
    }
    routes
}

/// Shows on a terminal what is being loaded; nothing where nobody looks. It is over when it is dropped,
/// with the thread that draws it.
fn progress(name: &str) -> Option<ProgressBar> {
    let spinner = || pack::spinner(format!("loading {}", text::escape(name)));
    let is_watched = io::stderr().is_terminal();
    is_watched.then(|| spinner().with_finish(ProgressFinish::AndClear))
}

/// Whom a component may call in its own application must be served there.
fn check_siblings(component: &Component, manifest: &Manifest) -> Result<(), Failure> {
    let is_served = |id: &str| manifest.components.iter().any(|served| served.id == id);
    match component.outbound.components().find(|id| !is_served(id)) {
        None => Ok(()),
        Some(id) => Err(format!(
            "allowed_outbound_hosts names component {id:?}, which no trigger names; give it a \
             [[trigger.http]] with route = {{ private = true }}"
        )
        .into()),
    }
}

fn explain(component: &Component, error: Failure) -> Failure {
    let hint = match component.build.is_some() && !component.source.exists() {
        true => "; make it with `glovebox up --build`",
        false => "",
    };
    format!("component {:?}: {error}{hint}", component.id).into()
}

/// What is loaded so far.
struct Loading<'a> {
    deployer: &'a Deployer,
    admission: Admission,
    /// What loads models on demand, if that is wanted.
    loader: Option<Arc<Loader>>,
    models: Vec<Arc<Model>>,
    functions: Vec<Arc<HttpFunction>>,
    broken: Vec<Broken>,
    routes: Vec<(Pattern, Target)>,
    door: Door,
    network: Option<Arc<Network>>,
    siblings: Arc<OnceLock<Weak<dyn Siblings>>>,
}

impl<'a> Loading<'a> {
    fn new(deployer: &'a Deployer, admission: Admission) -> Self {
        Self {
            deployer,
            admission,
            loader: None,
            models: Vec::new(),
            functions: Vec::new(),
            broken: Vec::new(),
            routes: Vec::new(),
            door: Door::default(),
            network: None,
            siblings: Arc::default(),
        }
    }

    fn finish(self, name: String, version: String) -> Loaded {
        let application = Application {
            name,
            version,
            functions: self.functions,
            routes: Table::new(self.routes),
        };
        let (registry, sandbox) = (
            Registry::new(self.models).with_broken(self.broken),
            Arc::clone(&self.deployer.sandbox),
        );
        let state = State::new(registry, application, self.admission, sandbox);
        let state = Arc::new(state);
        let siblings: Weak<State> = Arc::downgrade(&state);
        // Set once: loading ends once.
        let _ = self.siblings.set(siblings);
        Loaded {
            state,
            door: self.door,
        }
    }

    /// What is in force for a package. An HTTP component's host part takes more.
    fn limits(
        &self,
        settings: &LimitSettings,
        package: &Package,
        tenant: &str,
    ) -> Result<Limits, Failure> {
        let own = match package.world()? {
            Kind::ModelFunction => limits::Bytes(limits::REQUEST_BYTES),
            Kind::Http => limits::Bytes(limits::HTTP_REQUEST_BYTES),
        };
        let defaults = Defaults::of(package.image, package.metadata.as_ref());
        Ok(settings.resolve(&defaults, own, self.admission.share(tenant))?)
    }

    async fn component(
        &mut self,
        component: &Component,
        routes: &[&Pattern],
        manifest: &Manifest,
    ) -> Result<(), Failure> {
        let _progress = progress(&component.id);
        check_siblings(component, manifest)?;
        routes.iter().try_for_each(|route| check_route(route))?;
        self.deploy(component, routes).await
    }

    /// Serves the others; requests for this one learn that it is not there.
    fn give_up(&mut self, component: &Component, routes: &[&Pattern], error: &Failure) {
        let (name, reason) = (component.id.clone(), error.to_string());
        let routes = routes.iter().filter(|route| check_route(route).is_ok());
        let routes = routes.map(|route| ((*route).clone(), Target::Broken));
        self.routes.extend(routes);
        self.broken.push(Broken { name, reason });
    }

    async fn deploy(&mut self, component: &Component, routes: &[&Pattern]) -> Result<(), Failure> {
        if self.register(component, routes)? {
            return Ok(());
        }
        let package = open(component)?;
        let tenant = tenant(component);
        let limits = self.limits(&component.limits, &package, &component.tenant)?;
        match package.world()? {
            Kind::ModelFunction => {
                check_plain(component, package.front.is_some())?;
                let name = name(component, package.metadata.as_ref(), routes);
                let graphs = self.graphs(component, &package)?;
                let model = self.deployer.deploy(name, &package, graphs, tenant, limits);
                let model = model.await?.of_component(&component.id);
                self.mount(model, routes)
            }
            Kind::Http => {
                check_alone(&limits)?;
                let world = self.world(component, &package)?;
                let deployed =
                    self.deployer
                        .deploy_http(&component.id, &package, world, tenant, limits)?;
                let function = Arc::new(deployed);
                self.functions.push(Arc::clone(&function));
                for route in routes {
                    self.route(route, Target::Function(Arc::clone(&function)))?;
                }
                Ok(())
            }
        }
    }

    /// Leaves a packed model to be loaded on demand. False if that is not wanted, or if it is
    /// something else, which must be loaded now.
    fn register(&mut self, component: &Component, routes: &[&Pattern]) -> Result<bool, Failure> {
        let Some(loader) = &self.loader else {
            return Ok(false);
        };
        let path = &component.source;
        let file = Package::file(path)?;
        let Some(glance) = Package::glance(&file, path)? else {
            return Ok(false);
        };
        if !component.dependencies.is_empty() || !component.graphs.paths.is_empty() {
            return Ok(false);
        }
        check_plain(component, glance.is_behind_front)?;
        let own = limits::Bytes(limits::REQUEST_BYTES);
        let share = self.admission.share(&component.tenant);
        let defaults = Defaults::of(glance.image, Some(&glance.metadata));
        let limits = component.limits.resolve(&defaults, own, share)?;
        let path = path.clone();
        let name = name(component, Some(&glance.metadata), routes).to_owned();
        let registered = Registered { file, path, glance };
        let model = loader.register(&name, registered, tenant(component), limits)?;
        self.door.images = true;
        self.mount(model.of_component(&component.id), routes)?;
        Ok(true)
    }

    /// Serves a model at the protocol's path, and wherever else its component is routed.
    fn mount(&mut self, model: Model, routes: &[&Pattern]) -> Result<(), Failure> {
        let own_path = format!("/v2/models/{}/...", model.name);
        let model = self.model(model)?;
        for route in routes.iter().filter(|route| route.raw() != own_path) {
            check_mount(route)?;
            self.route(route, Target::Model(Arc::clone(&model)))?;
        }
        Ok(())
    }

    fn model(&mut self, model: Model) -> Result<Arc<Model>, Failure> {
        let model = Arc::new(model);
        let mut others = self.models.iter();
        if let Some(other) = others.find(|other| other.name == model.name) {
            return Err(format!(
                "its model is called {:?}, and so is that of component {:?}; give this one the route \
                 \"/v2/models/{}/...\"",
                model.name, other.component, model.component
            )
            .into());
        }
        self.models.push(Arc::clone(&model));
        Ok(model)
    }

    fn route(&mut self, route: &Pattern, target: Target) -> Result<(), Failure> {
        check_route(route)?;
        self.routes.push((route.clone(), target));
        Ok(())
    }

    /// What a component may see and reach, which is what its manifest gives it.
    fn world(&mut self, component: &Component, package: &Package) -> Result<World, Failure> {
        let files = assets::place(component, self.deployer.compiler.worker())?;
        self.door.files.extend(files.clone());
        let pairs = component.variables.iter();
        Ok(World {
            environment: component.environment.clone().into_iter().collect(),
            variables: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            files,
            outbound: self.outbound(component)?,
            graphs: self.graphs(component, package)?,
        })
    }

    fn graphs(&self, component: &Component, package: &Package) -> Result<Arc<Graphs>, Failure> {
        let (files, metadata) = (&component.graphs, package.metadata.as_ref());
        let worker = self.deployer.compiler.worker();
        Ok(graphs::load(files, metadata, worker)?)
    }

    fn outbound(&mut self, component: &Component) -> Result<Option<Arc<Outbound>>, Failure> {
        let allowed = component.outbound.clone();
        if allowed.is_empty() {
            return Ok(None);
        }
        let network = allowed.leads_out().then(|| self.network(&allowed));
        Ok(Some(Arc::new(Outbound {
            network: network.transpose()?,
            allowed,
            siblings: Arc::clone(&self.siblings),
        })))
    }

    fn network(&mut self, allowed: &AllowedHosts) -> Result<Arc<Network>, String> {
        self.door.hosts.open(allowed.ports());
        Ok(match &self.network {
            Some(network) => Arc::clone(network),
            None => Arc::clone(self.network.insert(Arc::new(Network::new()?))),
        })
    }
}

/// A component's file, with its dependencies inside.
fn open(component: &Component) -> Result<Package, Failure> {
    if component.dependencies.is_empty() {
        return Ok(Package::open(&component.source)?);
    }
    let mut plugs = Vec::new();
    for dependency in &component.dependencies {
        let bytes = Package::read(&dependency.path)?;
        dependencies::check(dependency, &Package::parse(bytes.clone())?)?;
        plugs.push(Part {
            name: &dependency.name,
            component: bytes,
        });
    }
    let socket = Part {
        name: &component.id,
        component: Package::read(&component.source)?,
    };
    Ok(Package::look_through(compose(socket, plugs)?)?)
}

/// Only what the host calls itself can be called for several requests at once.
fn check_alone(limits: &Limits) -> Result<(), Failure> {
    match limits.batch {
        None => Ok(()),
        Some(_) => Err(
            "batch is for models, and this is an HTTP component that the host cannot look into; \
             remove it"
                .into(),
        ),
    }
}

/// A model answers at paths below its route, or at the one for media.
fn check_mount(route: &Pattern) -> Result<(), Failure> {
    let raw = route.raw();
    match raw.ends_with("/...") || raw.ends_with("/predict") {
        true => Ok(()),
        false => Err(format!(
            "route {raw:?}: a model answers at paths below its route, write route = \"{}/...\"",
            raw.trim_end_matches('/')
        )
        .into()),
    }
}

fn check_route(route: &Pattern) -> Result<(), Failure> {
    match is_reserved(route.matched()) {
        false => Ok(()),
        true => Err(format!(
            "[[trigger.http]] with route {:?}: the host answers there itself; choose another route",
            route.raw()
        )
        .into()),
    }
}

fn tenant(component: &Component) -> Tenant {
    Tenant {
        name: component.tenant.as_str().into(),
        weight: component.weight,
    }
}

/// The name of a component's model: the one in its metadata, unless the manifest routes the component's
/// id to it, or the file tells no name that can stand in a URL.
fn name<'a>(
    component: &'a Component,
    metadata: Option<&'a Metadata>,
    routes: &[&Pattern],
) -> &'a str {
    let by_id = format!("/v2/models/{}/...", component.id);
    let own = metadata.map(|metadata| metadata.name.as_str());
    let own = own.filter(|own| is_name(own));
    match own {
        Some(own) if routes.iter().all(|route| route.raw() != by_id) => own,
        _ => &component.id,
    }
}

/// A model function sees nothing, so nothing can be given to it.
/// A front could be given things by other hosts, and looks at none of them.
fn check_plain(component: &Component, is_behind_front: bool) -> Result<(), Failure> {
    if is_behind_front {
        return Ok(());
    }
    let given = [
        ("environment", !component.environment.is_empty()),
        ("variables", component.variables.iter().next().is_some()),
        ("files", !component.files.is_empty()),
        ("allowed_outbound_hosts", !component.outbound.is_empty()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "{key} is for components that speak HTTP, and this is a model, which imports nothing; \
             remove it"
        )
        .into()),
    }
}
