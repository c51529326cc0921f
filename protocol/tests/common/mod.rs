//! What the tests share.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and helpers have none"
)]

use glovebox_protocol::{Datatype, Error, InferRequest, Tensor};

/// A tensor that must be right.
pub(crate) fn tensor(name: &str, datatype: Datatype, shape: &[u64], data: &[u8]) -> Tensor {
    Tensor::new(name, datatype, shape, data).unwrap()
}

/// The little-endian bytes of FP32 elements.
pub(crate) fn fp32(elements: &[f32]) -> Vec<u8> {
    elements
        .iter()
        .flat_map(|element| element.to_le_bytes())
        .collect()
}

/// The raw form of BYTES elements.
pub(crate) fn byte_strings(elements: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::new();
    for element in elements {
        assert!(glovebox_protocol::push_element(&mut data, element));
    }
    data
}

/// The body of a request with one input `x`.
pub(crate) fn body(datatype: &str, shape: &str, data: &str) -> Vec<u8> {
    format!(r#"{{"inputs": [{{"name": "x", "datatype": "{datatype}", "shape": {shape}, "data": {data}}}]}}"#)
        .into_bytes()
}

/// Reads the one input of such a body.
pub(crate) fn read(datatype: &str, shape: &str, data: &str) -> Result<Tensor, Error> {
    let mut inputs = InferRequest::from_json(&body(datatype, shape, data))?.inputs;
    assert_eq!(inputs.len(), 1);
    Ok(inputs.remove(0))
}

/// Why such a body is refused.
pub(crate) fn refusal(datatype: &str, shape: &str, data: &str) -> String {
    read(datatype, shape, data).unwrap_err().to_string()
}

/// Why a whole body is refused.
pub(crate) fn body_refusal(body: &str) -> String {
    InferRequest::from_json(body.as_bytes())
        .unwrap_err()
        .to_string()
}
