//! Tensors made up to fit a model's signature.

use glovebox_protocol::{Datatype, Tensor, TensorSpec, element_count};

/// A tensor that fits: dimensions of the caller's choice are 1, numbers are small and not all alike.
/// None for more than `most` elements, and for FP16 and BYTES.
pub fn tensor(spec: &TensorSpec, most: u64) -> Option<Tensor> {
    let dimension = |size: &i64| u64::try_from(*size).unwrap_or(1);
    let shape: Vec<u64> = spec.shape.iter().map(dimension).collect();
    let elements = element_count(&shape).filter(|count| *count <= most)?;
    let mut data = Vec::new();
    for index in 0..elements {
        append(&mut data, spec.datatype, index)?;
    }
    Tensor::new(spec.name.clone(), spec.datatype, shape, data).ok()
}

/// Whole numbers below 128, others from 0 to 1, as pictures are.
fn append(data: &mut Vec<u8>, datatype: Datatype, index: u64) -> Option<()> {
    let number = (index.wrapping_mul(7919) % 256) as u8;
    let real = f32::from(number) / 256.0;
    match datatype {
        Datatype::Bool => data.push(number & 1),
        Datatype::Uint8 | Datatype::Int8 => data.push(number & 0x7f),
        Datatype::Uint16 | Datatype::Int16 => data.extend(u16::from(number).to_le_bytes()),
        Datatype::Uint32 | Datatype::Int32 => data.extend(u32::from(number).to_le_bytes()),
        Datatype::Uint64 | Datatype::Int64 => data.extend(u64::from(number).to_le_bytes()),
        Datatype::Fp32 => data.extend(real.to_le_bytes()),
        Datatype::Fp64 => data.extend(f64::from(real).to_le_bytes()),
        // The upper half of an FP32 is a BF16.
        Datatype::Bf16 => data.extend(((real.to_bits() >> 16) as u16).to_le_bytes()),
        Datatype::Fp16 | Datatype::Bytes => return None,
    }
    Some(())
}
