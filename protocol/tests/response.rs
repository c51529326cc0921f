//! The form of a response's body.

mod common;

use common::{byte_strings, fp32, tensor};
use glovebox_protocol::{Datatype, InferResponse};

fn response(outputs: Vec<glovebox_protocol::Tensor>) -> InferResponse {
    InferResponse {
        model_name: "m".into(),
        outputs,
        ..InferResponse::default()
    }
}

#[allow(clippy::unwrap_used, reason = "a helper of the tests below")]
fn written(response: &InferResponse) -> String {
    String::from_utf8(response.to_json().unwrap()).unwrap()
}

#[test]
fn the_json_is_what_the_protocol_says() {
    let mut response = response(vec![
        tensor("y", Datatype::Int16, &[1, 2], &[255, 255, 1, 0]),
        tensor("ok", Datatype::Bool, &[2], &[1, 0]),
        tensor("label", Datatype::Bytes, &[1], &byte_strings(&[b"cat"])),
    ]);
    response.id = Some("7".into());
    response.model_version = Some("2".into());
    assert_eq!(
        written(&response),
        concat!(
            r#"{"model_name":"m","model_version":"2","id":"7","outputs":["#,
            r#"{"name":"y","datatype":"INT16","shape":[1,2],"data":[-1,1]},"#,
            r#"{"name":"ok","datatype":"BOOL","shape":[2],"data":[true,false]},"#,
            r#"{"name":"label","datatype":"BYTES","shape":[1],"data":["cat"]}]}"#
        )
    );
}

#[test]
fn absent_ids_and_versions_are_left_out() {
    assert_eq!(
        written(&response(Vec::new())),
        r#"{"model_name":"m","outputs":[]}"#
    );
}

#[test]
fn nan_and_infinities_are_written_as_null_and_not_read_back() {
    let elements = fp32(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5]);
    let doubles = [f64::NAN.to_le_bytes(), f64::INFINITY.to_le_bytes()].concat();
    let json = written(&response(vec![
        tensor("y", Datatype::Fp32, &[4], &elements),
        tensor("z", Datatype::Fp64, &[2], &doubles),
    ]));
    assert!(json.contains(r#""data":[null,null,null,1.5]"#), "{json}");
    assert!(json.contains(r#""data":[null,null]"#), "{json}");
    assert_eq!(
        InferResponse::from_json(json.as_bytes())
            .unwrap_err()
            .to_string(),
        "tensor \"y\", element 0: expected FP32, a finite number in its range, found null"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_not_written() {
    let output = tensor(
        "y",
        Datatype::Bytes,
        &[2],
        &byte_strings(&[b"fine", b"\xff"]),
    );
    assert_eq!(
        response(vec![output]).to_json().unwrap_err().to_string(),
        "tensor \"y\", element 1: these bytes are not UTF-8, so they have no JSON form; ask for them as binary data"
    );
}

#[test]
fn an_inconsistent_tensor_is_not_written() {
    let mut output = tensor("y", Datatype::Fp32, &[2], &[0; 8]);
    output.data.pop();
    assert_eq!(
        response(vec![output]).to_json().unwrap_err().to_string(),
        "tensor \"y\": FP32 with shape [2] takes 2 elements of 4 bytes, found 7 bytes"
    );
}

#[test]
fn a_response_of_another_server_is_read() {
    let json = br#"{"model_name": "m", "parameters": {"k": 1}, "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"p": "q"}, "data": [[0.5, 1]]}
    ]}"#;
    assert_eq!(
        InferResponse::from_json(json).unwrap(),
        response(vec![tensor("y", Datatype::Fp32, &[2], &fp32(&[0.5, 1.0]))])
    );
    let refusal = InferResponse::from_json(br#"{"outputs": []}"#)
        .unwrap_err()
        .to_string();
    assert!(
        refusal
            .starts_with("the body is not a valid inference response: missing field `model_name`")
    );
}
