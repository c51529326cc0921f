//! What is written reads back the same, bit for bit.

mod common;

use common::{byte_strings, fp32, tensor};
use glovebox_protocol::{Datatype, InferRequest, InferResponse, Parameter, Tensor};

#[allow(clippy::unwrap_used, reason = "a helper of the tests below")]
fn round_trip(tensor: Tensor) {
    let request = InferRequest {
        inputs: vec![tensor.clone()],
        ..InferRequest::default()
    };
    let json = request.to_json().unwrap();
    assert_eq!(InferRequest::from_json(&json).unwrap(), request);

    let response = InferResponse {
        model_name: "m".into(),
        outputs: vec![tensor],
        ..InferResponse::default()
    };
    let json = response.to_json().unwrap();
    assert_eq!(InferResponse::from_json(&json).unwrap(), response);
}

macro_rules! integers_round_trip {
    ($($test:ident $datatype:ident $type:ty,)*) => {$(
        #[test]
        fn $test() {
            let elements = [<$type>::MIN, <$type>::MIN + 1, 0, 1, 100, <$type>::MAX];
            let data: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
            round_trip(tensor("x", Datatype::$datatype, &[2, 3], &data));
        }
    )*};
}

integers_round_trip! {
    uint8_keeps_its_extremes Uint8 u8,
    uint16_keeps_its_extremes Uint16 u16,
    uint32_keeps_its_extremes Uint32 u32,
    uint64_keeps_its_extremes Uint64 u64,
    int8_keeps_its_extremes Int8 i8,
    int16_keeps_its_extremes Int16 i16,
    int32_keeps_its_extremes Int32 i32,
    int64_keeps_its_extremes Int64 i64,
}

#[test]
fn bool_keeps_its_values() {
    round_trip(tensor("x", Datatype::Bool, &[3], &[1, 0, 1]));
}

#[test]
fn fp32_keeps_every_kind_of_finite_number() {
    let elements = [
        0.0,
        -0.0,
        1.0,
        0.1,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        f32::MAX,
        f32::MIN,
        16_777_217.0,
    ];
    round_trip(tensor("x", Datatype::Fp32, &[9], &fp32(&elements)));
}

#[test]
fn fp64_keeps_every_kind_of_finite_number() {
    let elements = [
        0.0,
        -0.0,
        1.0,
        0.1,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        1e22,
        0.3,
    ];
    let data: Vec<u8> = elements
        .iter()
        .flat_map(|element| element.to_le_bytes())
        .collect();
    round_trip(tensor("x", Datatype::Fp64, &[10], &data));
}

#[test]
fn floats_of_any_bits_come_back_bit_for_bit() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 31)
    };
    let small: Vec<f32> = (0..20_000)
        .map(|_| f32::from_bits(random() as u32))
        .filter(|n| n.is_finite())
        .collect();
    round_trip(tensor(
        "x",
        Datatype::Fp32,
        &[small.len() as u64],
        &fp32(&small),
    ));
    let large: Vec<f64> = (0..20_000)
        .map(|_| f64::from_bits(random()))
        .filter(|n| n.is_finite())
        .collect();
    let data: Vec<u8> = large
        .iter()
        .flat_map(|element| element.to_le_bytes())
        .collect();
    round_trip(tensor("x", Datatype::Fp64, &[large.len() as u64], &data));
}

#[test]
fn bytes_keep_every_kind_of_text() {
    let texts: [&[u8]; 7] = [
        b"",
        b"plain",
        "gr\u{fc}\u{df}e \u{1f980}".as_bytes(),
        b"quote \" backslash \\ slash /",
        b"], [ , { } null",
        b"\0\x01\x1f\x7f\n\r\t",
        b"\\\"\\\\\"",
    ];
    round_trip(tensor("x", Datatype::Bytes, &[7], &byte_strings(&texts)));
}

#[test]
fn empty_tensors_and_scalars_come_back() {
    round_trip(tensor("x", Datatype::Fp32, &[0, 5], &[]));
    round_trip(tensor("x", Datatype::Bytes, &[0], &[]));
    round_trip(tensor("x", Datatype::Int32, &[], &[1, 2, 3, 4]));
}

#[test]
fn a_picture_sized_tensor_comes_back() {
    let elements: Vec<f32> = (0..3 * 224 * 224).map(|n| n as f32 / 255.0 - 1.0).collect();
    round_trip(tensor(
        "x",
        Datatype::Fp32,
        &[1, 3, 224, 224],
        &fp32(&elements),
    ));
}

#[test]
fn everything_around_the_tensors_comes_back() {
    let parameters = [
        ("flag", Parameter::Bool(true)),
        ("small", Parameter::Int64(-5)),
        ("large", Parameter::Uint64(u64::MAX)),
        ("half", Parameter::Double(0.5)),
        ("text", Parameter::String("\u{e9}\"".into())),
    ];
    let request = InferRequest {
        id: Some("a\"b\n".into()),
        inputs: vec![tensor("n\u{e4}me \"x\"", Datatype::Uint8, &[1], &[7])],
        outputs: vec!["y".into(), "z".into()],
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    };
    assert_eq!(
        InferRequest::from_json(&request.to_json().unwrap()).unwrap(),
        request
    );

    let response = InferResponse {
        model_name: "m".into(),
        model_version: Some("3".into()),
        id: Some("42".into()),
        outputs: request.inputs,
    };
    assert_eq!(
        InferResponse::from_json(&response.to_json().unwrap()).unwrap(),
        response
    );
}
