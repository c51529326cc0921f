//! The JSON codec of the protocol: bodies as clients send them, and tensors as models answer them.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use glovebox_fuzz::assert_harmless;
use glovebox_fuzz::memory::{Counting, peak};
use glovebox_protocol::rest::read_request;
use glovebox_protocol::{
    Datatype, InferRequest, InferResponse, Parameter, Signature, Tensor, TensorSpec,
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a body may take: an output's name of `{"name":""},` becomes a `String` in a vector that
/// doubles, and a shape of 33 numbers a vector of 64 wide ones.
const MOST_TIMES: usize = 16;
const MOST_BESIDE: usize = 16 << 10;

// A zero byte is no JSON: what follows it is read as tensors. Behind a one stands the length of the
// JSON before binary data, and both of them.
fuzz_target!(|bytes: &[u8]| match bytes.split_first() {
    Some((0, rest)) => answer(rest),
    Some((1, rest)) => binary(rest),
    _ => body(bytes),
});

fn body(bytes: &[u8]) {
    let most = MOST_TIMES * bytes.len() + MOST_BESIDE;
    let (request, taken) = peak(|| InferRequest::from_json(bytes));
    assert!(taken <= most, "{taken} bytes for a body of {}", bytes.len());
    match request {
        Ok(request) => taken_request(request),
        Err(error) => assert_harmless(&error.to_string()),
    }
    let (response, taken) = peak(|| InferResponse::from_json(bytes));
    assert!(taken <= most, "{taken} bytes for a body of {}", bytes.len());
    match response {
        Ok(response) => {
            let json = response.to_json().expect("what is read can be written");
            let again = InferResponse::from_json(&json).expect("what is written can be read");
            assert_eq!(again, response);
        }
        Err(error) => assert_harmless(&error.to_string()),
    }
}

fn binary(bytes: &[u8]) {
    let Some((length, body)) = bytes.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let signature = Signature {
        inputs: vec![TensorSpec {
            shape: vec![-1, 2],
            ..output("x")
        }],
        outputs: vec![output("y")],
        media: Vec::new(),
    };
    let most = MOST_TIMES * body.len() + MOST_BESIDE;
    let (request, taken) = peak(|| read_request(body, Some(length), &signature));
    assert!(taken <= most, "{taken} bytes for a body of {}", body.len());
    match request {
        Ok((request, _)) => {
            for tensor in &request.inputs {
                assert_eq!(tensor.check(), Ok(()));
            }
        }
        Err(error) => assert_harmless(&error.to_string()),
    }
}

fn taken_request(request: InferRequest) {
    for tensor in &request.inputs {
        assert_eq!(tensor.check(), Ok(()));
    }
    check(&request);
    let json = request.to_json().expect("what is read can be written");
    let again = InferRequest::from_json(&json).expect("what is written can be read");
    assert_eq!(
        (&again.id, &again.inputs, &again.outputs),
        (&request.id, &request.inputs, &request.outputs)
    );
    assert_eq!(again.parameters.len(), request.parameters.len());
    for (name, value) in &request.parameters {
        assert!(same(value, &again.parameters[name]), "{name}: {value:?}");
    }
}

/// serde_json reads a parameter, unlike an element, to within one unit in the last place.
fn same(one: &Parameter, other: &Parameter) -> bool {
    match (one, other) {
        (Parameter::Double(one), Parameter::Double(other)) => {
            (one - other).abs() <= one.abs() * 1e-15
        }
        _ => one == other,
    }
}

/// A request fits the signature that is made of it, and none of those that differ in one place.
fn check(request: &InferRequest) {
    let own = Signature {
        inputs: request.inputs.iter().map(spec).collect(),
        outputs: request.outputs.iter().map(|name| output(name)).collect(),
        media: Vec::new(),
    };
    let unique = is_unique(request.inputs.iter().map(|tensor| &tensor.name))
        && is_unique(request.outputs.iter());
    match own.check(request) {
        Ok(()) => assert!(unique),
        Err(error) => {
            assert!(!unique, "{error}");
            assert_harmless(&error.to_string());
        }
    }
    for position in 0..own.inputs.len().min(4) {
        refuse(request, &own, |signature| {
            _ = signature.inputs.remove(position)
        });
        refuse(request, &own, |signature| {
            signature.inputs[position].name.push('x');
        });
        refuse(request, &own, |signature| {
            signature.inputs[position].shape.push(-1)
        });
        refuse(request, &own, |signature| {
            let datatype = &mut signature.inputs[position].datatype;
            *datatype = match *datatype {
                Datatype::Bool => Datatype::Bytes,
                _ => Datatype::Bool,
            };
        });
    }
    refuse(request, &own, |signature| {
        let mut name = String::from("x");
        while signature.inputs.iter().any(|spec| spec.name == name) {
            name.push('x');
        }
        signature.inputs.push(output(&name));
    });
}

fn refuse(request: &InferRequest, own: &Signature, change: impl FnOnce(&mut Signature)) {
    let mut signature = own.clone();
    change(&mut signature);
    // A name that stands twice is refused whatever changes.
    let error = signature.check(request).expect_err("it does not fit");
    assert_harmless(&error.to_string());
}

fn spec(tensor: &Tensor) -> TensorSpec {
    TensorSpec {
        name: tensor.name.clone(),
        datatype: tensor.datatype,
        // What does not fit the signature's type is the caller's choice.
        shape: tensor
            .shape
            .iter()
            .map(|size| i64::try_from(*size).unwrap_or(-1))
            .collect(),
    }
}

fn output(name: &str) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype: Datatype::Fp32,
        shape: Vec::new(),
    }
}

fn is_unique<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut names: Vec<_> = names.collect();
    let count = names.len();
    names.sort();
    names.dedup();
    names.len() == count
}

/// What a model answers, as bytes make it up.
fn answer(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(response) = response(&mut bytes) else {
        return;
    };
    let writable = response.outputs.iter().all(is_writable);
    match response.to_json() {
        Ok(json) => {
            assert!(writable);
            match InferResponse::from_json(&json) {
                Ok(again) => assert_eq!(again, response),
                Err(error) => {
                    assert!(response.outputs.iter().any(has_null), "{error}");
                    assert_harmless(&error.to_string());
                }
            }
        }
        Err(error) => {
            assert!(!writable, "{error}");
            assert_harmless(&error.to_string());
        }
    }
}

fn response(bytes: &mut Unstructured<'_>) -> arbitrary::Result<InferResponse> {
    let mut response = InferResponse {
        model_name: String::arbitrary(bytes)?,
        model_version: Option::arbitrary(bytes)?,
        id: Option::arbitrary(bytes)?,
        outputs: Vec::new(),
    };
    for _ in 0..bytes.int_in_range(0..=3)? {
        response.outputs.push(tensor(bytes)?);
    }
    Ok(response)
}

fn tensor(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Tensor> {
    let name = String::arbitrary(bytes)?;
    let datatype = *bytes.choose(&Datatype::ALL)?;
    let data = Vec::<u8>::arbitrary(bytes)?;
    let shape = match (bool::arbitrary(bytes)?, datatype.element_bytes()) {
        (true, Some(element)) => vec![(data.len() / element) as u64],
        _ => Vec::arbitrary(bytes)?,
    };
    Ok(Tensor {
        name,
        datatype,
        shape,
        data,
    })
}

fn is_writable(tensor: &Tensor) -> bool {
    let is_text = || {
        tensor
            .bytes_elements()
            .all(|element| std::str::from_utf8(element).is_ok())
    };
    tensor.check().is_ok()
        && tensor.datatype.has_json_form()
        && (tensor.datatype != Datatype::Bytes || is_text())
}

/// Whether an element is no number, so that JSON has no form for it.
fn has_null(tensor: &Tensor) -> bool {
    let data = &tensor.data;
    match tensor.datatype {
        Datatype::Fp32 => data
            .as_chunks()
            .0
            .iter()
            .any(|bytes| !f32::from_le_bytes(*bytes).is_finite()),
        Datatype::Fp64 => data
            .as_chunks()
            .0
            .iter()
            .any(|bytes| !f64::from_le_bytes(*bytes).is_finite()),
        _ => false,
    }
}
