//! The protocol as clients speak it.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, wine};
use crate::harness::host::Host;
use crate::harness::http2;
use crate::harness::packing::behind_front;
use crate::harness::{bodies, guest};

fn both() -> Host {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    Manifest::new(&manifest(&models)).up().serve()
}

/// A request for one picture that is all black.
fn black(data: Value) -> Value {
    json!({ "inputs": [
        { "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": data },
    ] })
}

#[test]
fn the_server_says_what_it_is() {
    let host = both();
    for path in ["/v2", "/v2/"] {
        let about = host.client().get(path).ok();
        assert_eq!(about["name"], "glovebox");
        assert!(about["version"].is_string());
        assert!(about["extensions"].is_array(), "required by the protocol");
    }
}

#[test]
fn probes_are_answered_by_both_names() {
    let host = both();
    for path in ["/v2/health/live", "/healthz"] {
        assert_eq!(host.client().get(path).ok()["live"], true);
    }
    for path in ["/v2/health/ready", "/readyz"] {
        assert_eq!(host.client().get(path).ok()["ready"], true);
    }
    let ready = host.client().get("/v2/models/wine/ready").ok();
    assert_eq!(ready, json!({ "name": "wine", "ready": true }));
}

#[test]
fn a_model_says_how_it_is_called() {
    let host = both();
    let models = host.client().get("/v2/models").ok();
    assert_eq!(models["models"], json!(["digits", "wine"]));
    let about = host.client().get("/v2/models/digits").ok();
    assert_eq!(about["name"], "digits");
    assert_eq!(about["versions"], json!(["1"]));
    assert_eq!(about["platform"], "onnx_onnxv1");
    assert_eq!(
        about["inputs"],
        json!([{ "name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8] }])
    );
    assert_eq!(
        about["outputs"],
        json!([{ "name": "scores", "datatype": "FP32", "shape": [-1, 10] }])
    );
}

#[test]
fn an_answer_names_the_model_and_repeats_the_id() {
    let host = both();
    let mut request = black(json!(vec![0; 64]));
    let answer = host.client().infer("digits", &request).ok();
    assert_eq!(answer["model_name"], "digits");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(answer.get("id"), None);
    request["id"] = json!("my \"id\" ✓");
    let answer = host.client().infer("digits", &request).ok();
    assert_eq!(answer["id"], "my \"id\" ✓");
}

#[test]
fn only_the_outputs_that_are_asked_for_are_sent() {
    let host = both();
    let inputs = json!([
        { "name": "features", "datatype": "FP32", "shape": [1, 13], "data": vec![0; 13] },
    ]);
    let about = host.client().get("/v2/models/wine").ok();
    let mut inputs = inputs;
    inputs[0]["name"] = about["inputs"][0]["name"].clone();
    let names = |outputs: &Value| {
        let request = match outputs {
            Value::Null => json!({ "inputs": inputs }),
            outputs => json!({ "inputs": inputs, "outputs": outputs }),
        };
        let answer = host.client().infer("wine", &request).ok();
        let outputs = answer["outputs"].as_array().unwrap().clone();
        outputs
            .into_iter()
            .map(|output| output["name"].clone())
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = about["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| output["name"].clone())
        .collect();
    assert_eq!(all.len(), 2);
    assert_eq!(names(&Value::Null), all);
    assert_eq!(names(&json!([])), all);
    for name in all {
        assert_eq!(names(&json!([{ "name": name }])), [name]);
    }
}

#[test]
fn nested_data_means_the_same_as_flat_data() {
    let host = both();
    let row: Vec<f64> = (0..8).map(|column| f64::from(column) / 8.0).collect();
    let nested = json!([[row, row, row, row, row, row, row, row]]);
    let flat: Vec<f64> = row.iter().copied().cycle().take(64).collect();
    let scores = |data: Value| {
        host.client().infer("digits", &black(data)).ok()["outputs"][0]["data"].clone()
    };
    assert_eq!(scores(json!([nested])), scores(json!(flat)));
}

#[test]
fn media_are_answered_with_a_label() {
    let host = both();
    let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    let answer = host.client().predict("digits", "image/png", &picture);
    assert_eq!(answer.ok()["label"], "7");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.header("x-request-id").is_empty());
    let record = fs::read(model_dir("wine").join("examples/cultivar-2.json")).unwrap();
    let answer = host.client().predict("wine", "application/json", &record);
    assert_eq!(answer.ok()["label"], "cultivar 2");
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let host = both();
    let id = || {
        let answer = host.client().infer("digits", &black(json!(vec![0; 64])));
        answer.header("x-request-id").to_owned()
    };
    let (first, second) = (id(), id());
    assert!(!first.is_empty());
    assert_ne!(first, second);
}

#[test]
fn one_connection_carries_many_requests() {
    let host = both();
    let mut stream = host.client().connect();
    let body = black(json!(vec![0; 64])).to_string();
    for _ in 0..3 {
        write!(
            stream,
            "POST /v2/models/digits/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        assert_eq!(
            Answer::from_stream(&mut stream).ok()["model_name"],
            "digits"
        );
    }
}

#[test]
fn http_2_is_spoken_with_prior_knowledge() {
    let host = both();
    let body = http2::get(&mut host.client().connect(), "/v2/models/wine/ready");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["ready"], true);
}

#[test]
fn a_component_of_another_hand_is_served_too() {
    let file = Manifest::new("").dir.path().join("own.wasm");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, guest::component(bodies::ANSWER)).unwrap();
    let host = Glovebox::new("up").option("--from", &file).serve();
    let client = host.client();
    // Without metadata the file names it, and its version is the first one.
    let about = client.get("/v2/models/own").ok();
    assert_eq!(about["inputs"], json!([]));
    assert_eq!(about["versions"], json!(["1"]));
    let answer = client.call("own").ok();
    assert_eq!(
        answer,
        json!({ "model_name": "own", "model_version": "1", "outputs": [] })
    );
    let answer = client.predict("own", "image/tiff", b"anything");
    assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
    assert_eq!(answer.header("content-type"), "text/plain");
    fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

#[test]
fn a_version_in_the_path_must_be_the_model_s_own() {
    let host = both();
    let client = host.client();
    let about = client.get("/v2/models/digits/versions/1").ok();
    assert_eq!(about, client.get("/v2/models/digits").ok());
    assert_eq!(client.get("/v2/models/digits/versions/1/ready").status, 200);
    for path in ["", "/ready"] {
        let answer = client.get(&format!("/v2/models/digits/versions/2{path}"));
        let error = answer.error(404, "unknown_model");
        assert!(error.contains("version \"2\""), "{error}");
    }
    client
        .get("/v2/models/digits/versions/")
        .error(404, "unknown_path");
}

behind_front! {
    the_server_says_what_it_is,
    probes_are_answered_by_both_names,
    a_model_says_how_it_is_called,
    an_answer_names_the_model_and_repeats_the_id,
    only_the_outputs_that_are_asked_for_are_sent,
    nested_data_means_the_same_as_flat_data,
    media_are_answered_with_a_label,
    every_request_has_an_id_of_its_own,
    one_connection_carries_many_requests,
    http_2_is_spoken_with_prior_knowledge,
    a_component_of_another_hand_is_served_too,
    a_version_in_the_path_must_be_the_model_s_own,
}
