//! The component's exports: they pass what the host calls to what the packer left in memory.

use std::sync::OnceLock;

use glovebox_pipeline::{CallError, essence};
use glovebox_protocol as protocol;

use crate::loaded::Loaded;

#[allow(
    unsafe_code,
    missing_docs,
    clippy::missing_safety_doc,
    reason = "generated"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "model-function",
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

use bindings::exports::glovebox::inference::model::{self as wit, Guest};

static LOADED: OnceLock<Box<dyn Loaded>> = OnceLock::new();

/// Leaves it in this memory, where calls find it.
pub(crate) fn leave(loaded: impl Loaded) -> &'static dyn Loaded {
    LOADED.get_or_init(|| Box::new(loaded)).as_ref()
}

/// What the packer left in this memory.
pub(crate) fn left() -> Result<&'static dyn Loaded, CallError> {
    let loaded = LOADED.get().map(AsRef::as_ref);
    loaded.ok_or_else(|| CallError::Failed("this component holds no model".into()))
}

/// The implementation of the interface `model`.
#[derive(Debug)]
pub struct Exports;

impl Guest for Exports {
    fn signature() -> wit::ModelSignature {
        let (signature, about) = left()
            .map(|loaded| (loaded.signature().clone(), loaded.about().clone()))
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
        let loaded = left()?;
        loaded
            .signature()
            .check(&request)
            .map_err(CallError::from)?;
        let answer = loaded.infer(&request)?;
        Ok(answer.into_iter().map(Into::into).collect())
    }

    fn predict(input: wit::Media) -> Result<wit::Media, wit::Error> {
        let loaded = left()?;
        let content_type = match loaded.signature().media.as_slice() {
            [] => input.content_type,
            media => essence(&input.content_type, media)?,
        };
        let answer = loaded.predict(&content_type, &input.body)?;
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
