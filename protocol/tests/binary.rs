//! Binary tensors behind the JSON, in requests and answers.

mod common;

use common::{byte_strings, fp32, tensor};
use glovebox_protocol::rest::{Forms, header_length, read_request, write_response};
use glovebox_protocol::{Datatype, Error, InferRequest, InferResponse, Signature, TensorSpec};

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.into(),
    }
}

fn signature(inputs: Vec<TensorSpec>) -> Signature {
    Signature {
        inputs,
        outputs: vec![spec("y", Datatype::Fp32, &[-1])],
        media: Vec::new(),
    }
}

/// Reads a body of JSON and bytes behind it.
fn read(json: &str, tail: &[u8]) -> Result<(InferRequest, Forms), Error> {
    let body = [json.as_bytes(), tail].concat();
    read_request(&body, Some(json.len()), &Signature::default())
}

fn input(name: &str, datatype: &str, shape: &str, size: u64) -> String {
    format!(
        r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"parameters":{{"binary_data_size":{size}}}}}"#
    )
}

fn request(inputs: &[String]) -> String {
    format!(r#"{{"inputs":[{}]}}"#, inputs.join(","))
}

#[track_caller]
fn refusal(json: &str, tail: &[u8]) -> String {
    let read = read(json, tail);
    read.map_or_else(|error| error.to_string(), |_| "not refused".into())
}

#[test]
fn every_datatype_has_a_binary_form() {
    for datatype in Datatype::ALL {
        let data = match datatype.element_bytes() {
            Some(size) => vec![1; size * 2],
            None => byte_strings(&[b"\xff", b""]),
        };
        let json = request(&[input("x", datatype.name(), "[2]", data.len() as u64)]);
        let (request, _) = read(&json, &data).unwrap();
        assert_eq!(request.inputs[0].data, data, "{datatype}");
        assert_eq!(request.inputs[0].datatype, datatype);
    }
}

#[test]
fn binary_tensors_stand_in_the_order_of_the_inputs_and_json_may_stand_between() {
    let plain = r#"{"name":"b","datatype":"INT8","shape":[2],"data":[3,4]}"#.to_owned();
    let json = request(&[
        input("a", "UINT8", "[2]", 2),
        plain,
        input("c", "UINT8", "[0]", 0),
        input("d", "UINT8", "[1]", 1),
    ]);
    let (request, _) = read(&json, &[1, 2, 5]).unwrap();
    let data: Vec<_> = request.inputs.iter().map(|input| &*input.data).collect();
    assert_eq!(data, [[1u8, 2].as_slice(), &[3, 4], &[], &[5]]);
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let two = request(&[input("a", "UINT8", "[2]", 2), input("b", "UINT8", "[2]", 2)]);
    assert_eq!(
        refusal(&two, &[1, 2, 3]),
        "tensor \"b\": binary_data_size is 2, but only 1 bytes are left behind the JSON"
    );
    assert!(refusal(&two, &[]).contains("only 0 bytes are left"));
    assert!(refusal(&two, &[0; 5]).contains("1 bytes are left behind the last tensor"));
    for size in [u64::MAX, 1 << 63, 1 << 32] {
        let json = request(&[input("a", "UINT8", "[2]", size)]);
        assert!(refusal(&json, &[0, 0]).contains("only 2 bytes are left"));
    }
    let wrong = request(&[input("a", "FP32", "[2]", 4)]);
    assert!(refusal(&wrong, &[0; 4]).contains("takes 2 elements of 4 bytes, found 4 bytes"));
    for size in ["-1", "1.5", "\"4\"", "1e1", "18446744073709551616"] {
        let json = format!(
            r#"{{"inputs":[{{"name":"a","datatype":"INT8","shape":[1],"parameters":{{"binary_data_size":{size}}}}}]}}"#
        );
        assert!(refusal(&json, &[0]).contains("not a valid inference request"));
    }
}

#[test]
fn the_length_of_the_json_must_be_one() {
    for (value, length) in [("0", 0), ("12", 12), ("007", 7)] {
        assert_eq!(header_length(value.as_bytes()), Ok(length));
    }
    for value in [
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1.0",
        "\u{661}",
        "99999999999999999999999",
    ] {
        assert!(header_length(value.as_bytes()).is_err(), "{value:?}");
    }
    let body = br#"{"inputs":[]}"#;
    for length in [14, 1 << 40, usize::MAX] {
        let error = read_request(body, Some(length), &Signature::default()).unwrap_err();
        assert!(
            error.to_string().contains("but the body has 13 bytes"),
            "{error}"
        );
    }
    // Too short cuts the JSON off, too long reads data as JSON.
    assert!(read_request(body, Some(12), &Signature::default()).is_err());
    let json = request(&[input("a", "INT8", "[1]", 1)]);
    let body = [json.as_bytes(), b"x"].concat();
    assert!(read_request(&body, Some(json.len() + 1), &Signature::default()).is_err());
}

#[test]
fn data_may_not_come_twice() {
    let json = r#"{"inputs":[{"name":"a","datatype":"INT8","shape":[1],"data":[1],"parameters":{"binary_data_size":1}}]}"#;
    assert!(refusal(json, &[1]).contains("both `data` and binary_data_size"));
}

#[test]
fn binary_data_is_checked_like_any_other() {
    let bools = request(&[input("a", "BOOL", "[2]", 2)]);
    assert!(refusal(&bools, &[1, 2]).contains("a BOOL byte is 0 or 1, found 2"));
    let texts = request(&[input("a", "BYTES", "[1]", 5)]);
    assert!(refusal(&texts, &[2, 0, 0, 0, 1]).contains("cut off"));
    assert!(refusal(&texts, &[255, 255, 255, 255, 1]).contains("cut off"));
}

#[test]
fn shared_memory_is_refused() {
    let tensor = r#""name":"a","datatype":"INT8","shape":[1]"#;
    let region = r#""parameters":{"shared_memory_region":"r","shared_memory_byte_size":1}"#;
    let input = format!(r#"{{"inputs":[{{{tensor},{region}}}]}}"#);
    let output = format!(r#"{{"inputs":[],"outputs":[{{"name":"y",{region}}}]}}"#);
    for json in [input, output] {
        assert!(refusal(&json, &[]).contains("shared memory is not supported"));
    }
}

#[test]
fn a_body_without_json_is_the_only_input() {
    let raw = |inputs: Vec<TensorSpec>, body: &[u8]| {
        let read = read_request(body, Some(0), &signature(inputs));
        read.map(|(request, forms)| {
            assert!(forms.is_binary("y"));
            request.inputs[0].clone()
        })
    };
    let shape = |shape: &[i64], bytes: usize| {
        let tensor = raw(vec![spec("x", Datatype::Fp32, shape)], &vec![0; bytes]);
        tensor.map(|tensor| tensor.shape)
    };
    assert_eq!(shape(&[2, 3], 24), Ok(vec![2, 3]));
    assert_eq!(shape(&[-1, 3], 24), Ok(vec![2, 3]));
    assert_eq!(shape(&[3, -1], 24), Ok(vec![3, 2]));
    assert_eq!(shape(&[-1, -1, 3], 24), Ok(vec![1, 2, 3]));
    assert_eq!(shape(&[-1], 0), Ok(vec![0]));
    for (dimensions, bytes) in [
        ([2i64, 3].as_slice(), 20),
        (&[2, 3], 28),
        (&[-1, 3], 20),
        (&[-1], 3),
        (&[-1, -1, -1], 24),
        (&[2, -1, -1], 24),
        (&[0, -1], 4),
    ] {
        assert!(shape(dimensions, bytes).is_err(), "{dimensions:?}");
    }
    let text = raw(vec![spec("x", Datatype::Bytes, &[1])], b"any \xff").unwrap();
    assert_eq!(text.data, byte_strings(&[b"any \xff"]));
    let two = vec![
        spec("x", Datatype::Int8, &[1]),
        spec("z", Datatype::Int8, &[1]),
    ];
    assert!(
        raw(two, &[1])
            .unwrap_err()
            .to_string()
            .contains("this one has 2")
    );
}

#[test]
fn outputs_are_written_as_they_are_wanted() {
    let of = |text: &str| read(text, &[]).unwrap().1;
    let response = InferResponse {
        model_name: "m".into(),
        outputs: vec![
            tensor("a", Datatype::Fp32, &[1], &fp32(&[1.0])),
            tensor("b", Datatype::Int8, &[2], &[1, 2]),
        ],
        ..InferResponse::default()
    };
    let plain = write_response(&response, &of(r#"{"inputs":[]}"#)).unwrap();
    assert_eq!(
        (plain.header_length, plain.content_type()),
        (None, "application/json")
    );
    assert_eq!(plain.body, response.to_json().unwrap());

    let all = of(r#"{"inputs":[],"parameters":{"binary_data_output":true}}"#);
    let all = write_response(&response, &all).unwrap();
    let json = r#"{"model_name":"m","outputs":[{"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}},{"name":"b","datatype":"INT8","shape":[2],"parameters":{"binary_data_size":2}}]}"#;
    assert_eq!(all.header_length, Some(json.len()));
    assert_eq!(all.body, [json.as_bytes(), &fp32(&[1.0]), &[1, 2]].concat());
    assert_eq!(all.content_type(), "application/octet-stream");

    // What an output says of itself goes before what the request says of all.
    let one = of(
        r#"{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[{"name":"a","parameters":{"binary_data":false}},{"name":"b"}]}"#,
    );
    let one = write_response(&response, &one).unwrap();
    assert!(one.body.ends_with(&[1, 2]));
    assert!(String::from_utf8_lossy(&one.body).contains(r#""data":[1.0]"#));
}

#[test]
fn half_floats_must_be_asked_for_as_binary_data() {
    let signature = Signature {
        outputs: vec![spec("y", Datatype::Fp16, &[1])],
        ..Signature::default()
    };
    let read = |json: &str| read_request(json.as_bytes(), None, &signature);
    assert!(matches!(
        read(r#"{"inputs":[]}"#),
        Err(Error::NoJsonForm { .. })
    ));
    for json in [
        r#"{"inputs":[],"parameters":{"binary_data_output":true}}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":1}}]}"#,
    ] {
        let (request, forms) = read(json).unwrap();
        let mut response = InferResponse {
            outputs: vec![tensor("y", Datatype::Fp16, &[1], &[0, 0x3c])],
            ..InferResponse::default()
        };
        forms.classify(&mut response, &[]).unwrap();
        write_response(&response, &forms).unwrap();
        assert!(request.inputs.is_empty());
    }
}

#[test]
fn a_wish_that_is_no_wish_is_refused() {
    for json in [
        r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#,
        r#"{"inputs":[],"parameters":{"binary_data_output":"true"}}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":"yes"}}]}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":-1}}]}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":1.5}}]}"#,
    ] {
        assert!(
            read_request(json.as_bytes(), None, &Signature::default()).is_err(),
            "{json}"
        );
    }
}
