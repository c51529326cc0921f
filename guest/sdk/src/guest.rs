//! A function with its model: what is made into an image.

use glovebox_image::Loaded;
use glovebox_onnx::LoadError;
use glovebox_pipeline::{About, Answer, CallError};
use glovebox_protocol::{InferRequest, Signature, Tensor};

use crate::config::Config;
use crate::function::Function;
use crate::model::Model;

/// A function with its model.
pub struct Guest<F> {
    model: Model,
    function: F,
    signature: Signature,
    about: About,
}

impl<F: Function> Loaded for Guest<F> {
    type Refusal = LoadError;

    fn load(model: &[u8], config: &[u8], warm: bool) -> Result<Self, LoadError> {
        // Somebody has to name them: nobody else does.
        glovebox_kernels::register();
        let config = Config::from_json(config).map_err(LoadError::Config)?;
        let shapes = config.shapes().map_err(LoadError::Config)?;
        let model = Model::load(model, config.lengths().as_ref(), &shapes, warm)?;
        let about = config.about().map_err(LoadError::Config)?;
        let function = F::load(&model, &config).map_err(LoadError::Config)?;
        Ok(Self {
            signature: function.signature(&model),
            model,
            function,
            about,
        })
    }

    fn about(&self) -> &About {
        &self.about
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn class_names(&self) -> &[(String, Vec<String>)] {
        self.model.class_names()
    }

    fn infer(&self, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        self.function.infer(&self.model, request)
    }

    fn predict(&self, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        self.function.predict(&self.model, content_type, body)
    }

    fn rehearse(&self) {
        self.model.run_on_zeros();
    }
}
