//! Loads a model inside the sandbox, twice, and takes the memory that the second load leaves.
//! How the guest lays it out: `guest/runtime/src/heap.rs`.

use std::sync::Arc;

use glovebox_protocol::Signature;
use serde::Deserialize;
use wasmtime::{Engine, Instance, Linker, Memory, Module, Store, TypedFunc, UpdateDeadline};

use super::PackError;
use crate::limits::{self, Bytes, Limits};
use crate::model::runtime;
use crate::sandbox::limiter::{Limiter, MemoryGauge};
use crate::sandbox::meter::Meter;
use crate::text;

/// The memory of a guest that holds a model.
pub(super) struct Loaded {
    /// From address 0 to the end of the model.
    pub(super) memory: Vec<u8>,
    pub(super) signature: Signature,
}

/// What is loaded, and how.
#[derive(Clone, Copy)]
struct Source<'a> {
    model: &'a [u8],
    pipeline: &'a [u8],
    /// Whether the model runs once before the snapshot.
    warm: bool,
}

/// Loads `model` with its pipeline. A model that cannot run on zeros is loaded without running.
pub(super) fn load(
    engine: &Engine,
    code: &Module,
    model: &[u8],
    pipeline: &[u8],
    limits: &Limits,
) -> Result<Loaded, PackError> {
    let guest = || Guest::new(engine, code, limits);
    let source = Source {
        model,
        pipeline,
        warm: true,
    };
    load_twice(&guest, source).or_else(|error| match error {
        PackError::Crashed(_) => load_twice(
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
    guest: &impl Fn() -> Result<Guest, PackError>,
    source: Source<'_>,
) -> Result<Loaded, PackError> {
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
        } => {
            let mut memory = place.read(0, image_bytes)?;
            // What the stack held is of no use after loading.
            memory
                .iter_mut()
                .take(stack_bytes)
                .for_each(|byte| *byte = 0);
            Ok(Loaded { memory, signature })
        }
        report => Err(report.unexpected()),
    }
}

/// What the guest says of one load.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Failed(Failure),
    Surveyed {
        kept_bytes: usize,
        plan_at: usize,
        plan_bytes: usize,
    },
    Placed {
        image_bytes: usize,
        stack_bytes: usize,
        signature: Signature,
    },
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "message", rename_all = "snake_case")]
enum Failure {
    NotOnnx(String),
    UnsupportedOperator(String),
    ExternalData(String),
    Config(String),
    Model(String),
}

impl Report {
    fn unexpected(self) -> PackError {
        let shown = |message: String| text::escape(&message);
        match self {
            Self::Failed(Failure::Config(message)) => PackError::Pipeline(shown(message)),
            Self::Failed(
                Failure::NotOnnx(message)
                | Failure::UnsupportedOperator(message)
                | Failure::ExternalData(message),
            ) => PackError::Refused(shown(message)),
            Self::Failed(Failure::Model(message)) => {
                PackError::Refused(format!("the model does not load: {}", shown(message)))
            }
            Self::Surveyed { .. } | Self::Placed { .. } => {
                PackError::Guest("the report is of another load".into())
            }
        }
    }
}

struct State {
    limiter: Limiter,
}

/// A fresh instance of the runtime without a model.
struct Guest {
    store: Store<State>,
    instance: Instance,
    memory: Memory,
    meter: Arc<Meter>,
    gauge: Arc<MemoryGauge>,
    limits: Limits,
}

/// CPU time is used up.
#[derive(Debug, thiserror::Error)]
#[error("cpu limit")]
struct CpuUsedUp;

impl Guest {
    fn new(engine: &Engine, code: &Module, limits: &Limits) -> Result<Self, PackError> {
        let gauge = Arc::<MemoryGauge>::default();
        let limiter = Limiter::new(limits.memory, Arc::clone(&gauge));
        let mut store = Store::new(engine, State { limiter });
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        let meter = Arc::<Meter>::default();
        let (watched, cpu) = (Arc::clone(&meter), limits.cpu);
        store.epoch_deadline_callback(move |_| match watched.spent_in_slice() >= cpu {
            true => Err(CpuUsedUp.into()),
            false => Ok(UpdateDeadline::Continue(1)),
        });
        let guest = |error: wasmtime::Error| PackError::Guest(format!("{error:#}"));
        let image = Module::new(engine, runtime::IMAGE).map_err(guest)?;
        let image = Instance::new(&mut store, &image, &[]).map_err(guest)?;
        let mut linker = Linker::new(engine);
        linker.instance(&mut store, "env", image).map_err(guest)?;
        let instance = linker.instantiate(&mut store, code).map_err(guest)?;
        let memory = image.get_memory(&mut store, "memory");
        let memory =
            memory.ok_or_else(|| PackError::Guest("the image exports no memory".into()))?;
        Ok(Self {
            store,
            instance,
            memory,
            meter,
            gauge,
            limits: limits.clone(),
        })
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), PackError> {
        self.call::<u32, ()>("pack_reserve", address(bytes)?)
    }

    fn load(&mut self, source: Source<'_>, plan: &[u8]) -> Result<Report, PackError> {
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
            .map_err(|error| PackError::Guest(format!("the report is broken: {error}")))
    }

    /// Copies bytes into the guest; its address there.
    fn stage(&mut self, bytes: &[u8]) -> Result<u32, PackError> {
        let at: u32 = self.call("pack_stage", address(bytes.len())?)?;
        let fits = at != 0
            && self
                .memory
                .write(&mut self.store, at as usize, bytes)
                .is_ok();
        if fits {
            Ok(at)
        } else {
            Err(PackError::Memory(self.limits.memory))
        }
    }

    fn read_slice(&self, address_and_length: u64) -> Result<Vec<u8>, PackError> {
        self.read(
            (address_and_length >> 32) as usize,
            (address_and_length & 0xffff_ffff) as usize,
        )
    }

    fn read(&self, at: usize, bytes: usize) -> Result<Vec<u8>, PackError> {
        let memory = self.memory.data(&self.store);
        let slice = at.checked_add(bytes).and_then(|end| memory.get(at..end));
        slice
            .map(<[u8]>::to_vec)
            .ok_or_else(|| PackError::Guest("an address is outside of the memory".into()))
    }

    /// Calls an export under the CPU limit.
    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<R, PackError> {
        let function: TypedFunc<P, R> = self
            .instance
            .get_typed_func(&mut self.store, name)
            .map_err(|error| PackError::Guest(format!("{error:#}")))?;
        let meter = Arc::clone(&self.meter);
        let (result, _) = meter.slice(|| function.call(&mut self.store, arguments));
        result.map_err(|error| self.explain(&error))
    }

    /// What stopped the guest; for a panic, its message.
    fn explain(&mut self, error: &wasmtime::Error) -> PackError {
        if error.is::<CpuUsedUp>() {
            return PackError::Cpu(self.limits.cpu);
        }
        if self.gauge.refused() {
            return PackError::Memory(self.limits.memory);
        }
        let message = self.panic_message().unwrap_or_else(|| format!("{error:#}"));
        PackError::Crashed(text::escape(&message))
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

fn address(bytes: usize) -> Result<u32, PackError> {
    u32::try_from(bytes).map_err(|_| PackError::Memory(Bytes(limits::PACK_MEMORY_BYTES)))
}
