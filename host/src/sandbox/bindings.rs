//! The world `model-function` as the host calls it, and its types as the protocol's.
#![allow(missing_docs, reason = "generated from the documented WIT")]

use glovebox_protocol as protocol;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "model-function",
    exports: { default: async },
});

pub use exports::glovebox::inference::model::{
    Datatype, Error, Media, ModelSignature, Tensor, TensorSpec,
};

impl From<ModelSignature> for protocol::Signature {
    fn from(signature: ModelSignature) -> Self {
        let specs = |specs: Vec<TensorSpec>| specs.into_iter().map(Into::into).collect();
        Self {
            inputs: specs(signature.inputs),
            outputs: specs(signature.outputs),
            media: signature.media,
        }
    }
}

impl From<TensorSpec> for protocol::TensorSpec {
    fn from(spec: TensorSpec) -> Self {
        Self {
            name: spec.name,
            datatype: spec.datatype.into(),
            shape: spec.shape,
        }
    }
}

impl From<protocol::Tensor> for Tensor {
    fn from(tensor: protocol::Tensor) -> Self {
        Self {
            name: tensor.name,
            datatype: tensor.datatype.into(),
            shape: tensor.shape,
            data: tensor.data,
        }
    }
}

impl TryFrom<Tensor> for protocol::Tensor {
    type Error = protocol::Error;

    fn try_from(tensor: Tensor) -> Result<Self, protocol::Error> {
        Self::new(
            tensor.name,
            tensor.datatype.into(),
            tensor.shape,
            tensor.data,
        )
    }
}

/// Both directions of one table: the enum of the WIT and that of the protocol.
macro_rules! datatypes {
    ($($name:ident),*) => {
        impl From<protocol::Datatype> for Datatype {
            fn from(datatype: protocol::Datatype) -> Self {
                match datatype { $(protocol::Datatype::$name => Self::$name),* }
            }
        }

        impl From<Datatype> for protocol::Datatype {
            fn from(datatype: Datatype) -> Self {
                match datatype { $(Datatype::$name => Self::$name),* }
            }
        }
    };
}
datatypes!(
    Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp16, Bf16, Fp32, Fp64, Bytes
);
