//! Graphs on ONNX Runtime, a library of the system that is loaded at run time.
//!
//! It runs a graph in one step, on the thread that asks for it, and breaks off at the deadline. What it
//! takes between its operators is not counted.

use std::fmt::Debug;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use glovebox_protocol::{Datatype, Signature, Tensor, TensorSpec};
use ort::environment::Environment;
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor as Value, TensorElementType, ValueType,
};

use super::caught::caught;
use super::{Graph, LoadError, Run, RunError};

/// Loads the library, by the name in `ORT_DYLIB_PATH`, or where the system finds it.
///
/// # Errors
/// It refuses to work. If it is not there, this panics.
pub(super) fn prepare() -> Result<(), LoadError> {
    environment().map(|_| ())
}

fn environment() -> Result<&'static Environment, LoadError> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let make = || ort::init().with_telemetry(false).build();
    let environment = ENVIRONMENT.get_or_init(|| make().map_err(|error| error.to_string()));
    environment
        .as_ref()
        .map_err(|error| LoadError::Refused(format!("ONNX Runtime: {error}")))
}

/// Reads an ONNX file.
///
/// # Errors
/// ONNX Runtime does not take it, or its tensors are of a kind that is not supported here.
pub(super) fn load(file: &[u8]) -> Result<Arc<dyn Graph>, LoadError> {
    let session = session(file).map_err(LoadError::Refused)?;
    let specs = |outlets: &[Outlet]| outlets.iter().map(spec).collect::<Result<_, _>>();
    let signature = Signature {
        inputs: specs(session.inputs()).map_err(LoadError::Refused)?,
        outputs: specs(session.outputs()).map_err(LoadError::Refused)?,
        media: Vec::new(),
    };
    let sessions = Sessions {
        file: file.to_vec(),
        idle: Mutex::new(vec![session]),
    };
    Ok(Arc::new(OrtGraph {
        signature,
        sessions: Arc::new(sessions),
    }))
}

fn session(file: &[u8]) -> Result<Session, String> {
    let environment = environment().map_err(|error| error.to_string())?;
    let builder = Session::builder(environment).map_err(|error| error.to_string())?;
    // The thread that asks is the one that is billed.
    let builder = builder.with_intra_threads(1);
    let mut builder = builder.map_err(|error| error.to_string())?;
    builder
        .commit_from_memory(file)
        .map_err(|error| error.to_string())
}

fn spec(outlet: &Outlet) -> Result<TensorSpec, String> {
    let name = outlet.name().to_owned();
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Ok(TensorSpec {
            datatype: datatype(*ty).ok_or_else(|| format!("tensor {name:?} is of {ty:?}"))?,
            shape: shape.to_vec(),
            name,
        }),
        _ => Err(format!("{name:?} is no tensor")),
    }
}

struct OrtGraph {
    signature: Signature,
    sessions: Arc<Sessions>,
}

/// A session runs for one at a time, so there are as many as were ever asked for at once: no more than
/// threads that run graphs.
struct Sessions {
    file: Vec<u8>,
    idle: Mutex<Vec<Session>>,
}

impl Sessions {
    fn take(&self) -> Result<Session, RunError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| session(&self.file).map_err(RunError::Failed), Ok)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Graph for OrtGraph {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn begin(&self, inputs: &[Tensor]) -> Result<Box<dyn Run>, RunError> {
        let value = |input: &Tensor| Ok((input.name.clone(), to_value(input)?));
        Ok(Box::new(OrtRun {
            sessions: Arc::clone(&self.sessions),
            bytes: inputs.iter().map(|input| input.data.len() as u64).sum(),
            inputs: inputs.iter().map(value).collect::<Result<_, RunError>>()?,
            outputs: None,
        }))
    }
}

struct OrtRun {
    sessions: Arc<Sessions>,
    inputs: Vec<(String, DynValue)>,
    /// What its tensors take.
    bytes: u64,
    outputs: Option<Vec<Tensor>>,
}

impl OrtRun {
    fn run(&mut self, session: &mut Session, deadline: Instant) -> Result<Vec<Tensor>, RunError> {
        let options = Arc::new(RunOptions::new().map_err(|error| failed(&error))?);
        let _watched = stop_at(deadline, &options);
        let inputs = std::mem::take(&mut self.inputs);
        let outputs = session.run_with_options(inputs, &options);
        let outputs = outputs.map_err(|error| failed(&error))?;
        outputs
            .iter()
            .map(|(name, value)| from_value(name, &value))
            .collect()
    }
}

impl Run for OrtRun {
    fn is_done(&self) -> bool {
        self.outputs.is_some()
    }

    fn next_bytes(&self) -> u64 {
        self.bytes
    }

    fn step(&mut self, deadline: Instant) -> Result<(), RunError> {
        let run = || {
            let mut session = self.sessions.take()?;
            let outputs = self.run(&mut session, deadline);
            self.sessions.idle().push(session);
            outputs
        };
        let outputs = caught(run, RunError::Panicked)?;
        self.bytes = outputs.iter().map(|output| output.data.len() as u64).sum();
        self.outputs = Some(outputs);
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        self.bytes
    }

    fn outputs(&mut self) -> Result<Vec<Tensor>, RunError> {
        Ok(self.outputs.take().unwrap_or_default())
    }
}

/// Ends a run at its deadline, unless what is returned is dropped before.
fn stop_at(deadline: Instant, options: &Arc<RunOptions<NoSelectedOutputs>>) -> Sender<()> {
    let (sender, ended) = mpsc::channel();
    let options = Arc::clone(options);
    thread::spawn(move || {
        let time = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            // If it cannot be ended, it ends by itself.
            let _ = options.terminate();
        }
    });
    sender
}

fn failed(error: &ort::Error) -> RunError {
    RunError::Failed(error.to_string())
}

fn datatype(ty: TensorElementType) -> Option<Datatype> {
    Some(match ty {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        _ => return None,
    })
}

fn to_value(tensor: &Tensor) -> Result<DynValue, RunError> {
    match tensor.datatype {
        Datatype::Bool => numbers(tensor, |bytes: [u8; 1]| bytes != [0]),
        Datatype::Uint8 => numbers(tensor, u8::from_le_bytes),
        Datatype::Int8 => numbers(tensor, i8::from_le_bytes),
        Datatype::Int32 => numbers(tensor, i32::from_le_bytes),
        Datatype::Uint32 => numbers(tensor, u32::from_le_bytes),
        Datatype::Int64 => numbers(tensor, i64::from_le_bytes),
        Datatype::Uint64 => numbers(tensor, u64::from_le_bytes),
        Datatype::Fp32 => numbers(tensor, f32::from_le_bytes),
        Datatype::Fp64 => numbers(tensor, f64::from_le_bytes),
        other => Err(RunError::Invalid(format!("{other} is not supported"))),
    }
}

fn numbers<const N: usize, T: PrimitiveTensorElementType + Clone + Debug + 'static>(
    tensor: &Tensor,
    read: impl Fn([u8; N]) -> T,
) -> Result<DynValue, RunError> {
    let shape: Vec<usize> = tensor.shape.iter().map(|size| *size as usize).collect();
    let (chunks, _) = tensor.data.as_chunks();
    let numbers: Vec<T> = chunks.iter().map(|chunk| read(*chunk)).collect();
    let value = Value::from_array((shape, numbers)).map_err(|error| failed(&error))?;
    Ok(value.into_dyn())
}

fn from_value(name: &str, value: &DynValue) -> Result<Tensor, RunError> {
    let datatype = match value.dtype() {
        ValueType::Tensor { ty, .. } => datatype(*ty),
        _ => None,
    };
    let datatype = datatype
        .ok_or_else(|| RunError::Failed(format!("output {name:?} is of {}", value.dtype())))?;
    let (shape, data) = match datatype {
        Datatype::Bool => bytes(value, |truth: bool| [u8::from(truth)]),
        Datatype::Uint8 => bytes(value, u8::to_le_bytes),
        Datatype::Int8 => bytes(value, i8::to_le_bytes),
        Datatype::Int32 => bytes(value, i32::to_le_bytes),
        Datatype::Uint32 => bytes(value, u32::to_le_bytes),
        Datatype::Int64 => bytes(value, i64::to_le_bytes),
        Datatype::Uint64 => bytes(value, u64::to_le_bytes),
        Datatype::Fp64 => bytes(value, f64::to_le_bytes),
        _ => bytes(value, f32::to_le_bytes),
    }?;
    Ok(Tensor {
        name: name.to_owned(),
        datatype,
        shape,
        data,
    })
}

fn bytes<const N: usize, T: PrimitiveTensorElementType + Copy>(
    value: &DynValue,
    write: impl Fn(T) -> [u8; N],
) -> Result<(Vec<u64>, Vec<u8>), RunError> {
    let numbers = value.try_extract_tensor::<T>();
    let (shape, numbers) = numbers.map_err(|error| failed(&error))?;
    let data = numbers.iter().flat_map(|number| write(*number));
    let shape = shape.iter().map(|size| *size as u64);
    Ok((shape.collect(), data.collect()))
}
