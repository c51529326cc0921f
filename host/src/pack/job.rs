//! Loading as the job of a worker: what goes in, what comes out.
//!
//! Both directions are a header, JSON behind its length as eight little-endian bytes, and then raw
//! bytes: the model in, the memory out.

use std::io::Read;
use std::time::Duration;

use glovebox_protocol::Signature;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::Module;

use super::PackError;
use super::loader::{self, LoadError, Loaded, Loader};
use crate::limits::{self, Bytes, Limits};
use crate::sandbox::Sandbox;
use crate::sandbox::engine::Metering;
use crate::worker::{Budget, Worker, WorkerError};

/// What the job is called on the command line of a worker.
pub const NAME: &str = "load-model";

const LENGTH_BYTES: usize = size_of::<u64>();

/// What to load beside the model itself.
#[derive(Deserialize, Serialize)]
struct Order {
    memory_bytes: u64,
    cpu: Duration,
    pipeline: Value,
}

/// What comes before the memory.
#[derive(Deserialize, Serialize)]
struct Front {
    heap_bytes: u64,
    signature: Signature,
}

/// Loads a model in a worker.
pub(super) fn load(
    worker: &Worker,
    model: &[u8],
    pipeline: Value,
    limits: &Limits,
) -> Result<Loaded, PackError> {
    let order = Order {
        memory_bytes: limits.memory.0,
        cpu: limits.cpu,
        pipeline,
    };
    let header = header(&order);
    let length = length(&header);
    let output = worker
        .run(&[NAME], &budget(limits, model), &[&length, &header, model])
        .map_err(|error| explain(error, limits))?;
    read_loaded(output).map_err(PackError::Guest)
}

/// The job, ready to be done in this process, which should be a worker.
pub struct Load(Loader);

impl Load {
    /// Makes ready what a confined process cannot: machine code.
    ///
    /// # Errors
    /// The runtime does not compile: our bug.
    pub fn new(sandbox: &Sandbox, code: Module) -> Result<Self, String> {
        let engine = sandbox
            .engine(Metering::Epochs)
            .map_err(|error| error.to_string())?;
        let loader = Loader::new(engine, code);
        loader.map(Self).map_err(|error| format!("{error:#}"))
    }

    /// Loads a model; the two parts of the output.
    ///
    /// # Errors
    /// The model was not loaded: the reason as the parent reads it.
    pub fn run(&self, input: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Vec<u8>> {
        let loaded = split::<Order>(input)
            .map_err(LoadError::Guest)
            .and_then(|(order, model)| self.load(&order, model))
            .map_err(|error| header(&error))?;
        let front = header(&Front {
            heap_bytes: loaded.heap_bytes,
            signature: loaded.signature,
        });
        let front = [length(&front).as_slice(), &front].concat();
        Ok((front, loaded.memory))
    }

    fn load(&self, order: &Order, model: &[u8]) -> Result<Loaded, LoadError> {
        let limits = Limits {
            memory: Bytes(order.memory_bytes),
            ..Limits::generous(order.cpu)
        };
        let pipeline = order.pipeline.to_string();
        loader::load(&self.0, model, pipeline.as_bytes(), &limits)
    }
}

/// Two loads, each a second time if the model cannot run on zeros, beside the copies of the file
/// and of the memory.
fn budget(limits: &Limits, model: &[u8]) -> Budget {
    let copies = limits.memory.0.saturating_add(model.len() as u64);
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
        heap_bytes: front.heap_bytes,
        signature: front.signature,
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
    let broken = || "a worker and its parent do not understand each other".to_owned();
    let (length, rest) = bytes.split_first_chunk().ok_or_else(broken)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
    let (header, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
    let value = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    Ok((value, rest))
}
