//! Loading as the job of a worker: what goes in, what comes out.
//!
//! Both directions are a header, JSON behind its length as eight little-endian bytes, and then raw
//! bytes: a guest, if it is not the runtime, and the model in, the memory out.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use glovebox_protocol::Signature;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PackError;
use super::guest::{Guest, Origin};
use super::loader::{self, ClassNames, LoadError, Loaded, Loader};
use crate::compile::Compiler;
use crate::limits::{self, Bytes, Limits};
use crate::model::runtime;
use crate::sandbox::Sandbox;
use crate::sandbox::engine::Metering;
use crate::worker::{Budget, WorkerError};

/// What the job is called on the command line of a worker.
pub const NAME: &str = "load-model";

const BROKEN: &str = "a worker and its parent do not understand each other";

const LENGTH_BYTES: usize = size_of::<u64>();

/// What to load beside the model itself.
#[derive(Deserialize, Serialize)]
struct Order {
    memory_bytes: u64,
    cpu: Duration,
    pipeline: Value,
    /// How long code and image of a guest are that stand before the model; none is the runtime.
    guest: Option<(usize, usize)>,
}

/// What comes before the memory.
#[derive(Deserialize, Serialize)]
struct Front {
    stack_bytes: usize,
    heap_bytes: u64,
    signature: Signature,
    class_names: ClassNames,
}

/// Loads a model into a guest, in a worker, which finds the guest's machine code in the cache.
pub(super) fn load(
    compiler: &Compiler,
    guest: &Guest,
    model: &[u8],
    pipeline: Value,
    limits: &Limits,
) -> Result<Loaded, PackError> {
    let (code, image): (&[u8], &[u8]) = match guest.origin {
        Origin::Runtime => (&[], &[]),
        Origin::Native | Origin::Others => (&guest.code, &guest.image),
    };
    let order = Order {
        memory_bytes: limits.memory.0,
        cpu: limits.cpu,
        pipeline,
        guest: (guest.origin != Origin::Runtime).then_some((code.len(), image.len())),
    };
    let header = header(&order);
    let input = [&length(&header), header.as_slice(), code, image, model];
    let budget = budget(limits, code.len() + image.len() + model.len());
    let output = compiler
        .worker()
        .run(&[NAME], &budget, &input)
        .map_err(|error| explain(error, limits))?;
    read_loaded(output).map_err(PackError::Guest)
}

/// The job, ready to be done in this process, which should be a worker.
pub struct Load<'a> {
    loader: Loader,
    order: Order,
    model: &'a [u8],
}

impl<'a> Load<'a> {
    /// Makes ready what a confined process cannot: machine code.
    ///
    /// # Errors
    /// The guest does not compile.
    pub fn new(
        sandbox: &Sandbox,
        compiler: &Compiler,
        input: &'a [u8],
    ) -> Result<Self, Box<dyn Error>> {
        let (order, rest) = split::<Order>(input)?;
        let (code, image, model) = match order.guest {
            None => (compiler.embedded()?, runtime::IMAGE, rest),
            Some((code, image)) => {
                let (code, rest) = rest.split_at_checked(code).ok_or(BROKEN)?;
                let (image, model) = rest.split_at_checked(image).ok_or(BROKEN)?;
                (compiler.guest(code)?, image, model)
            }
        };
        Ok(Self {
            loader: Loader::new(sandbox.engine(Metering::Epochs)?, code, image)?,
            order,
            model,
        })
    }

    /// Loads the model; the two parts of the output.
    ///
    /// # Errors
    /// The model was not loaded: the reason as the parent reads it.
    pub fn run(&self) -> Result<(Vec<u8>, Vec<u8>), Vec<u8>> {
        let limits = Limits {
            memory: Bytes(self.order.memory_bytes),
            ..Limits::generous(self.order.cpu)
        };
        let pipeline = self.order.pipeline.to_string();
        let loaded = loader::load(&self.loader, self.model, pipeline.as_bytes(), &limits)
            .map_err(|error| header(&error))?;
        let front = header(&Front {
            stack_bytes: loaded.stack_bytes,
            heap_bytes: loaded.heap_bytes,
            signature: loaded.signature,
            class_names: loaded.class_names,
        });
        let front = [length(&front).as_slice(), &front].concat();
        Ok((front, loaded.memory))
    }
}

/// Two loads, each a second time if the model cannot run on zeros, beside the copies of the input
/// and of the memory.
fn budget(limits: &Limits, input_bytes: usize) -> Budget {
    let copies = limits.memory.0.saturating_add(input_bytes as u64);
    Budget {
        cpu: limits
            .cpu
            .saturating_mul(4)
            .saturating_add(limits::WORKER_START_CPU),
        memory: Bytes(
            copies
                .saturating_mul(2)
                .saturating_add(limits::WORKER_OWN_BYTES),
        ),
        output: Bytes(limits.memory.0.saturating_add(limits::WORKER_OWN_BYTES)),
        threads: 1,
        background: false,
    }
}

fn explain(error: WorkerError, limits: &Limits) -> PackError {
    let reason = match &error {
        WorkerError::Refused(reason) => serde_json::from_slice(reason).ok(),
        WorkerError::Cpu(_) => Some(LoadError::Cpu),
        WorkerError::Memory(_) => Some(LoadError::Memory),
        _ => None,
    };
    match reason {
        Some(LoadError::Refused(text)) => PackError::Refused(text),
        Some(LoadError::Crashed(text)) => PackError::Crashed(text),
        Some(LoadError::Pipeline(text)) => PackError::Pipeline(text),
        Some(LoadError::Memory) => PackError::Memory(limits.memory),
        Some(LoadError::Cpu) => PackError::Cpu(limits.cpu),
        Some(LoadError::Guest(text)) => PackError::Guest(text),
        None => PackError::Worker(error),
    }
}

fn read_loaded(mut output: impl Read) -> Result<Loaded, String> {
    let mut bytes = Vec::new();
    output
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let (front, memory) = split::<Front>(&bytes)?;
    let front_bytes = bytes.len() - memory.len();
    bytes.drain(..front_bytes);
    Ok(Loaded {
        memory: bytes,
        stack_bytes: front.stack_bytes,
        heap_bytes: front.heap_bytes,
        signature: front.signature,
        class_names: front.class_names,
    })
}

/// Only strings, numbers and lists: there is nothing in it that JSON cannot write.
fn header(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn length(header: &[u8]) -> [u8; LENGTH_BYTES] {
    (header.len() as u64).to_le_bytes()
}

/// A header and what follows it.
fn split<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<(T, &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk().ok_or(BROKEN)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| BROKEN)?;
    let (header, rest) = rest.split_at_checked(length).ok_or(BROKEN)?;
    let value = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    Ok((value, rest))
}
