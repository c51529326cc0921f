//! Datatypes of the protocol as those of `wasi:nn`, which has seven. Integers of the same width
//! stand for others, bit by bit.

use glovebox_protocol::Datatype;

use super::bindings::wasi::nn::tensor::TensorType;

/// How a tensor of a graph is called in `wasi:nn`; strings and integers of 16 bits have no place there.
pub(super) fn tensor_type(datatype: Datatype) -> Option<TensorType> {
    Some(match datatype {
        Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => TensorType::U8,
        Datatype::Int32 | Datatype::Uint32 => TensorType::I32,
        Datatype::Int64 | Datatype::Uint64 => TensorType::I64,
        Datatype::Fp16 => TensorType::Fp16,
        Datatype::Bf16 => TensorType::Bf16,
        Datatype::Fp32 => TensorType::Fp32,
        Datatype::Fp64 => TensorType::Fp64,
        Datatype::Uint16 | Datatype::Int16 | Datatype::Bytes => return None,
    })
}

/// What a tensor of this type is for an input that wants `wanted`; where they do not fit, what it is
/// by itself, to be refused by that name.
pub(super) fn datatype(given: TensorType, wanted: Option<Datatype>) -> Datatype {
    match wanted.filter(|wanted| tensor_type(*wanted) == Some(given)) {
        Some(wanted) => wanted,
        None => match given {
            TensorType::U8 => Datatype::Uint8,
            TensorType::I32 => Datatype::Int32,
            TensorType::I64 => Datatype::Int64,
            TensorType::Fp16 => Datatype::Fp16,
            TensorType::Bf16 => Datatype::Bf16,
            TensorType::Fp32 => Datatype::Fp32,
            TensorType::Fp64 => Datatype::Fp64,
        },
    }
}
