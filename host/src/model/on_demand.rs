//! Models that are loaded when they are first asked for, and unloaded when others need their memory.
//!
//! Only packed models can be: what is loaded of one is its image, which is no code, so a process
//! behind its wall can do it. The file of each is opened before. What is loaded has a part of a
//! memory of its own; if that is used up, the model that was not asked for the longest is unloaded.
//! Requests that it is working on keep it, and its part, until they are done.
//!
//! A request that waits for its model to be loaded holds a permit of that model, which bounds how
//! many do; whoever is first loads it for all. A model that cannot be loaded is left alone for a
//! while, so that requests for it cost little.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use glovebox_protocol::Signature;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout_at;

use super::package::{Code, Glance, Package};
use super::{
    DeployError, Deployer, Loaded, Model, Source, UNLOADED, batcher, check, metering, refuse,
};
use crate::admission::Gate;
use crate::compile::CompileError;
use crate::error::RequestError;
use crate::limits::{self, Bytes, Limits};
use crate::memory::{Budget, Reservation};
use crate::sandbox::compute::Tenant;
use crate::sandbox::engine::Metering;
use crate::sandbox::function::Function;
use crate::sandbox::invoke::Fault;

/// Loads and unloads the models of a host.
pub struct Loader {
    deployer: Deployer,
    memory: Budget,
    /// Loads at once.
    loads: Arc<Semaphore>,
    /// Makes room for one at a time.
    room: tokio::sync::Mutex<()>,
    loaded: Mutex<Vec<Weak<OnDemand>>>,
    /// Whoever waits for memory looks again at what could be unloaded.
    loaded_one: Notify,
    /// Counts requests, to tell who was asked for last.
    clock: AtomicU64,
}

/// A packed model's file, seen from the outside.
pub struct Registered {
    /// The file, open.
    pub file: File,
    /// Its path, for messages.
    pub path: PathBuf,
    /// What its beginning says.
    pub glance: Glance,
}

/// A model that is loaded at times.
pub(super) struct OnDemand {
    name: String,
    registered: Registered,
    limits: Limits,
    tenant: Tenant,
    loader: Arc<Loader>,
    state: Mutex<State>,
    /// Who has it loads the model.
    turn: tokio::sync::Mutex<()>,
    /// When it was asked for last, on the loader's clock; 0 is never.
    used: AtomicU64,
}

enum State {
    Absent,
    Here(Arc<Loaded>),
    Failed(Instant),
    /// An operator wants no answers of it.
    Unloaded,
}

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    /// Its file.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// It is larger than what all have together.
    #[error("it takes {0} when it is loaded, more than the {1} of --model-memory")]
    TooLarge(Bytes, Bytes),
    /// There is no place to run it now.
    #[error("the host has no room to ask it for its signature")]
    Busy,
    /// The thread that loaded it died.
    #[error("loading it broke off")]
    Lost,
}

impl Loader {
    /// Keeps as many models loaded as fit into this memory.
    pub fn new(deployer: Deployer, memory: Budget) -> Arc<Self> {
        Arc::new(Self {
            deployer,
            memory,
            loads: Arc::new(Semaphore::new(limits::LOADS)),
            room: tokio::sync::Mutex::default(),
            loaded: Mutex::default(),
            loaded_one: Notify::new(),
            clock: AtomicU64::default(),
        })
    }

    /// A model that is loaded when it is asked for. What packed models share is loaded now.
    ///
    /// # Errors
    /// It would not fit its limits, or what is shared cannot be loaded.
    pub fn register(
        self: &Arc<Self>,
        name: &str,
        registered: Registered,
        tenant: Tenant,
        limits: Limits,
    ) -> Result<Model, DeployError> {
        let glance = &registered.glance;
        check(name, glance.image, &limits)?;
        self.load_runtime(&registered, metering(&limits))?;
        Ok(Model {
            name: name.to_owned(),
            component: name.to_owned(),
            metadata: Some(glance.metadata.clone()),
            signature: glance.metadata.signature.clone(),
            limits: limits.clone(),
            tenant: tenant.clone(),
            gate: Gate::new(&limits),
            batcher: batcher(
                &glance.metadata.signature,
                &limits,
                self.deployer.sandbox.threads(),
            )?,
            graphs: Arc::default(),
            source: Source::OnDemand(Arc::new(OnDemand {
                name: name.to_owned(),
                registered,
                limits,
                tenant,
                loader: Arc::clone(self),
                state: Mutex::new(State::Absent),
                turn: tokio::sync::Mutex::default(),
                used: AtomicU64::default(),
            })),
        })
    }

    /// Loads what models with this one's runtime share, before anybody asks for them. Which runtime a
    /// file has is read from its code for the first file that names it, and is checked when a model is
    /// loaded.
    fn load_runtime(&self, registered: &Registered, metering: Metering) -> Result<(), DeployError> {
        let Registered { file, path, glance } = registered;
        let compiler = &self.deployer.compiler;
        if compiler.has_code(&glance.metadata.runtime_sha256, metering)? {
            return Ok(());
        }
        match Package::of_file(file, path)?.code {
            Code::Shared(runtime) => {
                compiler.runtime(&runtime, metering)?;
                Ok(())
            }
            _ => Err(CompileError::OwnCode.into()),
        }
    }

    /// Reserves memory; others are unloaded for it.
    async fn make_room(&self, part: Bytes) -> Option<Reservation> {
        let _turn = self.room.lock().await;
        loop {
            self.unload_for(part);
            tokio::select! {
                biased;
                reservation = self.memory.reserve(part) => return reservation,
                () = self.loaded_one.notified() => {}
            }
        }
    }

    /// Unloads as many as must be for so much memory. Those that still work give back their part
    /// when they are done.
    fn unload_for(&self, part: Bytes) {
        let mut awaited = 0;
        while self.memory.reserved().0 + part.0 > self.memory.total().0 + awaited {
            match self.unload_one() {
                Some(later) => awaited += later.0,
                None => break,
            }
        }
    }

    /// Unloads the model that was asked for longest ago, if it can be one that does not work. What
    /// one that works has is given back later: so much.
    fn unload_one(&self) -> Option<Bytes> {
        let mut loaded = lock(&self.loaded);
        loaded.retain(|model| model.upgrade().is_some());
        let candidates = loaded.iter().filter_map(Weak::upgrade).enumerate();
        let (index, model) = candidates.min_by_key(|(_, model)| model.rank())?;
        loaded.swap_remove(index);
        let mut state = lock(&model.state);
        let State::Here(loaded) = &*state else {
            return Some(Bytes(0));
        };
        let later = match Arc::strong_count(loaded) > 1 {
            true => loaded.size(),
            false => Bytes(0),
        };
        *state = State::Absent;
        tracing::debug!(model = model.name, "unloaded a model");
        Some(later)
    }
}

impl OnDemand {
    pub(super) async fn loaded(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<Loaded>, RequestError> {
        let now = self.loader.clock.fetch_add(1, Relaxed) + 1;
        self.used.store(now, Relaxed);
        if let Some(loaded) = self.found()? {
            return Ok(loaded);
        }
        let load = async {
            let _turn = self.turn.lock().await;
            match self.found()? {
                Some(loaded) => Ok(loaded),
                None => self.load().await.map_err(|error| self.failed(&error)),
            }
        };
        let loaded = timeout_at(deadline.into(), load).await;
        loaded.unwrap_or(Err(RequestError::Timeout))
    }

    /// What all loaded models may have together.
    pub(super) fn memory(&self) -> &Budget {
        &self.loader.memory
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.used.load(Relaxed) > 0
    }

    /// What is there already: the model, or the knowledge that it cannot be loaded.
    fn found(&self) -> Result<Option<Arc<Loaded>>, RequestError> {
        match &*lock(&self.state) {
            State::Here(loaded) => Ok(Some(Arc::clone(loaded))),
            State::Failed(at) if at.elapsed() < limits::FAILED_LOAD_TIME => {
                Err(RequestError::NotLoaded)
            }
            State::Unloaded => Err(RequestError::Unloaded),
            State::Absent | State::Failed(_) => Ok(None),
        }
    }

    /// Lets it answer no more; who is loading it ends that first.
    pub(super) async fn unload(self: &Arc<Self>) {
        let _turn = self.turn.lock().await;
        let itself = Arc::downgrade(self);
        lock(&self.loader.loaded).retain(|model| !model.ptr_eq(&itself));
        *lock(&self.state) = State::Unloaded;
    }

    /// Lets it be loaded again, also if that failed a moment ago.
    pub(super) fn allow(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Unloaded | State::Failed(_)) {
            *state = State::Absent;
        }
    }

    /// Why it answers no requests now, if it is known that it does not.
    pub(super) fn unavailable(&self) -> Option<&'static str> {
        match &*lock(&self.state) {
            State::Unloaded => Some(UNLOADED),
            State::Failed(_) => Some("could not be loaded; the log says why"),
            State::Absent | State::Here(_) => None,
        }
    }

    /// Who is unloaded first has the least: whether it works, and when it was asked for.
    fn rank(&self) -> (bool, u64) {
        let works =
            matches!(&*lock(&self.state), State::Here(loaded) if Arc::strong_count(loaded) > 1);
        (works, self.used.load(Relaxed))
    }

    async fn load(self: &Arc<Self>) -> Result<Arc<Loaded>, LoadError> {
        let start = Instant::now();
        let size = self.registered.glance.image;
        let total = self.loader.memory.total();
        if size > total {
            return Err(LoadError::TooLarge(size, total));
        }
        // Nothing closes the semaphore, nor the budget.
        let loads = Arc::clone(&self.loader.loads).acquire_owned();
        let turn = loads.await.map_err(|_| LoadError::Lost)?;
        let copies = Bytes(size.0.saturating_mul(limits::LOAD_COPIES).min(total.0));
        let memory = self.loader.make_room(copies).await;
        let memory = memory.ok_or(LoadError::Lost)?;
        let model = Arc::clone(self);
        // Who asked may be gone before this ends, which keeps what it takes until then.
        let compile = move || (model.compile(), memory, turn);
        let compiled = tokio::task::spawn_blocking(compile).await;
        let (function, mut memory, _turn) = compiled.map_err(|_| LoadError::Lost)?;
        let (function, size) = function?;
        self.check_signature(&function).await?;
        memory.keep(size);
        let loaded = Arc::new(Loaded {
            function,
            memory: Some(memory),
        });
        *lock(&self.state) = State::Here(Arc::clone(&loaded));
        lock(&self.loader.loaded).push(Arc::downgrade(self));
        self.loader.loaded_one.notify_one();
        let ms = start.elapsed().as_millis() as u64;
        tracing::debug!(model = self.name, ms, "loaded a model");
        Ok(loaded)
    }

    /// The function, and what it takes. The file may hold another model by now, but no larger one
    /// than what is reserved for.
    fn compile(&self) -> Result<(Function, Bytes), DeployError> {
        let Registered { file, path, glance } = &self.registered;
        let package = Package::of_file(file, path)?;
        if package.image > glance.image {
            return Err(DeployError::Changed);
        }
        check(&self.name, package.image, &self.limits)?;
        let deployer = &self.loader.deployer;
        let metering = metering(&self.limits);
        let (code, size) = deployer.compiler.in_memory(&package, metering)?;
        let function = deployer.link(
            &code,
            Arc::default(),
            self.tenant.clone(),
            self.limits.clone(),
        )?;
        Ok((function, size))
    }

    /// What the file says of the model is what clients are told before it is loaded.
    async fn check_signature(&self, function: &Function) -> Result<(), LoadError> {
        let told: &Signature = &self.registered.glance.metadata.signature;
        match function.signature().await.outcome {
            Ok(signature) if signature == *told => Ok(()),
            Ok(_) => Err(DeployError::Changed.into()),
            Err(Fault::Exhausted | Fault::Timeout) => Err(LoadError::Busy),
            Err(fault) => Err(refuse(&fault).into()),
        }
    }

    fn failed(&self, error: &LoadError) -> RequestError {
        tracing::error!(model = self.name, %error, "cannot load a model");
        match error {
            LoadError::Busy | LoadError::Deploy(DeployError::Compile(CompileError::Memory(_))) => {
                RequestError::Overload(limits::FAILED_LOAD_TIME)
            }
            LoadError::Lost => RequestError::INTERNAL,
            LoadError::Deploy(_) | LoadError::TooLarge(..) => {
                *lock(&self.state) = State::Failed(Instant::now());
                RequestError::NotLoaded
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
