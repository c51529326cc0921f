//! The world `model-function` as the host calls it, and its types as the protocol's.
#![allow(missing_docs, reason = "generated from the documented WIT")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "model-function",
    exports: { default: async },
});

pub use exports::glovebox::inference::model::{
    Datatype, Error, Media, ModelSignature, Tensor, TensorSpec,
};

glovebox_protocol::convert_wit!(exports::glovebox::inference::model);
