//! Loads a model inside the sandbox, twice, and takes the memory that the second load leaves.
//! How the guest lays it out: `guest/image/src/heap.rs`. This runs in a worker.

use std::sync::Arc;

use glovebox_protocol::Signature;
use serde::{Deserialize, Serialize};
use wasmtime::{Engine, Instance, Linker, Memory, Module, Store, TypedFunc, UpdateDeadline};

use crate::limits::{Bytes, Limits};
use crate::sandbox::limiter::{Account, Limiter};
use crate::sandbox::meter::Meter;
use crate::text;

/// Outputs that have a score for each class, with the names of these; only where the model says so.
pub(super) type ClassNames = Vec<(String, Vec<String>)>;

/// The memory of a guest that holds a model.
pub(super) struct Loaded {
    /// From address 0 to the end of the model.
    pub(super) memory: Vec<u8>,
    /// What of it is the stack, which lies in front and holds nothing.
    pub(super) stack_bytes: usize,
    /// What a request needs behind it.
    pub(super) heap_bytes: u64,
    pub(super) signature: Signature,
    pub(super) class_names: ClassNames,
}

/// Why there is no model in memory. Texts of the guest are escaped.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum LoadError {
    /// The model is no ONNX, uses what the engine lacks, or does not load.
    Refused(String),
    /// The engine panics over the model.
    Crashed(String),
    /// `[input]` or `[output]` do not fit the model.
    Pipeline(String),
    /// Its memory limit was in the way.
    Memory,
    /// Its CPU limit was in the way.
    Cpu,
    /// The guest did not do as it should.
    Guest(String),
}

/// What is loaded, and how.
#[derive(Clone, Copy)]
struct Source<'a> {
    model: &'a [u8],
    pipeline: &'a [u8],
    /// Whether the model runs once before the snapshot.
    warm: bool,
}

/// A guest without a model, in machine code.
pub(super) struct Loader {
    engine: Engine,
    code: Module,
    image: Module,
}

impl Loader {
    pub(super) fn new(engine: &Engine, code: Module, image: &[u8]) -> wasmtime::Result<Self> {
        Ok(Self {
            engine: engine.clone(),
            code,
            image: Module::new(engine, image)?,
        })
    }
}

/// Loads `model` with its pipeline. A model that cannot run on zeros is loaded without running.
pub(super) fn load(
    loader: &Loader,
    model: &[u8],
    pipeline: &[u8],
    limits: &Limits,
) -> Result<Loaded, LoadError> {
    let guest = || Guest::new(loader, limits);
    let source = Source {
        model,
        pipeline,
        warm: true,
    };
    load_twice(&guest, source).or_else(|error| match error {
        LoadError::Crashed(_) => load_twice(
            &guest,
            Source {
                warm: false,
                ..source
            },
        ),
        error => Err(error),
    })
}

fn load_twice(
    guest: &impl Fn() -> Result<Guest, LoadError>,
    source: Source<'_>,
) -> Result<Loaded, LoadError> {
    let mut survey = guest()?;
    let (kept_bytes, plan) = match survey.load(source, &[])? {
        Report::Surveyed {
            kept_bytes,
            plan_at,
            plan_bytes,
        } => (kept_bytes, survey.read(plan_at, plan_bytes)?),
        report => return Err(report.unexpected()),
    };
    drop(survey);
    let mut place = guest()?;
    place.reserve(kept_bytes)?;
    match place.load(source, &plan)? {
        Report::Placed {
            image_bytes,
            stack_bytes,
            signature,
            class_names,
        } => {
            let mut memory = place.read(0, image_bytes)?;
            // What the stack held is of no use after loading.
            memory
                .iter_mut()
                .take(stack_bytes)
                .for_each(|byte| *byte = 0);
            Ok(Loaded {
                memory,
                stack_bytes,
                heap_bytes: place.rehearse(image_bytes)?,
                signature,
                class_names,
            })
        }
        report => Err(report.unexpected()),
    }
}

/// What the guest says of one load.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Failed(Failure),
    Unplaceable(String),
    Surveyed {
        kept_bytes: usize,
        plan_at: usize,
        plan_bytes: usize,
    },
    Placed {
        image_bytes: usize,
        stack_bytes: usize,
        signature: Signature,
        class_names: ClassNames,
    },
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
enum Failure {
    NotOnnx(String),
    UnsupportedOperator(String),
    ExternalData(String),
    Config(String),
    Datatype(String),
    Model(String),
}

impl Report {
    fn unexpected(self) -> LoadError {
        let shown = |message: String| text::escape(&message);
        match self {
            Self::Failed(Failure::Config(message)) => LoadError::Pipeline(shown(message)),
            Self::Failed(
                Failure::NotOnnx(message)
                | Failure::UnsupportedOperator(message)
                | Failure::ExternalData(message)
                | Failure::Datatype(message),
            ) => LoadError::Refused(shown(message)),
            Self::Failed(Failure::Model(message)) | Self::Unplaceable(message) => {
                LoadError::Refused(format!("the model does not load: {}", shown(message)))
            }
            Self::Surveyed { .. } | Self::Placed { .. } => {
                LoadError::Guest("the report is of another load".into())
            }
        }
    }
}

struct State {
    limiter: Limiter,
}

/// A fresh instance of the guest without a model.
struct Guest {
    store: Store<State>,
    instance: Instance,
    memory: Memory,
    meter: Arc<Meter>,
    account: Arc<Account>,
}

/// CPU time is used up.
#[derive(Debug, thiserror::Error)]
#[error("cpu limit")]
struct CpuUsedUp;

impl Guest {
    fn new(loader: &Loader, limits: &Limits) -> Result<Self, LoadError> {
        let Loader {
            engine,
            code,
            image,
        } = loader;
        let account = Account::new(limits.memory);
        let limiter = Limiter::new(Arc::clone(&account));
        let mut store = Store::new(engine, State { limiter });
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        let meter = Arc::<Meter>::default();
        let (watched, cpu) = (Arc::clone(&meter), limits.cpu);
        store.epoch_deadline_callback(move |_| match watched.spent_in_slice() >= cpu {
            true => Err(CpuUsedUp.into()),
            false => Ok(UpdateDeadline::Continue(1)),
        });
        let guest = |error: wasmtime::Error| LoadError::Guest(format!("{error:#}"));
        let image = Instance::new(&mut store, image, &[]).map_err(guest)?;
        let mut linker = Linker::new(engine);
        linker.instance(&mut store, "env", image).map_err(guest)?;
        // Graphs are for requests.
        linker
            .define_unknown_imports_as_traps(code)
            .map_err(guest)?;
        let instance = linker.instantiate(&mut store, code).map_err(guest)?;
        let memory = image.get_memory(&mut store, "memory");
        let memory =
            memory.ok_or_else(|| LoadError::Guest("the image exports no memory".into()))?;
        Ok(Self {
            store,
            instance,
            memory,
            meter,
            account,
        })
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), LoadError> {
        self.call::<u32, ()>("pack_reserve", address(bytes)?)
    }

    fn load(&mut self, source: Source<'_>, plan: &[u8]) -> Result<Report, LoadError> {
        let Source {
            model,
            pipeline,
            warm,
        } = source;
        let model = (self.stage(model)?, address(model.len())?);
        let pipeline = (self.stage(pipeline)?, address(pipeline.len())?);
        let plan = (self.stage(plan)?, address(plan.len() / size_of::<u32>())?);
        let arguments = (
            model.0,
            model.1,
            pipeline.0,
            pipeline.1,
            plan.0,
            plan.1,
            u32::from(warm),
        );
        let report: u64 = self.call("pack_load", arguments)?;
        let json = self.read_slice(report)?;
        serde_json::from_slice(&json)
            .map_err(|error| LoadError::Guest(format!("the report is broken: {error}")))
    }

    /// How much memory a request takes behind the image; nothing, if the model cannot run on zeros.
    ///
    /// # Errors
    /// The guest says that it was more than it has.
    fn rehearse(&mut self, image_bytes: usize) -> Result<u64, LoadError> {
        if let Some(leftovers) = self.memory.data_mut(&mut self.store).get_mut(image_bytes..) {
            leftovers.fill(0);
        }
        let heap: Result<u32, _> = self.call("pack_rehearse", ());
        let heap = heap.map_or(0, u64::from);
        let memory = self.memory.data_size(&self.store) as u64;
        match heap <= memory {
            true => Ok(heap),
            false => Err(LoadError::Guest(format!(
                "it says that a request takes {} of memory, and all that it has is {}",
                Bytes(heap),
                Bytes(memory)
            ))),
        }
    }

    /// Copies bytes into the guest; its address there.
    fn stage(&mut self, bytes: &[u8]) -> Result<u32, LoadError> {
        let at: u32 = self.call("pack_stage", address(bytes.len())?)?;
        let fits = at != 0
            && self
                .memory
                .write(&mut self.store, at as usize, bytes)
                .is_ok();
        if fits { Ok(at) } else { Err(LoadError::Memory) }
    }

    fn read_slice(&self, address_and_length: u64) -> Result<Vec<u8>, LoadError> {
        self.read(
            (address_and_length >> 32) as usize,
            (address_and_length & 0xffff_ffff) as usize,
        )
    }

    fn read(&self, at: usize, bytes: usize) -> Result<Vec<u8>, LoadError> {
        let memory = self.memory.data(&self.store);
        let slice = at.checked_add(bytes).and_then(|end| memory.get(at..end));
        slice
            .map(<[u8]>::to_vec)
            .ok_or_else(|| LoadError::Guest("an address is outside of the memory".into()))
    }

    /// Calls an export under the CPU limit.
    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<R, LoadError> {
        let function: TypedFunc<P, R> = self
            .instance
            .get_typed_func(&mut self.store, name)
            .map_err(|error| LoadError::Guest(format!("{error:#}")))?;
        let meter = Arc::clone(&self.meter);
        let (result, _) = meter.slice(|| function.call(&mut self.store, arguments));
        result.map_err(|error| self.explain(&error))
    }

    /// What stopped the guest; for a panic, its message.
    fn explain(&mut self, error: &wasmtime::Error) -> LoadError {
        if error.is::<CpuUsedUp>() {
            return LoadError::Cpu;
        }
        if self.account.refused() {
            return LoadError::Memory;
        }
        let message = self.panic_message().unwrap_or_else(|| format!("{error:#}"));
        LoadError::Crashed(text::escape(&message))
    }

    fn panic_message(&mut self) -> Option<String> {
        let function = self
            .instance
            .get_typed_func::<(), u64>(&mut self.store, "pack_panic")
            .ok()?;
        let slice = function.call(&mut self.store, ()).ok()?;
        let message = String::from_utf8_lossy(&self.read_slice(slice).ok()?).into_owned();
        (!message.is_empty()).then_some(message)
    }
}

fn address(bytes: usize) -> Result<u32, LoadError> {
    u32::try_from(bytes).map_err(|_| LoadError::Memory)
}
