//! Guests of one's own, in Rust and in Python: do they build, pack and answer as the documentation
//! says, do the limits hold for them, and is no state shared?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::{Glovebox, Outcome};
use crate::harness::files::{
    Manifest, expected, manifest, model_dir, names_in, temporary, workspace,
};
use crate::harness::guest;
use crate::harness::host::Host;
use crate::harness::onnx;
use crate::harness::project::Project;
use crate::harness::python;

/// The guest of `guests/own`, built once.
fn own() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| Project::with_source("own-guest", "own/lib.rs").build())
}

/// Packs the bundled wine with the guest of `guests/own`, told by `model.toml` what `load` does.
fn pack_own(dir: &Path, load: &str) -> Outcome {
    let config = dir.join("model.toml");
    fs::write(
        &config,
        format!("name = \"own\"\n[output]\nload = {load:?}\n"),
    )
    .unwrap();
    Glovebox::new("pack")
        .arg(model_dir("wine").join("wine.onnx"))
        .option("--config", &config)
        .option("--guest", own())
        .option("--cpu", "5s")
        .option("--output", dir.join("own.wasm"))
        .run()
}

/// The bundled wine with the guest of `guests/own`, packed once and compiled.
fn packed_own() -> &'static Path {
    static PACKED: OnceLock<PathBuf> = OnceLock::new();
    PACKED.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-guest");
        fs::create_dir_all(&dir).unwrap();
        pack_own(&dir, "").success();
        let file = dir.join("own.wasm");
        assert_eq!(
            run(&file, "first"),
            "text/plain: 101 first 0 loaded+first\n"
        );
        file
    })
}

/// Asks a component once. That compiles it at once; for `up` it would be compiled where nobody else
/// wants to run, and other tests do.
fn run(component: &Path, body: &str) -> String {
    let dir = temporary();
    let input = dir.path().join("input.txt");
    fs::write(&input, body).unwrap();
    let run = Glovebox::new("run").arg(component);
    run.option("--input", &input).run().success()
}

/// A host with one model under these limits.
fn serve(name: &str, component: &Path, limits: &str) -> Host {
    Manifest::new(&manifest(&[(name, component, limits)]))
        .up()
        .serve()
}

/// Asks a model for the same from many threads; the answers.
fn ask_at_once(client: &Client, model: &str, body: &str) -> Vec<String> {
    thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let ask = || client.predict(model, "text/plain", body.as_bytes());
                scope.spawn(move || (0..8).map(|_| ask().text()).collect::<Vec<_>>())
            })
            .collect();
        asking
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn a_new_project_builds_and_answers_at_once() {
    let project = Project::new("wine-lines");
    let guest = project.build();
    let packed = Glovebox::new("pack")
        .in_dir(&project.dir)
        .arg("model.onnx")
        .option("--guest", &guest)
        .run()
        .success();
    assert!(packed.contains("1 examples right"), "{packed}");
    let answer = Glovebox::new("run")
        .in_dir(&project.dir)
        .arg("model.wasm")
        .option("--input", "examples/cultivar-2.csv")
        .run()
        .json();
    assert_eq!(answer["label"], "cultivar 2");
    let case = &expected("wine")[1];
    let (score, right) = (&answer["score"], &case["scores"][1]);
    let difference = score.as_f64().unwrap() - right.as_f64().unwrap();
    assert!(difference.abs() < 1e-6, "{score} is not {right}");

    let host = serve("wine-lines", &project.dir.join("model.wasm"), "");
    let client = host.client();
    let line = fs::read(project.dir.join("examples/cultivar-2.csv")).unwrap();
    let answer = client.predict("wine-lines", "Text/CSV; charset=utf-8", &line);
    assert_eq!(answer.ok()["label"], "cultivar 2");
    let answer = client.predict("wine-lines", "text/csv", b"1,2");
    let error = answer.error(422, "invalid_input");
    assert!(error.contains("2 numbers, not 13"), "{error}");
    let answer = client.predict("wine-lines", "application/json", b"{}");
    let error = answer.error(415, "unsupported_media");
    assert!(error.contains("send text/csv"), "{error}");
    let request = json!({ "inputs": [{
        "name": "features", "datatype": "FP32", "shape": [1, 13], "data": case["data"],
    }]});
    assert_eq!(
        client.infer("wine-lines", &request).ok()["outputs"][0]["data"],
        json!([1])
    );
}

#[test]
fn the_guest_of_the_documentation_builds() {
    let text = fs::read_to_string(workspace().join("docs/guests.md")).unwrap();
    let (_, rest) = text.split_once("```rust\n").unwrap();
    let (source, _) = rest.split_once("```").unwrap();
    let project = Project::new("from-the-docs");
    fs::write(project.dir.join("src/lib.rs"), source).unwrap();
    let guest = fs::read(project.build()).unwrap();
    wasmparser::validate(&guest).unwrap();
}

#[test]
fn a_guest_changes_the_tensors_of_its_model() {
    let host = serve("own", packed_own(), "");
    for case in expected("wine").iter().take(5) {
        let data = case["data"].as_array().unwrap().iter();
        let twice: Vec<_> = data.map(|number| number.as_f64().unwrap() * 2.0).collect();
        let request = json!({
            "inputs": [{ "name": "twice", "datatype": "FP32", "shape": [1, 13], "data": twice }],
            "outputs": [{ "name": "probabilities" }],
        });
        let answer = host.client().infer("own", &request).ok();
        let scores = answer["outputs"][0]["data"].as_array().unwrap();
        for (score, right) in scores.iter().zip(case["scores"].as_array().unwrap()) {
            let difference = score.as_f64().unwrap() - right.as_f64().unwrap();
            assert!(difference.abs() < 1e-5, "{score} is not {right}");
        }
    }
    let request = json!({ "inputs": [{
        "name": "features", "datatype": "FP32", "shape": [1, 13], "data": vec![0; 13],
    }]});
    host.client()
        .infer("own", &request)
        .error(400, "invalid_request");
}

#[test]
fn no_request_sees_the_state_of_another() {
    let host = serve("own", packed_own(), "");
    for body in ["one", "two"] {
        // What was kept while packing, and this request.
        let alone = format!("text/plain: 101 {body} 0 loaded+{body}");
        for answer in ask_at_once(&host.client(), "own", body) {
            assert_eq!(answer, alone);
        }
    }
}

#[test]
fn the_limits_hold_for_a_guest_of_ones_own() {
    let limits = "cpu = \"200ms\"\nmemory = \"64MiB\"";
    let host = serve("own", packed_own(), limits);
    let ask = |body: &str| host.client().predict("own", "text/plain", body.as_bytes());
    ask("loop").error(504, "cpu_limit");
    ask("grow").error(502, "memory_limit");
    ask("panic").error(502, "trap");
    ask("refuse").error(413, "too_large");
    assert_eq!(ask("well").text(), "text/plain: 101 well 0 loaded+well");
}

#[test]
fn a_guest_that_does_not_load_says_why() {
    let dir = temporary();
    let line = pack_own(dir.path(), "refuse").refusal();
    assert!(
        line.contains("the guest does not take this model: it is not"),
        "{line}"
    );
    assert!(!line.contains('\x1b'), "{line}");
    let line = pack_own(dir.path(), "panic").refusal();
    assert!(
        line.contains("the guest panics while it loads the model"),
        "{line}"
    );
    assert!(line.contains("this guest is afraid"), "{line}");
    let line = pack_own(dir.path(), "loop").refusal();
    assert!(line.contains("CPU limit of 5s"), "{line}");
    assert!(!dir.path().join("own.wasm").exists());
}

#[test]
fn what_is_no_guest_is_refused_with_what_to_do() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let cases = [
        (b"text".to_vec(), "this is a text, not a guest in wasm"),
        (
            wat("(module (import \"env\" \"now\" (func)))"),
            "it imports env.now, and a guest imports nothing",
        ),
        (
            guest::component("(i32.const 2048)"),
            "it does not export pack_reserve",
        ),
        (
            wat("(component (core module (memory 1)) (core module (memory 1)))"),
            "it has 2 core modules",
        ),
        (
            wat("(component (core module (memory 1) (func $f) (start $f)))"),
            "it runs code when it is instantiated",
        ),
        (wat("(component (core module))"), "it defines no memory"),
        (
            wat("(component (core module (memory 1) (data $d \"x\") (func data.drop $d)))"),
            "its code refers to data segments",
        ),
    ];
    let dir = temporary();
    let file = dir.path().join("guest.wasm");
    for (bytes, expected) in cases {
        fs::write(&file, bytes).unwrap();
        let line = Glovebox::new("pack")
            .arg(model_dir("wine").join("wine.onnx"))
            .option("--guest", &file)
            .option("--output", dir.path().join("out.wasm"))
            .run()
            .refusal();
        assert!(line.contains(expected), "{line}");
        assert!(line.contains("guest.wasm"), "{line}");
    }
}

/// A guest that loads any model, of which it keeps nothing, and says that a request takes so much memory.
fn claiming(bytes: u32) -> Vec<u8> {
    let surveyed = json!({ "surveyed": { "kept_bytes": 8, "plan_at": 30000, "plan_bytes": 8 } });
    let signature = json!({ "inputs": [], "outputs": [], "media": ["text/plain"] });
    let placed = json!({ "placed": {
        "image_bytes": 65536, "stack_bytes": 0, "signature": signature, "class_names": [],
    } });
    let (mut reports, mut places) = (String::new(), Vec::new());
    for (at, report) in [
        (20_000_u64, surveyed.to_string()),
        (25_000, placed.to_string()),
    ] {
        places.push(at << 32 | report.len() as u64);
        reports += &format!("(data (i32.const {at}) {report:?})");
    }
    let (surveyed, placed) = (places[0], places[1]);
    let fields = format!(
        r#"{reports}
  (func (export "pack_contract_1"))
  (func (export "pack_reserve") (param i32))
  (func (export "pack_stage") (param i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 0))))
  (func (export "pack_load") (param i32 i32 i32 i32 i32 i32 i32) (result i64)
    (select (i64.const {placed}) (i64.const {surveyed}) (local.get 5)))
  (func (export "pack_rehearse") (result i32) (i32.const {bytes}))
  (func (export "pack_panic") (result i64) (i64.const 0))"#
    );
    guest::Guest::infer("(i32.const 2048)")
        .fields(&fields)
        .component()
}

#[test]
fn a_guest_that_asks_for_more_memory_than_it_has_is_refused() {
    let dir = temporary();
    let (model, file) = (dir.path().join("model.onnx"), dir.path().join("guest.wasm"));
    fs::write(&model, onnx::identity().model()).unwrap();
    let pack = |bytes: u32| {
        fs::write(&file, claiming(bytes)).unwrap();
        let pack = Glovebox::new("pack").arg(&model).option("--guest", &file);
        pack.run()
    };
    let memory = 1 << 20;
    for bytes in [u32::MAX, memory + 1] {
        let line = pack(bytes).refusal();
        assert!(
            line.contains("the guest failed: it says that a request takes"),
            "{line}"
        );
        assert!(line.contains("all that it has is 1 MiB"), "{line}");
        assert_eq!(names_in(dir.path()), ["guest.wasm", "model.onnx"]);
    }
    pack(memory).success();
}

#[test]
fn a_new_project_writes_over_nothing_and_has_a_name_that_cargo_takes() {
    let dir = temporary();
    let new = |name: &str| Glovebox::new("new").in_dir(dir.path()).arg(name).run();
    let said = new("first").success();
    assert!(said.contains("cargo build --release"), "{said}");
    assert!(new("first").refusal().contains("is there already"));
    fs::create_dir(dir.path().join("empty")).unwrap();
    new("empty").success();
    for name in ["1st", "a.b", "a b", "/", "ä"] {
        let line = new(name).refusal();
        assert!(line.contains("cannot be the name of a crate"), "{line}");
    }
    let line = Glovebox::new("new")
        .in_dir(dir.path())
        .arg("other")
        .option("--model", "missing.onnx")
        .run()
        .refusal();
    assert!(line.contains("missing.onnx"), "{line}");
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_new_project_takes_a_model_of_ones_own() {
    let dir = temporary();
    let digits = model_dir("digits").join("digits.onnx");
    Glovebox::new("new")
        .in_dir(dir.path())
        .arg("mine")
        .option("--model", &digits)
        .run()
        .success();
    let copy = fs::read(dir.path().join("mine/model.onnx")).unwrap();
    assert!(copy == fs::read(&digits).unwrap());
}

/// The guest in Python with its bad habits (`guests/python`), made once.
fn in_python() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let python = python::with("guest", "../examples/python-guest/requirements.txt");
        let component = Path::new(env!("CARGO_TARGET_TMPDIR")).join("naughty.wasm");
        let root = workspace();
        let output = Command::new(python.with_file_name("componentize-py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--wit-path")
            .arg(root.join("wit"))
            .args(["--world", "model-function", "componentize", "--stub-wasi"])
            .arg("--python-path")
            .arg(root.join("tests/guests/python"))
            .arg("--python-path")
            .arg(root.join("examples/python-guest"))
            .args(["naughty", "--output"])
            .arg(&component)
            .output()
            .expect("componentize-py runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        component
    })
}

fn python_cases() -> Vec<Value> {
    let file = workspace().join("examples/python-guest/expected.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// One test for all that needs the component: to make and to compile it takes most of a minute.
#[test]
fn a_guest_in_python_is_served_under_the_same_limits() {
    assert_eq!(run(in_python(), "count"), "1\n");
    let limits = "cpu = \"2s\"\nmemory = \"128MiB\"";
    let host = serve("python", in_python(), limits);
    let client = host.client();
    let (mut data, mut right) = (Vec::new(), Vec::new());
    for case in python_cases() {
        data.extend(case["features"].as_array().unwrap().clone());
        right.extend(case["probabilities"].as_array().unwrap().clone());
    }
    let rows = right.len() / 3;
    let request = json!({ "inputs": [{
        "name": "features", "datatype": "FP32", "shape": [rows, 13], "data": data,
    }]});
    let answer = client.infer("python", &request).ok();
    let scores = answer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(scores.len(), right.len());
    for (score, right) in scores.iter().zip(&right) {
        let difference = score.as_f64().unwrap() - right.as_f64().unwrap();
        assert!(difference.abs() < 1e-4, "{score} is not {right}");
    }
    let example = fs::read(workspace().join("examples/python-guest/example.json")).unwrap();
    let answer = client.predict("python", "application/json", &example).ok();
    assert!(answer["label"].as_str().unwrap().starts_with("cultivar"));
    client
        .predict("python", "application/json", b"{}")
        .error(422, "invalid_input");

    for answer in ask_at_once(&client, "python", "count") {
        assert_eq!(answer, "1", "a call sees another");
    }
    let ask = |body: &str| client.predict("python", "text/plain", body.as_bytes());
    ask("loop").error(504, "cpu_limit");
    ask("grow").error(502, "memory_limit");
    ask("fail").error(502, "trap");
    assert_eq!(ask("count").text(), "1");
}
