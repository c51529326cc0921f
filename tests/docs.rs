//! The description of the REST paths is true, and its page is safe.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, temporary, wine};
use crate::harness::host::Host;
use crate::harness::onnx::{Graph, Node};
use crate::harness::packing::behind_front;
use crate::harness::python;

fn both() -> Host {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    Manifest::new(&manifest(&models)).up().serve()
}

fn description(client: &Client) -> Value {
    client.get("/openapi.json").ok()
}

/// Runs a program of the Python environment in a folder of its own.
#[track_caller]
fn run(program: &str, args: &[&str]) {
    let python = python::with("description", "clients/description.txt");
    let dir = temporary();
    let program = python
        .parent()
        .map_or_else(|| program.into(), |bin: &Path| bin.join(program));
    let mut command = Command::new(program);
    let output = command.args(args).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{log}");
}

#[test]
fn the_description_is_one_of_openapi_and_has_the_paths_of_the_host() {
    let host = both();
    let description = description(&host.client());
    assert_eq!(description["openapi"], "3.1.1");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let client = host.client();
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{model}", "digits").replace("{version}", "1");
        if methods.get("get").is_some() {
            assert_eq!(client.get(&path).status, 200, "{path}");
        } else {
            assert_eq!(client.get(&path).status, 405, "{path}");
        }
    }
    let dir = temporary();
    let file = dir.path().join("openapi.json");
    fs::write(&file, description.to_string()).unwrap();
    run("openapi-spec-validator", &[file.to_str().unwrap()]);
}

#[test]
fn each_model_has_an_example_that_it_answers() {
    let host = both();
    let description = description(&host.client());
    for path in [
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
    ] {
        let body = &description["paths"][path]["post"]["requestBody"];
        let examples = body["content"]["application/json"]["examples"]
            .as_object()
            .unwrap();
        assert_eq!(examples.keys().collect::<Vec<_>>(), ["digits", "wine"]);
        for (model, example) in examples {
            host.client().infer(model, &example["value"]).ok();
        }
    }
}

#[test]
fn every_answer_is_as_described() {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    let manifest = Manifest::new(&manifest(&models));
    // Else the model repository says to everybody that it is closed, with a token or without.
    let token = manifest.dir.path().join("token");
    fs::write(&token, "correct-horse-battery-staple").unwrap();
    let host = manifest.up().option("--repository-admin", &token).serve();
    let url = format!("http://{}/openapi.json", host.client().address);
    // Names of models are made up, so that a request is right does not mean that it is answered.
    let known = [
        "--exclude-checks",
        "positive_data_acceptance,unsupported_method",
    ];
    let bounds = [
        "--seed",
        "1",
        "--max-examples",
        "10",
        "--phases",
        "examples,coverage,fuzzing",
    ];
    let quiet = ["--warnings", "off", "--no-color"];
    run(
        "st",
        &[&["run", &url][..], &bounds, &known, &quiet].concat(),
    );
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let host = both();
    let client = host.client();
    for (path, content_type) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), content_type);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = answer.text();
        for elsewhere in [
            "http://",
            "https://",
            "//cdn",
            "url(",
            "innerHTML",
            " style=",
            " onclick=",
        ] {
            assert!(!text.contains(elsewhere), "{path} has {elsewhere}");
        }
    }
    client.get("/docs/other.js").error(404, "unknown_path");
    client
        .post("/docs", "text/plain", b"")
        .error(405, "method_not_allowed");
}

/// The names of the models that the description has an example for.
fn examples(client: &Client) -> Vec<String> {
    let description = description(client);
    let body = &description["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"];
    let examples = body["content"]["application/json"]["examples"].as_object();
    examples.unwrap().keys().cloned().collect()
}

#[test]
fn examples_are_for_the_first_models_only() {
    const MOST: usize = 50;
    let names: Vec<String> = (0..=MOST).map(|index| format!("model{index:02}")).collect();
    let models: Vec<_> = names.iter().map(|name| (&**name, wine(), "")).collect();
    let of = |models: &[(&str, &Path, &str)]| {
        let host = Manifest::new(&manifest(models)).up().serve();
        examples(&host.client())
    };
    assert_eq!(of(&models[..MOST]), names[..MOST]);
    assert_eq!(of(&models), names[..MOST]);
}

#[test]
fn a_model_with_a_large_input_has_no_example() {
    let dir = temporary();
    let pack = |name: &str, width: i64| {
        let graph = Graph::new()
            .input("x", &[1, width])
            .output("y", &[1, width])
            .node(Node::new("Relu", "relu", &["x"], &["y"]));
        let file = dir.path().join(format!("{name}.onnx"));
        fs::write(&file, graph.model()).unwrap();
        Glovebox::new("pack").arg(&file).run().success();
        file.with_extension("wasm")
    };
    let (largest, larger) = (pack("largest", 256), pack("larger", 257));
    let models = [("largest", &*largest, ""), ("larger", &*larger, "")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    assert_eq!(examples(&host.client()), ["largest"]);
}

behind_front! {
    the_description_is_one_of_openapi_and_has_the_paths_of_the_host,
    each_model_has_an_example_that_it_answers,
    every_answer_is_as_described,
    the_page_loads_nothing_from_elsewhere,
    examples_are_for_the_first_models_only,
    a_model_with_a_large_input_has_no_example,
}
