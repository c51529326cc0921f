//! The form of a request's body.

mod common;

use common::{body_refusal, fp32, read};
use glovebox_protocol::{Datatype, Error, InferRequest, Parameter};

#[test]
fn flat_and_nested_data_are_the_same_tensor() {
    let flat = read("FP32", "[2, 3]", "[1, 2, 3, 4, 5, 6]").unwrap();
    assert_eq!(flat.data, fp32(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    for nested in [
        "[[1,2,3],[4,5,6]]",
        "[ [1, 2, 3] ,\n\t[4, 5, 6]\r\n]",
        "[[[1],[2]],[[3],[4]],[[5],[6]]]",
    ] {
        assert_eq!(read("FP32", "[2, 3]", nested).unwrap(), flat);
    }
}

#[test]
fn keys_may_come_in_any_order() {
    let fields = [
        r#""name":"x""#,
        r#""datatype":"INT8""#,
        r#""shape":[2]"#,
        r#""data":[-1,1]"#,
    ];
    for first in 0..4 {
        for second in 0..4 {
            let mut order: Vec<usize> = (0..4).collect();
            order.swap(0, first);
            order.swap(1, second);
            let tensor: Vec<&str> = order.iter().map(|field| fields[*field]).collect();
            let tensor = tensor.join(",");
            for body in [
                format!(r#"{{"id":"7","inputs":[{{{tensor}}}],"outputs":[{{"name":"y"}}]}}"#),
                format!(r#"{{"outputs":[{{"name":"y"}}],"inputs":[{{{tensor}}}],"id":"7"}}"#),
            ] {
                let request = InferRequest::from_json(body.as_bytes()).unwrap();
                assert_eq!(request.id.as_deref(), Some("7"));
                assert_eq!(request.outputs, ["y"]);
                assert_eq!(request.inputs[0].datatype, Datatype::Int8);
                assert_eq!(request.inputs[0].data, [255, 1]);
            }
        }
    }
}

#[test]
fn names_with_escapes_are_resolved() {
    let body = br#"{"inputs": [{"name": "\u0078\n", "datatype": "IN\u0054\u0038", "shape": [1], "data": [1]}]}"#;
    let request = InferRequest::from_json(body).unwrap();
    assert_eq!(request.inputs[0].name, "x\n");
    assert_eq!(request.inputs[0].datatype, Datatype::Int8);
}

#[test]
fn optional_keys_may_be_absent_or_null() {
    let absent = InferRequest::from_json(br#"{"inputs": []}"#).unwrap();
    assert_eq!(absent, InferRequest::default());
    let null = br#"{"inputs": [], "id": null, "outputs": null, "parameters": null}"#;
    assert_eq!(InferRequest::from_json(null).unwrap(), absent);
}

#[test]
fn unknown_keys_are_ignored() {
    let body = br#"{"extension": {"a": [1, {"b": null}]}, "inputs": [
        {"name": "x", "datatype": "BOOL", "shape": [1], "data": [true], "hint": "z", "parameters": {"p": {"q": 1}}}
    ], "outputs": [{"name": "y", "parameters": {"binary_data": true}, "extra": 1}]}"#;
    let request = InferRequest::from_json(body).unwrap();
    assert_eq!(request.inputs[0].data, [1]);
    assert_eq!(request.outputs, ["y"]);
}

#[test]
fn parameters_keep_their_types() {
    let body = br#"{"inputs": [], "parameters": {"a": true, "b": -1, "c": 18446744073709551615, "d": 1.0, "e": "x"}}"#;
    let parameters = InferRequest::from_json(body).unwrap().parameters;
    let values: Vec<Parameter> = parameters.into_values().collect();
    let expected = [
        Parameter::Bool(true),
        Parameter::Int64(-1),
        Parameter::Uint64(u64::MAX),
        Parameter::Double(1.0),
        Parameter::String("x".into()),
    ];
    assert_eq!(values, expected);
}

#[test]
fn parameters_must_be_flat() {
    assert_eq!(
        body_refusal(r#"{"inputs": [], "parameters": {"a": [1]}}"#),
        "the body is not a valid inference request: invalid type: sequence, expected a parameter: a string, a number \
         or a boolean at line 1 column 36"
    );
    assert!(
        body_refusal(r#"{"inputs": [], "parameters": {"a": null}}"#).contains("invalid type: null")
    );
    assert!(
        body_refusal(r#"{"inputs": [], "parameters": 5}"#)
            .contains("expected an object of parameters")
    );
}

#[test]
fn up_to_256_parameters_are_taken() {
    let body = |count: usize| {
        let parameters: Vec<String> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
        format!(
            r#"{{"inputs": [], "parameters": {{{}}}}}"#,
            parameters.join(",")
        )
    };
    assert_eq!(
        InferRequest::from_json(body(256).as_bytes())
            .unwrap()
            .parameters
            .len(),
        256
    );
    assert!(body_refusal(&body(257)).contains("more than 256 parameters"));
}

#[test]
fn keys_that_come_twice_are_refused() {
    for body in [
        r#"{"inputs": [], "inputs": []}"#,
        r#"{"id": "1", "id": "2", "inputs": []}"#,
        r#"{"inputs": [{"name": "x", "data": [1], "data": [2], "datatype": "INT8", "shape": [1]}]}"#,
        r#"{"inputs": [], "outputs": [{"name": "x", "name": "y"}]}"#,
        r#"{"inputs": [], "parameters": {}, "parameters": {}}"#,
    ] {
        assert!(body_refusal(body).contains("duplicate field `"), "{body}");
    }
    let twice = body_refusal(r#"{"inputs": [], "parameters": {"a": 1, "a": 2}}"#);
    assert!(
        twice.contains("a parameter is named more than once"),
        "{twice}"
    );
}

#[test]
fn missing_keys_are_named() {
    assert_eq!(
        body_refusal("{}"),
        "the body is not a valid inference request: missing field `inputs` at line 1 column 2"
    );
    for key in ["name", "datatype", "shape"] {
        let fields = [
            ("name", r#""x""#),
            ("datatype", r#""INT8""#),
            ("shape", "[1]"),
            ("data", "[1]"),
        ];
        let kept = fields.iter().filter(|(name, _)| *name != key);
        let kept: Vec<String> = kept
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        let refusal = body_refusal(&format!(r#"{{"inputs": [{{{}}}]}}"#, kept.join(",")));
        assert!(
            refusal.contains(&format!("missing field `{key}`")),
            "{refusal}"
        );
    }
    assert!(body_refusal(r#"{"inputs": [], "outputs": [{}]}"#).contains("missing field `name`"));
}

#[test]
fn a_tensor_without_data_is_refused() {
    let missing = "tensor \"x\": `data` is missing; send the elements as a JSON array";
    let body = r#"{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1]}]}"#;
    assert_eq!(body_refusal(body), missing);
    assert_eq!(common::refusal("INT8", "[1]", "null"), missing);
}

#[test]
fn bodies_that_are_not_json_are_refused_with_the_place() {
    assert_eq!(
        body_refusal("{\"inputs\": [\n}"),
        "the body is not a valid inference request: expected value at line 2 column 1"
    );
    assert!(body_refusal("").contains("EOF while parsing"));
    assert!(body_refusal(r#"{"inputs": []} x"#).contains("trailing characters"));
    assert!(body_refusal("[]").contains("not a valid inference request"));
    assert!(body_refusal(r#"{"inputs": {}}"#).contains("expected an array"));
    assert!(
        body_refusal(r#"{"id": 5, "inputs": []}"#)
            .contains("invalid type: integer `5`, expected a string")
    );
}

#[test]
fn bodies_that_are_not_utf8_are_refused() {
    let mut body = common::body("BYTES", "[1]", "[\"?\"]");
    let position = body.iter().position(|byte| *byte == b'?').unwrap();
    body[position] = 0xff;
    let refusal = InferRequest::from_json(&body).unwrap_err().to_string();
    assert!(refusal.contains("invalid unicode code point"), "{refusal}");
}

#[test]
fn binary_data_without_the_length_of_the_json_is_refused() {
    let mut body = br#"{"inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    ]}"#
    .to_vec();
    body.extend_from_slice(&[0, 0, 128, 63]);
    let refusal = InferRequest::from_json(&body).unwrap_err();
    assert_eq!(refusal, Error::BinaryData { tensor: "x".into() });
    assert_eq!(
        refusal.to_string(),
        "tensor \"x\": binary_data_size is set, but nothing says where the JSON ends; send its length in bytes as the \
         header Inference-Header-Content-Length"
    );
}

#[test]
fn an_inconsistent_tensor_is_not_written() {
    let mut request = InferRequest {
        inputs: vec![common::tensor("x", Datatype::Int8, &[1], &[1])],
        ..InferRequest::default()
    };
    request.inputs[0].shape = vec![2];
    assert!(matches!(request.to_json(), Err(Error::Data { .. })));
}

#[test]
fn more_tensors_than_a_model_can_have_are_refused() {
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let tensor = r#"{"name":"x","datatype":"INT8","shape":[0],"data":[]}"#;
    let body = |inputs: usize, outputs: usize| {
        let (inputs, outputs) = (list(tensor, inputs), list(r#"{"name":"y"}"#, outputs));
        format!(r#"{{"inputs":[{inputs}],"outputs":[{outputs}]}}"#)
    };
    let read = |body: String| InferRequest::from_json(body.as_bytes());
    let request = read(body(1024, 1024)).unwrap();
    assert_eq!((request.inputs.len(), request.outputs.len()), (1024, 1024));
    for (inputs, outputs) in [(1025, 1), (1, 1025)] {
        let error = read(body(inputs, outputs)).unwrap_err().to_string();
        assert!(error.contains("at most 1024"), "{error}");
    }
}
