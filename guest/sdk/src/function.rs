//! What a guest does with a model: the trait that it implements.

use glovebox_pipeline::{Answer, CallError};
use glovebox_protocol::{InferRequest, Signature, Tensor};

use crate::config::Config;
use crate::model::Model;

/// What a guest does with a model.
///
/// Only [`load`](Function::load) must be written. Guests with media of their own write
/// [`media`](Function::media) and [`predict`](Function::predict); guests that change the tensors
/// themselves write [`signature`](Function::signature) and [`infer`](Function::infer).
pub trait Function: Send + Sync + 'static {
    /// Called while packing, behind the model. What it returns is part of the packed model: tables
    /// that take long to compute belong here.
    ///
    /// # Errors
    /// Why the guest cannot work with this model or with what `model.toml` says, for the model's
    /// author; the model is then not packed.
    fn load(model: &Model, config: &Config) -> Result<Self, String>
    where
        Self: Sized;

    /// The content types that [`predict`](Function::predict) takes, without parameters and in small
    /// letters; none unless this is written. Asked once, while packing.
    fn media(&self) -> Vec<String> {
        Vec::new()
    }

    /// Media to an answer. `content_type` is one of [`media`](Function::media), without parameters.
    ///
    /// # Errors
    /// What the client did wrong, or what failed.
    fn predict(&self, model: &Model, content_type: &str, body: &[u8]) -> Result<Answer, CallError> {
        let _ = (model, content_type, body);
        Err(CallError::UnsupportedMedia(
            "this model takes tensors only".into(),
        ))
    }

    /// What the guest is called with: the model's own tensors, and the media. Asked once, while
    /// packing.
    fn signature(&self, model: &Model) -> Signature {
        Signature {
            media: self.media(),
            ..model.signature().clone()
        }
    }

    /// Tensors to tensors: the model itself unless this is written. The request has been checked
    /// against [`signature`](Function::signature).
    ///
    /// # Errors
    /// What the client did wrong, or what failed.
    fn infer(&self, model: &Model, request: &InferRequest) -> Result<Vec<Tensor>, CallError> {
        model.infer(request)
    }
}
