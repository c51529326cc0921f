//! The code inside every packed model.
//!
//! Packing: the host calls the functions of [`pack`], which load the model with [`onnx`] and leave
//! it in memory, laid out by [`heap`]. Serving: the host calls the component's exports, which
//! are glue below and pass to [`model`]: tensors in and out, or media through [`pipeline`].
//!
//! The module imports nothing; a failure is a typed error, and what panics all the same is a
//! trap that ends this one instance.

mod answer;
mod error;
mod heap;
mod image;
mod model;
mod onnx;
mod pack;
mod pipeline;
mod record;
mod tensor;

use glovebox_protocol as protocol;

use crate::error::CallError;
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
        let signature = Model::get()
            .map(|model| model.signature().clone())
            .unwrap_or_default();
        wit::ModelSignature {
            inputs: signature.inputs.into_iter().map(spec).collect(),
            outputs: signature.outputs.into_iter().map(spec).collect(),
            media: signature.media,
        }
    }

    fn infer(
        inputs: Vec<wit::Tensor>,
        outputs: Vec<String>,
    ) -> Result<Vec<wit::Tensor>, wit::Error> {
        let inputs = inputs.into_iter().map(from_wit).collect::<Result<_, _>>()?;
        let request = protocol::InferRequest {
            inputs,
            outputs,
            ..Default::default()
        };
        let answer = Model::get()?.infer(&request)?;
        Ok(answer.into_iter().map(to_wit).collect())
    }

    fn predict(input: wit::Media) -> Result<wit::Media, wit::Error> {
        let (content_type, body) = Model::get()?.predict(&input.content_type, &input.body)?;
        Ok(wit::Media { content_type, body })
    }
}

fn spec(spec: protocol::TensorSpec) -> wit::TensorSpec {
    wit::TensorSpec {
        name: spec.name,
        datatype: datatype_to_wit(spec.datatype),
        shape: spec.shape,
    }
}

fn from_wit(tensor: wit::Tensor) -> Result<protocol::Tensor, CallError> {
    let datatype = datatype_from_wit(tensor.datatype);
    Ok(protocol::Tensor::new(
        tensor.name,
        datatype,
        tensor.shape,
        tensor.data,
    )?)
}

fn to_wit(tensor: protocol::Tensor) -> wit::Tensor {
    let datatype = datatype_to_wit(tensor.datatype);
    wit::Tensor {
        name: tensor.name,
        datatype,
        shape: tensor.shape,
        data: tensor.data,
    }
}

/// Both directions of one table: the enum of the WIT and that of the protocol.
macro_rules! datatypes {
    ($($name:ident),*) => {
        fn datatype_to_wit(datatype: protocol::Datatype) -> wit::Datatype {
            match datatype { $(protocol::Datatype::$name => wit::Datatype::$name),* }
        }

        fn datatype_from_wit(datatype: wit::Datatype) -> protocol::Datatype {
            match datatype { $(wit::Datatype::$name => protocol::Datatype::$name),* }
        }
    };
}
datatypes!(
    Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Bytes
);

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

/// Fails: a model that wants randomness would not answer the same way twice, and this component
/// has no source of it.
#[allow(unsafe_code, reason = "called by name by the getrandom crate")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    _: *mut u8,
    _: usize,
) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
