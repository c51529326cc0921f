//! The exports of the component.

use std::sync::OnceLock;

use glovebox_protocol as protocol;
use tract_onnx::tract_hir::internal::{TractErrorContext, TractResult};

use crate::{Model, Shape};

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "glovebox:bench/stock",
        generate_all,
    });
    export!(Exports);
    use super::Exports;
}

use bindings::Guest;
use bindings::exports::glovebox::inference::model as wit;

protocol::convert_wit!(wit);

static MODEL: OnceLock<Model> = OnceLock::new();

struct Exports;

impl Guest for Exports {
    fn load(onnx: Vec<u8>, shapes: Vec<Shape>) -> Result<(), String> {
        let model = Model::load(&onnx, &shapes).map_err(|error| format!("{error:#}"))?;
        MODEL.get_or_init(|| model);
        Ok(())
    }
}

impl wit::Guest for Exports {
    /// Nobody asks.
    fn signature() -> wit::ModelSignature {
        wit::ModelSignature {
            inputs: Vec::new(),
            outputs: Vec::new(),
            media: Vec::new(),
            name: String::new(),
            version: None,
            properties: Vec::new(),
        }
    }

    fn infer(inputs: Vec<wit::Tensor>, _: Vec<String>) -> Result<Vec<wit::Tensor>, wit::Error> {
        infer(inputs).map_err(|error| wit::Error::Failed(format!("{error:#}")))
    }

    fn predict(_: wit::Media) -> Result<wit::Media, wit::Error> {
        Err(wit::Error::UnsupportedMedia("tensors only".into()))
    }
}

fn infer(inputs: Vec<wit::Tensor>) -> TractResult<Vec<wit::Tensor>> {
    let model = MODEL.get().context("load first")?;
    let inputs = inputs.into_iter().map(protocol::Tensor::try_from);
    let inputs: Vec<_> = inputs.collect::<Result<_, _>>()?;
    let outputs = model.run(model.values(&inputs)?)?;
    Ok(model
        .tensors(outputs)?
        .into_iter()
        .map(Into::into)
        .collect())
}

/// Fails: the component has no source of randomness.
#[allow(unsafe_code, reason = "called by name by the getrandom crate")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    _: *mut u8,
    _: usize,
) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
