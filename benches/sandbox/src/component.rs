//! Components in plain wasmtime: no limits, one warm instance.

use std::fs;
use std::path::Path;

use glovebox_bench_worker::{Engine, Failure, Timed, shapes, timed};
use glovebox_protocol::{self as protocol, Tensor};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine as Wasmtime, Store};

#[allow(missing_docs, reason = "generated from the documented WIT")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "model-function" });
}

use bindings::ModelFunction;
use bindings::exports::glovebox::inference::model as wit;

protocol::convert_wit!(wit);

/// An instance that answers again and again.
pub(crate) struct Plain {
    store: Store<()>,
    model: ModelFunction,
    inputs: Vec<Tensor>,
}

impl Plain {
    /// What `glovebox pack` made, which runs anywhere; with checks of epochs, which then never come.
    pub(crate) fn packed(wasm: &Path, inputs: Vec<Tensor>, epochs: bool) -> Result<Self, Failure> {
        let wasmtime = wasmtime(epochs)?;
        let code = wasm.with_extension(if epochs { "epochs.cwasm" } else { "cwasm" });
        let component = compile(&wasmtime, (wasm, &code), &fs::read(wasm)?)?;
        let mut store = Store::new(&wasmtime, ());
        if epochs {
            store.set_epoch_deadline(1);
        }
        let linker = Linker::new(&wasmtime);
        let model = ModelFunction::instantiate(&mut store, &component, &linker)?;
        Ok(Self {
            store,
            model,
            inputs,
        })
    }

    /// Tract as it ships; it loads the model here.
    pub(crate) fn stock(module: &Path, onnx: &Path, inputs: Vec<Tensor>) -> Result<Self, Failure> {
        let wasmtime = wasmtime(false)?;
        let encoder = wit_component::ComponentEncoder::default().module(&fs::read(module)?)?;
        let code = module.with_extension("cwasm");
        let component = compile(
            &wasmtime,
            (module, &code),
            &encoder.validate(true).encode()?,
        )?;
        let mut store = Store::new(&wasmtime, ());
        let instance = Linker::new(&wasmtime).instantiate(&mut store, &component)?;
        let load = instance.get_typed_func(&mut store, "load")?;
        let (loaded,): (Result<(), String>,) =
            load.call(&mut store, (fs::read(onnx)?, shapes(&inputs)))?;
        loaded?;
        let model = ModelFunction::new(&mut store, &instance)?;
        Ok(Self {
            store,
            model,
            inputs,
        })
    }
}

fn wasmtime(epochs: bool) -> Result<Wasmtime, Failure> {
    let mut config = Config::new();
    config.epoch_interruption(epochs);
    // Else a trap's message is its backtrace.
    config.wasm_backtrace_max_frames(None);
    Ok(Wasmtime::new(&config)?)
}

impl Engine for Plain {
    fn infer(&mut self) -> Result<Timed, Failure> {
        let inputs: Vec<_> = self.inputs.iter().cloned().map(Into::into).collect();
        let model = self.model.glovebox_inference_model();
        let (outputs, times) = timed(|| model.call_infer(&mut self.store, &inputs, &[]));
        let outputs = outputs?.map_err(|error| format!("{error:?}"))?;
        let outputs: Result<_, _> = outputs.into_iter().map(Tensor::try_from).collect();
        Ok(Timed {
            outputs: outputs?,
            times,
        })
    }
}

/// Compiles a component from a file, or takes the code that lies there: the runtime takes ten seconds.
fn compile(
    wasmtime: &Wasmtime,
    (file, code): (&Path, &Path),
    wasm: &[u8],
) -> Result<Component, Failure> {
    if let Some(component) = compiled(wasmtime, file, code) {
        return Ok(component);
    }
    fs::write(code, wasmtime.precompile_component(wasm)?)?;
    compiled(wasmtime, file, code).ok_or_else(|| "the compiled component does not load".into())
}

/// Nothing if it is older than the component, or made by another version.
fn compiled(wasmtime: &Wasmtime, file: &Path, code: &Path) -> Option<Component> {
    let modified = |file: &Path| fs::metadata(file).ok()?.modified().ok();
    if modified(code)? < modified(file)? {
        return None;
    }
    #[allow(unsafe_code, reason = "only this program writes files of this name")]
    let component = unsafe { Component::deserialize_file(wasmtime, code) };
    component.ok()
}
