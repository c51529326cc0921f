//! Numbers, scores and labels of a model become answers to records.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod harness;

use glovebox_pipeline::{CallError, Pipeline};
use glovebox_protocol::{Datatype, Tensor, TensorSpec, push_element};
use serde_json::{Value, json};

use harness::{CSV, JSON, LINES, assert_holds, spec};

/// The pipeline of a model of one input, whose output is this one.
fn pipeline(table: &Value, output: TensorSpec) -> Result<Pipeline, String> {
    let input = json!({ "kind": "record", "fields": ["a"] });
    let config = json!({ "name": "test", "input": input, "output": table });
    Pipeline::from_json(config.to_string().as_bytes(), &[x()], &[output])
}

fn x() -> TensorSpec {
    spec("x", Datatype::Fp32, &[-1, 1])
}

/// What is answered to a body, when the model's output is this.
fn answer(table: &Value, content_type: &str, body: &str, y: Tensor) -> Result<Value, CallError> {
    let shape: Vec<i64> = y.shape.iter().map(|size| *size as i64).collect();
    let pipeline = pipeline(table, spec("y", y.datatype, &shape)).unwrap();
    let prepared = pipeline.prepare(&[x()], content_type, body.as_bytes())?;
    let answer = pipeline.answer(&prepared, vec![y])?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

/// Why a table of this kind with more keys does not fit an output.
#[track_caller]
fn misfit(kind: &str, more: &Value, datatype: Datatype, shape: &[i64]) -> String {
    let mut table = json!({ "kind": kind, "tensor": "y" });
    let more = more.as_object().unwrap().clone();
    table.as_object_mut().unwrap().extend(more);
    let output = spec("y", datatype, shape);
    pipeline(&table, output).err().expect("it does not fit")
}

fn doubles(shape: &[u64], numbers: &[f64]) -> Tensor {
    let data: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Tensor::new("y", Datatype::Fp64, shape.to_vec(), data).unwrap()
}

fn singles(shape: &[u64], numbers: &[f32]) -> Tensor {
    Tensor::fp32("y", shape.to_vec(), numbers).unwrap()
}

#[test]
fn a_list_is_answered_by_a_list_also_if_it_holds_one_record() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let one = json!({ "value": 3.2 });
    for (content_type, body, expected) in [
        (JSON, r#"{"a": 1}"#, one.clone()),
        (JSON, r#"[{"a": 1}]"#, json!([one])),
        (LINES, r#"{"a": 1}"#, json!([one])),
        (CSV, "a\n1\n", json!([one])),
    ] {
        let y = singles(&[1, 1], &[3.2]);
        assert_eq!(
            answer(&regression, content_type, body, y).unwrap(),
            expected
        );
    }
}

#[test]
fn numbers_are_answered_with_the_digits_of_their_type() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let body = r#"{"a": 1}"#;
    let ask = |y| answer(&regression, JSON, body, y).unwrap();
    assert_eq!(ask(singles(&[1], &[0.1])).to_string(), r#"{"value":0.1}"#);
    assert_eq!(
        ask(doubles(&[1], &[0.123_456_789_012])).to_string(),
        r#"{"value":0.123456789012}"#
    );
    assert_eq!(ask(singles(&[1], &[f32::NAN])), json!({ "value": null }));
    let data = 7_i64.to_le_bytes().to_vec();
    let whole = Tensor::new("y", Datatype::Int64, vec![1], data).unwrap();
    assert_eq!(ask(whole), json!({ "value": 7.0 }));
}

#[test]
fn several_numbers_are_answered_in_order_or_by_name() {
    let body = "a\n1\n2\n";
    let y = || singles(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let plain = json!({ "kind": "regression", "tensor": "y" });
    assert_eq!(
        answer(&plain, CSV, body, y()).unwrap(),
        json!([{ "values": [1.0, 2.0] }, { "values": [3.0, 4.0] }])
    );
    let named = json!({
        "kind": "regression", "tensor": "y", "names": ["rent", "price"],
        "mean": [10, 20], "scale": 2,
    });
    assert_eq!(
        answer(&named, CSV, body, y()).unwrap(),
        json!([{ "rent": 12.0, "price": 24.0 }, { "rent": 16.0, "price": 28.0 }])
    );
}

#[test]
fn scores_may_be_doubles() {
    let classes = json!({ "kind": "classification", "tensor": "y", "labels": ["no", "yes"] });
    let y = doubles(&[2, 2], &[0.25, 0.75, 0.5, 0.5]);
    let answers = answer(&classes, CSV, "a\n1\n2\n", y).unwrap();
    assert_eq!(answers[0]["label"], "yes");
    assert_eq!(answers[0]["score"], 0.75);
    assert_eq!(answers[1]["label"], "no");
}

#[test]
fn a_label_without_scores_is_a_class() {
    let body = "a\n1\n2\n";
    let plain = json!({ "kind": "classification", "tensor": "y" });
    let named = json!({ "kind": "classification", "tensor": "y", "labels": ["no", "yes"] });
    let labels = |first: &str, second: &str| json!([{ "label": first }, { "label": second }]);
    let longs = |numbers: [i64; 2]| {
        let data = numbers.map(i64::to_le_bytes).as_flattened().to_vec();
        Tensor::new("y", Datatype::Int64, vec![2], data).unwrap()
    };
    let ints = |numbers: [i32; 2]| {
        let data = numbers.map(i32::to_le_bytes).as_flattened().to_vec();
        Tensor::new("y", Datatype::Int32, vec![2, 1], data).unwrap()
    };
    let texts = |texts: &[&[u8]]| {
        let mut data = Vec::new();
        for text in texts {
            assert!(push_element(&mut data, text));
        }
        Tensor::new("y", Datatype::Bytes, vec![texts.len() as u64], data).unwrap()
    };
    for (output, y, expected) in [
        (
            &plain,
            longs([i64::MAX, -1]),
            labels("9223372036854775807", "-1"),
        ),
        (&named, longs([1, 0]), labels("yes", "no")),
        // What has no name is a number.
        (&named, longs([-1, 2]), labels("-1", "2")),
        (&named, ints([0, 1]), labels("no", "yes")),
        (
            &plain,
            texts(&[b"versicolor", b"\xff"]),
            labels("versicolor", "\u{fffd}"),
        ),
    ] {
        assert_eq!(answer(output, CSV, body, y).unwrap(), expected);
    }
    let alone = answer(&plain, JSON, r#"{"a": 1}"#, texts(&[b"setosa"])).unwrap();
    assert_eq!(alone, json!({ "label": "setosa" }));
}

#[test]
fn a_label_without_scores_that_does_not_fit_is_refused() {
    let refused =
        |more: Value, datatype, shape: &[i64]| misfit("classification", &more, datatype, shape);
    let long = Datatype::Int64;
    assert_holds(
        &refused(json!({}), long, &[-1, 3]),
        &["[-1, 3]", "[rows, 1]"],
    );
    assert_holds(
        &refused(json!({}), Datatype::Bool, &[-1]),
        &["BOOL", "BYTES"],
    );
    for more in [json!({ "activation": "softmax" }), json!({ "top": 3 })] {
        assert_holds(&refused(more, long, &[-1]), &["are for scores", "INT64"]);
    }
    let named = refused(json!({ "labels": ["a"] }), Datatype::Bytes, &[-1]);
    assert_holds(&named, &["labels are for numbers"]);
}

#[test]
fn a_model_that_does_not_answer_each_record_has_failed() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let classes = json!({ "kind": "classification", "tensor": "y" });
    for y in [
        singles(&[1, 2], &[1.0, 2.0]),
        singles(&[3], &[1.0; 3]),
        singles(&[2, 0], &[]),
        singles(&[0], &[]),
    ] {
        for output in [&regression, &classes] {
            let shape = y.shape.clone();
            let failed = answer(output, CSV, "a\n1\n2\n", y.clone());
            let is_failed = matches!(failed, Err(CallError::Failed(_)));
            assert!(is_failed, "{output} of {shape:?}: {failed:?}");
        }
    }
}

#[test]
fn a_regression_that_does_not_fit_the_model_is_refused() {
    for (more, part) in [
        (json!({ "tensor": "z" }), "\"z\" does not exist"),
        (
            json!({ "names": ["a"] }),
            "names are for 1 numbers, and \"y\" has 2",
        ),
        (json!({ "names": ["a", "a"] }), "\"a\" twice"),
        (
            json!({ "mean": [1, 2, 3] }),
            "mean and scale are for 3 numbers",
        ),
        (
            json!({ "mean": [1, 2, 3], "scale": [1, 2] }),
            "as many numbers",
        ),
        (json!({ "mean": [] }), "empty list"),
        (json!({ "scale": 0 }), "not 0"),
        (json!({ "scale": "2" }), "a number, or a list"),
        (json!({ "labels": [] }), "unknown field `labels`"),
    ] {
        let why = misfit("regression", &more, Datatype::Fp32, &[-1, 2]);
        assert_holds(&why, &[part]);
    }
}
