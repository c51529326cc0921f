//! What an image holds: a model with all that is around it.

use glovebox_pipeline::{About, Answer, CallError};
use glovebox_protocol::{InferRequest, Signature, Tensor};
use serde::Serialize;

/// A model with all that is around it, as the packer leaves it in memory and calls find it.
pub trait Loaded: Send + Sync + 'static {
    /// Why there is none, for the packer to explain (`host/src/pack/loader.rs`).
    type Refusal: Serialize
    where
        Self: Sized;

    /// Loads what the packer read from files: the model, and `model.toml` as JSON. With `warm`, the
    /// model runs once, so that what it prepares at its first run is there before every request.
    ///
    /// # Errors
    /// The model cannot be loaded, or does not fit what `model.toml` says.
    fn load(model: &[u8], config: &[u8], warm: bool) -> Result<Self, Self::Refusal>
    where
        Self: Sized;

    /// What it says of itself.
    fn about(&self) -> &About;

    /// What it is called with.
    fn signature(&self) -> &Signature;

    /// What the classes are called for which an output has scores, by the output's name; only where
    /// the model says so.
    fn class_names(&self) -> &[(String, Vec<String>)] {
        &[]
    }

    /// Tensors to tensors. The request has been checked against the signature.
    ///
    /// # Errors
    /// What the client did wrong, or what failed.
    fn infer(&self, request: &InferRequest) -> Result<Vec<Tensor>, CallError>;

    /// Media to an answer. `content_type` is one of the signature's, without parameters, if that has
    /// any.
    ///
    /// # Errors
    /// What the client did wrong, or what failed.
    fn predict(&self, content_type: &str, body: &[u8]) -> Result<Answer, CallError>;

    /// Takes the memory that a request takes, for the packer to see how much that is.
    fn rehearse(&self);
}
