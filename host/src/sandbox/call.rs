//! Calls of a model function.

use std::sync::Arc;

use glovebox_protocol as protocol;
use wasmtime::{Engine, Store};

use super::allowance::Allowance;
use super::bindings::{Error as GuestError, Media, ModelFunction, ModelFunctionPre, Tensor};
use super::invoke::{Entry, Fault, Limited};
use super::limiter::Limiter;
use super::nn::Session;
use crate::native::Graphs;

/// What to ask of a component.
pub enum Call {
    /// Its signature.
    Signature,
    /// Tensors to tensors; no names means all outputs.
    Infer(Vec<protocol::Tensor>, Vec<String>),
    /// Media to an answer.
    Predict(Media),
}

/// What a component answered.
pub enum Answer {
    /// To [`Call::Signature`].
    Signature(protocol::Signature),
    /// To [`Call::Infer`].
    Tensors(Vec<protocol::Tensor>),
    /// To [`Call::Predict`].
    Media(Media),
}

/// The data of a model function's store. It imports nothing, or graphs.
pub(super) struct Guest {
    limiter: Limiter,
    pub(super) nn: Session,
}

impl Limited for Guest {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}

/// One call of a model function.
pub(super) struct ModelCall {
    pub(super) pre: ModelFunctionPre<Guest>,
    pub(super) graphs: Arc<Graphs>,
    pub(super) call: Call,
}

impl Entry for ModelCall {
    type Guest = Guest;
    type Instance = ModelFunction;
    type Answer = Answer;

    fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    fn guest(&mut self, allowance: &Arc<Allowance>) -> wasmtime::Result<Guest> {
        Ok(Guest {
            limiter: Limiter::new(Arc::clone(&allowance.memory)),
            nn: Session::new(&self.graphs, allowance),
        })
    }

    async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<ModelFunction> {
        self.pre.instantiate_async(store).await
    }

    async fn call(
        self,
        store: &mut Store<Guest>,
        instance: &ModelFunction,
    ) -> wasmtime::Result<Result<Answer, Fault>> {
        let model = instance.glovebox_inference_model();
        Ok(match self.call {
            Call::Signature => Ok(Answer::Signature(model.call_signature(store).await?.into())),
            Call::Infer(inputs, outputs) => {
                let inputs: Vec<Tensor> = inputs.into_iter().map(Into::into).collect();
                match model.call_infer(store, &inputs, &outputs).await? {
                    Ok(tensors) => tensors_of(tensors).map(Answer::Tensors),
                    Err(error) => Err(error.into()),
                }
            }
            Call::Predict(media) => match model.call_predict(store, &media).await? {
                Ok(media) => Ok(Answer::Media(media)),
                Err(error) => Err(error.into()),
            },
        })
    }
}

fn tensors_of(tensors: Vec<Tensor>) -> Result<Vec<protocol::Tensor>, Fault> {
    let tensor = |tensor: Tensor| {
        tensor
            .try_into()
            .map_err(|error: protocol::Error| Fault::BadOutput(error.to_string()))
    };
    tensors.into_iter().map(tensor).collect()
}

impl From<GuestError> for Fault {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::InvalidInput(text) => Self::InvalidInput(text),
            GuestError::UnsupportedMedia(text) => Self::UnsupportedMedia(text),
            GuestError::TooLarge(text) => Self::TooLarge(text),
            GuestError::Failed(text) => Self::ModelFailed(text),
        }
    }
}
