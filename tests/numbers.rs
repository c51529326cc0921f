//! Answers are those of ONNX Runtime: over HTTP, by `run`, from tensors and from media.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::command::Glovebox;
use crate::harness::files::{digits, expected, model_dir, temporary, wine};
use crate::harness::media;
use crate::harness::onnx::{Graph, Node, OPEN};
use crate::harness::packing::behind_front;

const TOLERANCE: f64 = 1e-4;

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().expect("a list");
    list.iter().map(|n| n.as_f64().expect("a number")).collect()
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= TOLERANCE, "{got} ≠ {expected}");
    }
}

fn index_of_best(scores: &[f64]) -> usize {
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.expect("scores").0
}

/// One request for all `cases`, a row each.
fn batch(cases: &[Value], input: &str, output: &str) -> Value {
    let mut shape = cases[0]["shape"].clone();
    shape[0] = json!(cases.len());
    let data: Vec<f64> = cases
        .iter()
        .flat_map(|case| numbers(&case["data"]))
        .collect();
    json!({
        "inputs": [{ "name": input, "datatype": "FP32", "shape": shape, "data": data }],
        "outputs": [{ "name": output }],
    })
}

#[track_caller]
fn assert_scores(answer: &Value, cases: &[Value], labels: &[String]) {
    let scores = numbers(&answer["outputs"][0]["data"]);
    assert_eq!(
        answer["outputs"][0]["shape"],
        json!([cases.len(), labels.len()])
    );
    for (case, scores) in cases.iter().zip(scores.chunks(labels.len())) {
        assert_close(scores, &numbers(&case["scores"]));
        assert_eq!(labels[index_of_best(scores)], case["label"]);
    }
}

fn labels(model: &str) -> Vec<String> {
    let text = fs::read_to_string(model_dir(model).join("labels.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The content types of a model's example files, with the files.
fn examples(model: &str) -> Vec<(&'static str, std::path::PathBuf, Value)> {
    let with_file = |case: Value| {
        let file = model_dir(model).join(case["file"].as_str()?);
        let png = file.extension().is_some_and(|extension| extension == "png");
        let content_type = if png { "image/png" } else { "application/json" };
        Some((content_type, file, case))
    };
    expected(model).into_iter().filter_map(with_file).collect()
}

#[track_caller]
fn assert_class(answer: &Value, case: &Value) {
    assert_eq!(answer["label"], case["label"]);
    let scores = numbers(&case["scores"]);
    let best = scores[index_of_best(&scores)];
    assert_close(&[answer["score"].as_f64().unwrap()], &[best]);
    assert_eq!(answer["top"][0]["label"], case["label"]);
    assert_eq!(answer["top"].as_array().unwrap().len(), 3);
}

fn model_answers_like_onnx_runtime(model: &str, packed: &Path, input: &str, output: &str) {
    let host = Glovebox::new("up").option("--from", packed).serve();
    let client = host.client();
    let (cases, labels) = (expected(model), labels(model));
    assert!(cases.len() >= 30, "a few numbers prove nothing");
    let together = client.infer(model, &batch(&cases, input, output)).ok();
    assert_scores(&together, &cases, &labels);
    for case in cases.chunks(1).take(5) {
        let alone = client.infer(model, &batch(case, input, output)).ok();
        assert_scores(&alone, case, &labels);
    }
}

fn media_answer_like_onnx_runtime(model: &str, packed: &Path) {
    let host = Glovebox::new("up").option("--from", packed).serve();
    let examples = examples(model);
    assert!(examples.len() >= 3);
    for (content_type, file, case) in examples {
        let body = fs::read(file).unwrap();
        let answer = host.client().predict(model, content_type, &body);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_class(&answer.ok(), &case);
    }
}

#[test]
fn digits_from_tensors_are_those_of_onnx_runtime() {
    model_answers_like_onnx_runtime("digits", digits(), "image", "scores");
}

#[test]
fn wines_from_tensors_are_those_of_onnx_runtime() {
    let input = input_of(wine());
    model_answers_like_onnx_runtime("wine", wine(), &input, "probabilities");
}

/// The name of a packed model's first input.
fn input_of(packed: &Path) -> String {
    let about = Glovebox::new("inspect").arg(packed).arg("--json").run();
    let name = &about.json()["model"]["signature"]["inputs"][0]["name"];
    name.as_str().expect("a name").to_owned()
}

#[test]
fn digits_from_pictures_are_those_of_onnx_runtime() {
    media_answer_like_onnx_runtime("digits", digits());
}

#[test]
fn wines_from_records_are_those_of_onnx_runtime() {
    media_answer_like_onnx_runtime("wine", wine());
}

#[test]
fn several_records_are_answered_by_a_list() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let examples = examples("wine");
    let record = |file| serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap();
    let records: Value = examples.iter().map(|(_, file, _)| record(file)).collect();
    let body = records.to_string();
    let answer = host
        .client()
        .predict("wine", "application/json; charset=utf-8", body.as_bytes())
        .ok();
    for (class, (_, _, case)) in answer.as_array().unwrap().iter().zip(&examples) {
        assert_class(class, case);
    }
    assert_eq!(answer.as_array().unwrap().len(), examples.len());
}

#[test]
fn run_answers_a_file_as_the_server_does() {
    for (model, packed) in [("digits", digits()), ("wine", wine())] {
        let (_, file, case) = examples(model).swap_remove(1);
        let run = Glovebox::new("run").arg(packed).option("--input", file);
        assert_class(&run.run().json(), &case);
    }
}

#[test]
fn run_answers_tensors_as_the_server_does() {
    let dir = temporary();
    let file = dir.path().join("request.json");
    let cases = expected("digits");
    let mut request = batch(&cases[..4], "image", "scores");
    request["id"] = json!("four");
    fs::write(&file, request.to_string()).unwrap();
    let run = Glovebox::new("run").arg(digits()).option("--tensors", file);
    let answer = run.run().json();
    assert_eq!(answer["model_name"], "digits");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(answer["id"], "four");
    assert_scores(&answer, &cases[..4], &labels("digits"));
}

#[test]
fn a_jpeg_is_read_as_a_picture_of_the_same_levels() {
    let host = Glovebox::new("up").option("--from", digits()).serve();
    let client = host.client();
    let grey = vec![128.0 / 255.0; 64];
    let request = json!({ "inputs": [
        { "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": grey },
    ] });
    let tensor = numbers(&client.infer("digits", &request).ok()["outputs"][0]["data"]);
    let picture = client
        .predict("digits", "image/jpeg", &media::grey_jpeg())
        .ok();
    let best = index_of_best(&tensor);
    assert_eq!(picture["label"], labels("digits")[best]);
    assert_close(&[picture["score"].as_f64().unwrap()], &[tensor[best]]);
}

#[test]
fn a_model_made_by_hand_computes_what_arithmetic_says() {
    let graph = Graph::new()
        .input("x", &[OPEN, 2])
        .output("scaled", &[OPEN, 3])
        .output("positive", &[OPEN, 3])
        .output("chance", &[OPEN, 3])
        .weights("w", &[2, 3], &[1.0, 2.0, 3.0, -4.0, 5.0, -6.0])
        .weights("b", &[3], &[0.5, -0.5, 0.0])
        .node(Node::new("MatMul", "product", &["x", "w"], &["xw"]))
        .node(Node::new("Add", "sum", &["xw", "b"], &["scaled"]))
        .node(Node::new("Relu", "relu", &["scaled"], &["positive"]))
        .node(Node::new("Softmax", "softmax", &["scaled"], &["chance"]).int("axis", -1));
    let dir = temporary();
    let file = dir.path().join("by hand.onnx");
    fs::write(&file, graph.model()).unwrap();
    // No model.toml: the file's name is the model's, as far as a URL can hold it.
    let host = Glovebox::new("up").option("--from", &file).serve();
    let request = json!({ "inputs": [
        { "name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 1], [2, 0]] },
    ] });
    let answer = host.client().infer("by-hand", &request).ok();
    let named = |name: &str| {
        let outputs = answer["outputs"].as_array().unwrap();
        let output = outputs.iter().find(|output| output["name"] == name);
        numbers(&output.unwrap()["data"])
    };
    let scaled = [-2.5, 6.5, -3.0, 2.5, 3.5, 6.0];
    assert_close(&named("scaled"), &scaled);
    assert_close(&named("positive"), &scaled.map(|x: f64| x.max(0.0)));
    let softmax = |row: &[f64]| {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / sum).collect::<Vec<_>>()
    };
    assert_close(
        &named("chance"),
        &scaled.chunks(3).flat_map(softmax).collect::<Vec<_>>(),
    );
}

behind_front! {
    digits_from_tensors_are_those_of_onnx_runtime,
    wines_from_tensors_are_those_of_onnx_runtime,
    digits_from_pictures_are_those_of_onnx_runtime,
    wines_from_records_are_those_of_onnx_runtime,
    several_records_are_answered_by_a_list,
    run_answers_a_file_as_the_server_does,
    run_answers_tensors_as_the_server_does,
    a_jpeg_is_read_as_a_picture_of_the_same_levels,
    a_model_made_by_hand_computes_what_arithmetic_says,
}
