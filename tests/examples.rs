//! `[[example]]`: whatever a model's `[output]` can give is checked before anything is written, and where
//! an answer differs is said.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::command::{Glovebox, Outcome, shared_cache};
use crate::harness::files::{temporary, workspace};
use crate::harness::onnx::{Graph, Node};
use crate::text;

/// A folder with a model of the table tests, and with the first of its records as files.
fn table(model: &str) -> (tempfile::TempDir, Value) {
    let dir = temporary();
    let material = workspace().join("tests/tables");
    let file = |name: &str| fs::read(material.join(name)).unwrap();
    for name in [format!("{model}.onnx"), format!("{model}.toml")] {
        fs::write(dir.path().join(&name), file(&name)).unwrap();
    }
    let mut expected: Value = serde_json::from_slice(&file("expected.json")).unwrap();
    let case = expected[model].take();
    let records = case["records"].as_array().unwrap();
    let one = records[0].to_string();
    let two = format!("{one}\n{}\n", records[1]);
    fs::write(dir.path().join("one.json"), one).unwrap();
    fs::write(dir.path().join("two.ndjson"), two).unwrap();
    (dir, case)
}

/// Packs the model of a folder with one example behind its configuration.
fn pack(dir: &Path, model: &str, example: &str) -> Outcome {
    let config = fs::read_to_string(dir.join(format!("{model}.toml"))).unwrap();
    let with = dir.join("with-example.toml");
    fs::write(&with, format!("{config}\n[[example]]\n{example}\n")).unwrap();
    let pack = Glovebox::new("pack").arg(dir.join(format!("{model}.onnx")));
    let pack = pack.option("--config", &with);
    pack.option("--output", dir.join("packed.wasm")).run()
}

#[track_caller]
fn is_right(dir: &Path, model: &str, example: &str) {
    let said = pack(dir, model, example).success();
    assert!(said.contains("1 examples right"), "{said}");
    fs::remove_file(dir.join("packed.wasm")).unwrap();
}

/// The example fails with these parts in its line.
#[track_caller]
fn is_wrong(dir: &Path, model: &str, example: &str, parts: &[&str]) {
    let line = pack(dir, model, example).refusal();
    for part in parts {
        assert!(line.contains(part), "no {part:?}: {line}");
    }
    assert!(!dir.join("packed.wasm").exists());
}

#[test]
fn a_number_is_compared_within_the_tolerance() {
    let (dir, case) = table("diabetes");
    let value = case["values"][0].as_f64().unwrap();
    let example = |value: f64, more: &str| {
        format!("input = \"one.json\"\nanswer = {{ value = {value} }}\n{more}")
    };
    is_right(dir.path(), "diabetes", &example(value, ""));
    is_right(
        dir.path(),
        "diabetes",
        &example(value + 0.9, "tolerance = 1"),
    );
    let expected = format!(
        "expected {} ± 0.001 at .value, got {:.0}",
        value + 0.5,
        value.floor()
    );
    is_wrong(
        dir.path(),
        "diabetes",
        &example(value + 0.5, ""),
        &["one.json fails", &expected, "nothing was written"],
    );
}

#[test]
fn answers_to_several_records_are_compared_one_by_one() {
    let (dir, case) = table("diabetes");
    let values = [0, 1].map(|row| case["values"][row].as_f64().unwrap());
    let example = |values: &[f64]| {
        let rows = values.iter().map(|value| format!("{{ value = {value} }}"));
        let rows: Vec<_> = rows.collect();
        format!("input = \"two.ndjson\"\nanswer = [{}]", rows.join(", "))
    };
    is_right(dir.path(), "diabetes", &example(&values));
    let off = example(&[values[0], values[1] - 1.0]);
    is_wrong(dir.path(), "diabetes", &off, &["at [1].value, got"]);
    let short = example(&values[..1]);
    let parts = ["expected a list of 1, got a list of 2"];
    is_wrong(dir.path(), "diabetes", &short, &parts);
}

#[test]
fn keys_that_an_example_leaves_out_may_be_anything() {
    let (dir, case) = table("iris");
    let label = |row: usize| {
        let scores = case["scores"][row].as_array().unwrap().iter();
        let best = scores.enumerate().max_by(|a, b| {
            let score = |scored: &(usize, &Value)| scored.1.as_f64().unwrap();
            score(a).total_cmp(&score(b))
        });
        case["labels"][best.unwrap().0].as_str().unwrap()
    };
    let example = |second: &str| {
        let first = label(0);
        format!(
            "input = \"two.ndjson\"\nanswer = [{{ label = {first:?} }}, {{ label = {second:?} }}]"
        )
    };
    is_right(dir.path(), "iris", &example(label(1)));
    let parts = ["expected \"rose\" at [1].label, got \"setosa\""];
    is_wrong(dir.path(), "iris", &example("rose"), &parts);
    let unknown = "input = \"one.json\"\nanswer = { lable = \"setosa\" }";
    let parts = ["expected \"setosa\" at .lable, got nothing"];
    is_wrong(dir.path(), "iris", unknown, &parts);
}

#[test]
fn a_long_answer_stands_in_a_file() {
    let dir = text::folder("embed", text::EMBED);
    fs::rename(dir.path().join("model.toml"), dir.path().join("embed.toml")).unwrap();
    let cases = [20, 21].map(|case| &text::expected()["embed"][case]);
    let texts: Value = cases.iter().map(|case| case["text"].clone()).collect();
    fs::write(dir.path().join("texts.json"), texts.to_string()).unwrap();
    let mut vectors = json!(cases.map(|case| json!({ "embedding": case["mean"] })));
    let example = "input = \"texts.json\"\nanswer = \"vectors.json\"";
    let parts = ["cannot read the example", "vectors.json"];
    is_wrong(dir.path(), "embed", example, &parts);
    let write = |vectors: &Value| {
        fs::write(dir.path().join("vectors.json"), vectors.to_string()).unwrap();
    };
    write(&vectors);
    is_right(dir.path(), "embed", example);
    vectors[1]["embedding"][3] = json!(2.5);
    write(&vectors);
    let parts = ["expected 2.5 ± 0.001 at [1].embedding[3], got "];
    is_wrong(dir.path(), "embed", example, &parts);
}

#[test]
fn a_picture_is_compared_byte_by_byte() {
    let dir = temporary();
    let same = Node::new("Identity", "", &["x"], &["y"]);
    let graph = Graph::new().input("x", &[1, 3, 8, 8]);
    let onnx = graph.output("y", &[1, 3, 8, 8]).node(same).model();
    fs::write(dir.path().join("mask.onnx"), onnx).unwrap();
    let config = "[input]\nkind = \"image\"\n[output]\nkind = \"segmentation\"\ntensor = \"y\"\n";
    fs::write(dir.path().join("mask.toml"), config).unwrap();
    let picture = workspace().join("tests/images/pictures/wide.png");
    let example = |answer: &str| format!("input = {picture:?}\n{answer}");
    pack(dir.path(), "mask", &example("")).success();
    let mut run = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    run.arg("run").arg(dir.path().join("packed.wasm"));
    run.arg("--input").arg(&picture);
    let run = run.env("GLOVEBOX_CACHE_DIR", shared_cache()).output();
    let mut mask = run.unwrap().stdout;
    fs::remove_file(dir.path().join("packed.wasm")).unwrap();

    let with_mask = example("answer = \"mask.png\"");
    fs::write(dir.path().join("mask.png"), &mask).unwrap();
    is_right(dir.path(), "mask", &with_mask);
    *mask.last_mut().unwrap() ^= 1;
    fs::write(dir.path().join("mask.png"), &mask).unwrap();
    let parts = ["expected the bytes of", "mask.png, got others"];
    is_wrong(dir.path(), "mask", &with_mask, &parts);
    let json = example("answer = { label = \"red\" }");
    let parts = ["expected {\"label\":\"red\"}, got nothing"];
    is_wrong(dir.path(), "mask", &json, &parts);
}
