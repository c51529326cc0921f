//! The component's exports: they pass what the host calls to the guest that the packer left in
//! memory.

use std::sync::OnceLock;

use glovebox_onnx::LoadError;
use glovebox_pipeline::{About, CallError, essence};
use glovebox_protocol as protocol;

use crate::config::Config;
use crate::function::Function;
use crate::model::Model;

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

static LOADED: OnceLock<Loaded> = OnceLock::new();

/// A model with the guest around it.
pub(crate) struct Loaded {
    model: Model,
    function: Box<dyn Function>,
    signature: protocol::Signature,
    about: About,
}

impl Loaded {
    /// Loads a model and the guest around it, both as the packer read them from files.
    pub(crate) fn load<F: Function>(
        file: &[u8],
        config: &[u8],
        warm: bool,
    ) -> Result<&'static Self, LoadError> {
        let config = Config::from_json(config).map_err(LoadError::Config)?;
        let model = Model::load(file, config.lengths().as_ref(), warm)?;
        let about = config.about().map_err(LoadError::Config)?;
        let function = F::load(&model, &config).map_err(LoadError::Config)?;
        let signature = function.signature(&model);
        Ok(LOADED.get_or_init(|| Self {
            model,
            function: Box::new(function),
            signature,
            about,
        }))
    }

    /// What the packer left in this memory.
    pub(crate) fn get() -> Result<&'static Self, CallError> {
        LOADED
            .get()
            .ok_or_else(|| CallError::Failed("this component holds no model".into()))
    }

    pub(crate) fn signature(&self) -> &protocol::Signature {
        &self.signature
    }

    /// Runs the model as a request would.
    pub(crate) fn rehearse(&self) {
        self.model.run_on_zeros();
    }
}

/// The implementation of the interface `model`.
#[derive(Debug)]
pub struct Exports;

impl Guest for Exports {
    fn signature() -> wit::ModelSignature {
        let loaded = Loaded::get();
        let (signature, about) = loaded
            .map(|loaded| (loaded.signature.clone(), loaded.about.clone()))
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
        let loaded = Loaded::get()?;
        loaded.signature.check(&request).map_err(CallError::from)?;
        let answer = loaded.function.infer(&loaded.model, &request)?;
        Ok(answer.into_iter().map(Into::into).collect())
    }

    fn predict(input: wit::Media) -> Result<wit::Media, wit::Error> {
        let loaded = Loaded::get()?;
        let content_type = match loaded.signature.media.as_slice() {
            [] => input.content_type,
            media => essence(&input.content_type, media)?,
        };
        let answer = loaded
            .function
            .predict(&loaded.model, &content_type, &input.body)?;
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
