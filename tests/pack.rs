//! What `pack` writes, when it refuses, and what `inspect` shows.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload, Validator};

use crate::harness::command::{Glovebox, Outcome};
use crate::harness::files::{copy_model, digits, model_dir, names_in, temporary, wine};
use crate::harness::onnx;

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names of the component's own imports and exports, and its core modules.
fn surface(component: &[u8]) -> (Vec<String>, Vec<String>, Vec<&[u8]>) {
    let (mut imports, mut exports, mut modules) = (Vec::new(), Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                modules.push(&component[unchecked_range]);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|i| i.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|e| e.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports, modules)
}

fn section<'a>(component: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let found = |payload| match payload {
        Payload::CustomSection(section) if section.name() == name => Some(section.data()),
        _ => None,
    };
    Parser::new(0)
        .parse_all(component)
        .find_map(|payload| found(payload.unwrap()))
}

#[test]
fn a_packed_model_is_a_valid_component_without_imports_and_with_one_export() {
    for packed in [digits(), wine()] {
        let bytes = fs::read(packed).unwrap();
        Validator::new().validate_all(&bytes).expect("valid");
        let (imports, exports, modules) = surface(&bytes);
        assert_eq!(imports, Vec::<String>::new());
        assert_eq!(exports, ["glovebox:inference/model@0.1.0"]);
        assert_eq!(modules.len(), 2, "image and code");
    }
}

#[test]
fn two_packed_models_carry_the_same_code_byte_by_byte() {
    let (digits, wine) = (fs::read(digits()).unwrap(), fs::read(wine()).unwrap());
    let (digits, wine) = (surface(&digits).2, surface(&wine).2);
    assert_ne!(digits[0], wine[0]);
    assert!(digits[1] == wine[1]);
}

#[test]
fn a_packed_model_says_what_it_is() {
    let bytes = fs::read(digits()).unwrap();
    let json = section(&bytes, "glovebox:model").expect("a section of metadata");
    let about: Value = serde_json::from_slice(json).unwrap();
    let source = fs::read(model_dir("digits").join("digits.onnx")).unwrap();
    assert_eq!(about["name"], "digits");
    assert_eq!(about["version"], "1");
    assert_eq!(about["licence"], "Apache-2.0");
    assert_eq!(
        about["labels"],
        json!(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
    );
    assert_eq!(about["source_sha256"], sha256(&source));
    assert_eq!(about["runtime_sha256"], sha256(surface(&bytes).2[1]));
    assert!(about["tool"].as_str().unwrap().starts_with("glovebox "));
    assert_eq!(
        about["signature"],
        json!({
            "inputs": [{ "name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8] }],
            "outputs": [{ "name": "scores", "datatype": "FP32", "shape": [-1, 10] }],
            "media": ["image/png", "image/jpeg", "image/webp"],
        })
    );
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let dir = temporary();
    for (model, packed) in [("digits", digits()), ("wine", wine())] {
        let again = dir.path().join(model);
        Glovebox::new("pack")
            .arg(model_dir(model).join(format!("{model}.onnx")))
            .option("-o", &again)
            .run()
            .success();
        assert!(fs::read(again).unwrap() == fs::read(packed).unwrap());
    }
}

#[test]
fn the_packed_model_lies_beside_its_file_unless_told_otherwise() {
    let dir = temporary();
    let onnx = dir.path().join("same.onnx");
    fs::write(&onnx, onnx::identity().model()).unwrap();
    let said = Glovebox::new("pack").arg(&onnx).run().success();
    assert!(said.contains("same.wasm"), "{said}");
    assert!(said.contains("no examples to check"), "{said}");
    assert_eq!(names_in(dir.path()), ["same.onnx", "same.wasm"]);
    let deeper = dir.path().join("new/folder/model.wasm");
    let pack = Glovebox::new("pack").arg(&onnx).option("-o", &deeper);
    pack.run().success();
    assert!(fs::read(deeper).unwrap() == fs::read(dir.path().join("same.wasm")).unwrap());
}

#[test]
fn a_relative_path_without_a_folder_works() {
    let dir = temporary();
    fs::write(dir.path().join("same.onnx"), onnx::identity().model()).unwrap();
    let pack = Glovebox::new("pack").arg("same.onnx").in_dir(dir.path());
    pack.run().success();
    let inspect = Glovebox::new("inspect").arg("same.wasm").in_dir(dir.path());
    assert!(inspect.run().success().contains("same"));
}

#[test]
fn pack_reports_in_json_for_scripts() {
    let dir = temporary();
    let output = dir.path().join("out.wasm");
    let report = Glovebox::new("pack")
        .arg(model_dir("wine").join("wine.onnx"))
        .option("--output", &output)
        .arg("--json")
        .run()
        .json();
    assert_eq!(report["name"], "wine");
    assert_eq!(report["output"], output.to_str().unwrap());
    assert_eq!(report["bytes"], fs::metadata(&output).unwrap().len());
    assert_eq!(report["examples"], 3);
    assert_eq!(report["signature"]["outputs"][1]["name"], "probabilities");
    assert!(report["image_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn inspect_shows_a_packed_model_to_a_person() {
    let text = Glovebox::new("inspect").arg(wine()).run().success();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key:?} in {text}"))
            .trim()
    };
    assert_eq!(value("model "), "wine 1");
    assert_eq!(value("licence "), "Apache-2.0");
    assert_eq!(value("imports "), "none");
    assert_eq!(value("exports "), "glovebox:inference/model@0.1.0");
    assert_eq!(value("labels "), "cultivar 1, cultivar 2, cultivar 3");
    assert_eq!(
        value("predict "),
        "application/json, application/x-ndjson, text/csv, text/tab-separated-values"
    );
    assert!(value("input ").ends_with("FP32 [any, 13]"), "{text}");
    assert!(value("code ").contains("shared"), "{text}");
    assert!(value("source ").starts_with("sha256:"), "{text}");
}

#[test]
fn inspect_shows_a_packed_model_to_a_script() {
    let json = Glovebox::new("inspect").arg(wine()).arg("--json").run();
    let (json, bytes) = (json.json(), fs::read(wine()).unwrap());
    assert_eq!(json["digest"], format!("sha256:{}", sha256(&bytes)));
    assert_eq!(json["bytes"], bytes.len());
    assert_eq!(json["imports"], json!([]));
    assert_eq!(json["exports"], json!(["glovebox:inference/model@0.1.0"]));
    assert_eq!(json["shares_runtime"], true);
    assert_eq!(json["core_module_bytes"].as_array().unwrap().len(), 2);
    assert_eq!(json["model"]["name"], "wine");
}

#[test]
fn what_is_no_component_is_not_inspected() {
    let dir = temporary();
    let file = dir.path().join("file.wasm");
    for (bytes, named) in [
        (&b""[..], "empty"),
        (b"\0asm\x01\0\0\0", "core module"),
        (b"\x7fELF\x02\x01\x01", "machine code"),
        (b"hello", "not a wasm component"),
    ] {
        fs::write(&file, bytes).unwrap();
        let line = Glovebox::new("inspect").arg(&file).run().refusal();
        assert!(line.contains(named), "{line}");
    }
}

/// Packs the digits after a change to a copy of their folder.
fn pack_changed(model: &str, change: impl FnOnce(&Path)) -> (Outcome, Vec<String>) {
    let dir = temporary();
    copy_model(model, dir.path());
    change(dir.path());
    let before = names_in(dir.path());
    let outcome = Glovebox::new("pack")
        .arg(dir.path().join(format!("{model}.onnx")))
        .run();
    let after = names_in(dir.path());
    let new = after.into_iter().filter(|name| !before.contains(name));
    (outcome, new.collect())
}

/// Packing with this replacement in `model.toml` is refused, and nothing is written.
#[track_caller]
fn refused_with(model: &str, from: &str, to: &str) -> String {
    let (outcome, written) = pack_changed(model, |dir| edit(&dir.join("model.toml"), from, to));
    assert_eq!(written, Vec::<String>::new());
    outcome.refusal()
}

#[track_caller]
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_model_that_fails_its_example_is_not_written() {
    let line = refused_with("digits", "label = \"3\"", "label = \"8\"");
    assert!(line.contains("3.png"), "{line}");
    assert!(line.contains("expected label \"8\""), "{line}");
    assert!(line.contains("got {\"label\":\"3\""), "{line}");
    assert!(line.contains("nothing was written"), "{line}");
}

#[test]
fn a_score_outside_of_the_tolerance_fails_the_example() {
    let line = refused_with(
        "digits",
        "label = \"0\"",
        "label = \"0\"\nscore = 0.95\ntolerance = 0.001",
    );
    assert!(line.contains("score 0.95 ± 0.001"), "{line}");
    let close = "label = \"0\"\nscore = 0.9616\ntolerance = 0.001";
    let (outcome, written) = pack_changed("digits", |dir| {
        edit(&dir.join("model.toml"), "label = \"0\"", close);
    });
    assert!(outcome.success().contains("10 examples right"));
    assert_eq!(written, ["digits.wasm"]);
}

#[test]
fn an_example_without_its_file_is_named() {
    let line = refused_with("digits", "examples/3.png", "examples/33.png");
    assert!(line.contains("33.png"), "{line}");
}

#[test]
fn an_unknown_key_in_model_toml_is_named() {
    let line = refused_with("digits", "version = \"1\"", "verison = \"1\"");
    assert!(line.contains("verison"), "{line}");
    let line = refused_with("digits", "kind = \"image\"", "kind = \"image\"\ncolor = 1");
    assert!(line.contains("color"), "{line}");
    let line = refused_with("digits", "top = 3", "best = 3");
    assert!(line.contains("best"), "{line}");
}

#[test]
fn an_output_that_the_model_lacks_is_named_with_those_it_has() {
    let line = refused_with("digits", "tensor = \"scores\"", "tensor = \"logits\"");
    assert!(line.contains("\"logits\""), "{line}");
    assert!(line.contains("scores"), "{line}");
}

#[test]
fn labels_are_as_many_as_scores() {
    let (outcome, written) = pack_changed("digits", |dir| {
        edit(&dir.join("labels.txt"), "9", "");
    });
    assert_eq!(written, Vec::<String>::new());
    let line = outcome.refusal();
    assert!(line.contains("9 labels"), "{line}");
    assert!(line.contains("10 scores"), "{line}");
}

#[test]
fn missing_labels_are_named() {
    let line = refused_with("digits", "labels.txt", "names.txt");
    assert!(line.contains("names.txt"), "{line}");
}

#[test]
fn pictures_of_another_shape_than_the_input_are_refused() {
    let line = refused_with("digits", "width = 8", "width = 16");
    assert!(line.contains("[1, 1, 8, 16]"), "{line}");
    assert!(line.contains("\"image\""), "{line}");
    let line = refused_with("digits", "colour = \"grey\"", "colour = \"rgb\"");
    assert!(line.contains("[1, 3, 8, 8]"), "{line}");
}

#[test]
fn records_with_another_number_of_fields_than_columns_are_refused() {
    let line = refused_with("wine", "    \"hue\",\n", "");
    assert!(line.contains("12 columns"), "{line}");
    assert!(line.contains("13"), "{line}");
}

#[test]
fn a_name_that_no_url_can_hold_is_refused() {
    let line = refused_with("digits", "name = \"digits\"", "name = \"di/gits\"");
    assert!(line.contains("di/gits"), "{line}");
}

#[test]
fn without_model_toml_the_file_names_the_model_and_predict_takes_nothing() {
    let dir = temporary();
    let onnx = dir.path().join("bare.onnx");
    fs::copy(model_dir("digits").join("digits.onnx"), &onnx).unwrap();
    Glovebox::new("pack").arg(&onnx).run().success();
    let host = Glovebox::new("up")
        .option("--from", dir.path().join("bare.wasm"))
        .serve();
    let client = host.client();
    assert_eq!(client.get("/v2/models/bare").ok()["name"], "bare");
    let picture = fs::read(model_dir("digits").join("examples/0.png")).unwrap();
    let error = client
        .predict("bare", "image/png", &picture)
        .error(415, "unsupported_media");
    assert!(error.contains("tensors only"), "{error}");
    assert!(!host.announcement.contains("predict"));
}
