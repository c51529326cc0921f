//! The code inside every packed model.
//!
//! Packing: the host calls the functions of [`pack`], which load the model with [`onnx`] and leave
//! it in memory, laid out by [`heap`]. Serving: the host calls the component's exports, which
//! are glue below and pass to [`model`]: tensors in and out, or media through `glovebox_pipeline`.
//!
//! The module imports nothing; a failure is a typed error, and what panics all the same is a
//! trap that ends this one instance.

mod error;
mod functions;
mod graph;
mod heap;
mod lower;
mod misread;
mod model;
mod onnx;
mod ops;
mod pack;
mod rows;
mod seeds;
mod tensor;

use glovebox_pipeline::CallError;
use glovebox_protocol as protocol;

use crate::model::Model;

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "model-function" });
    export!(Exports);
    use super::Exports;
}

use bindings::exports::glovebox::inference::model::{self as wit, Guest};

struct Exports;

impl Guest for Exports {
    fn signature() -> wit::ModelSignature {
        let model = Model::get();
        let (signature, about) = model
            .map(|model| (model.signature().clone(), model.about()))
            .unwrap_or_default();
        wit::ModelSignature {
            inputs: signature.inputs.into_iter().map(Into::into).collect(),
            outputs: signature.outputs.into_iter().map(Into::into).collect(),
            media: signature.media,
            name: about.name,
            version: about.version,
            properties: about.properties,
        }
    }

    fn infer(
        inputs: Vec<wit::Tensor>,
        outputs: Vec<String>,
    ) -> Result<Vec<wit::Tensor>, wit::Error> {
        let inputs = inputs.into_iter().map(protocol::Tensor::try_from);
        let request = protocol::InferRequest {
            inputs: inputs.collect::<Result<_, _>>().map_err(CallError::from)?,
            outputs,
            ..Default::default()
        };
        let answer = Model::get()?.infer(&request)?;
        Ok(answer.into_iter().map(Into::into).collect())
    }

    fn predict(input: wit::Media) -> Result<wit::Media, wit::Error> {
        let answer = Model::get()?.predict(&input.content_type, &input.body)?;
        Ok(wit::Media {
            content_type: answer.content_type.into(),
            body: answer.body,
        })
    }
}

protocol::convert_wit!(wit);

impl From<CallError> for wit::Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::InvalidInput(message) => Self::InvalidInput(message),
            CallError::UnsupportedMedia(message) => Self::UnsupportedMedia(message),
            CallError::TooLarge(message) => Self::TooLarge(message),
            CallError::Failed(message) => Self::Failed(message),
        }
    }
}
