//! Models that make sense only for some sizes of their inputs, which `shapes` of `model.toml` gives.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::command::Glovebox;
use crate::harness::files::temporary;
use crate::harness::onnx::{FIXED_ONLY, Graph, OPEN, fixed_only};

/// A model that no engine could prepare for rows of all lengths, with a `model.toml` or without.
struct Project(TempDir);

impl Project {
    fn new(config: &str) -> Self {
        let dir = temporary();
        let graph = Graph::new().input("x", &[OPEN, 4]);
        let graph = fixed_only("x").into_iter().fold(graph, Graph::node);
        let graph = graph.output(FIXED_ONLY, &[OPEN, 4]);
        fs::write(dir.path().join("rows.onnx"), graph.model()).unwrap();
        if !config.is_empty() {
            fs::write(dir.path().join("model.toml"), config).unwrap();
        }
        Self(dir)
    }

    fn packed(&self) -> PathBuf {
        self.0.path().join("rows.wasm")
    }

    fn pack(&self) -> Glovebox {
        Glovebox::new("pack").arg(self.0.path().join("rows.onnx"))
    }
}

#[test]
fn a_model_for_some_sizes_only_is_refused_with_what_to_write() {
    let line = Project::new("").pack().run().refusal();
    let hint = "write them into model.toml: shapes = { \"x\" = [?, 4] } with a number for each ?";
    assert!(line.contains(hint), "{line}");
}

#[test]
fn a_model_answers_for_the_sizes_that_are_written() {
    let project = Project::new("shapes = { x = [2, 4] }\n");
    project.pack().run().success();
    let host = Glovebox::new("up")
        .option("--from", project.packed())
        .serve();
    let metadata = host.client().get("/v2/models/rows").ok();
    assert_eq!(metadata["inputs"][0]["shape"], json!([2, 4]));
    let ask = |rows: usize| {
        let data: Vec<usize> = (0..rows * 4).collect();
        let input = json!({ "name": "x", "datatype": "FP32", "shape": [rows, 4], "data": data });
        host.client().infer("rows", &json!({ "inputs": [input] }))
    };
    let answer = ask(2).ok();
    assert_eq!(answer["outputs"][0]["shape"], json!([2, 4]));
    assert_eq!(answer["outputs"][0]["data"][7], json!(7.0));
    ask(3).error(400, "invalid_request");
}

#[test]
fn shapes_that_the_model_does_not_take_are_refused_by_name() {
    for (shapes, word) in [
        (
            "y = [2, 4]",
            "the model has no input \"y\", its inputs are [\"x\"]",
        ),
        ("x = [2]", "input \"x\" has 2 dimensions, not 1"),
        (
            "x = [2, 5]",
            "size 1 of input \"x\" is 4 in the model, not 5",
        ),
        ("x = [0, 4]", "size 0 of input \"x\" is 0"),
        ("x = 2", "[shapes]: "),
    ] {
        let project = Project::new(&format!("shapes = {{ {shapes} }}\n"));
        let line = project.pack().run().refusal();
        assert!(line.contains(word), "{shapes}: {line}");
        assert!(!project.packed().exists());
    }
}
