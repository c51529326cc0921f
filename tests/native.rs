//! Models whose graph the host runs: they answer what they do in the sandbox, if the operator lets
//! them, and from the very file that they were packed from; and components of others find their graphs
//! as `wasi:nn` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::Answer;
use crate::harness::command::{Glovebox, Outcome};
use crate::harness::files::{
    Manifest, copy_model, expected, manifest, model_dir, names_in, temporary, workspace,
};
use crate::harness::grpc::{Grpc, digits_raw, digits_typed, floats, pixels, status};
use crate::harness::host::Host;
use crate::harness::onnx::{BOOL, Graph, INT16, Node};
use crate::harness::probe::{HEAD, route};
use crate::text;

const TOLERANCE: f64 = 1e-5;

/// A model in both forms, each served by a host.
struct Twins {
    sandboxed: Host,
    native: Host,
}

impl Twins {
    fn of(onnx: &Path) -> Self {
        let packed = Packed::of(onnx);
        let in_sandbox = packed.dir.path().join("in-sandbox.wasm");
        pack(onnx, &[], &in_sandbox).success();
        Self {
            sandboxed: Glovebox::new("up").option("--from", in_sandbox).serve(),
            native: packed.manifest(&packed.allowed()).up().serve(),
        }
    }

    /// The answers to one question.
    fn answers(&self, ask: impl Fn(&Host) -> Answer) -> [Answer; 2] {
        [&self.native, &self.sandboxed].map(ask)
    }

    /// Both answer alike; what.
    #[track_caller]
    fn agree(&self, ask: impl Fn(&Host) -> Answer) -> Value {
        let [native, sandboxed] = self.answers(ask);
        let (native, sandboxed) = (native.ok(), sandboxed.ok());
        assert_same(&native, &sandboxed);
        native
    }

    /// Both refuse with the same words.
    #[track_caller]
    fn refuse(&self, ask: impl Fn(&Host) -> Answer) {
        let [native, sandboxed] = self.answers(ask).map(|answer| {
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("request_id");
            (answer.status, body)
        });
        assert!(native.0 >= 400, "{native:?}");
        assert_eq!(native, sandboxed);
    }
}

/// A model packed for its graph to be run by the host.
struct Packed {
    dir: TempDir,
    onnx: PathBuf,
    component: PathBuf,
    name: String,
    /// What `pack` has printed.
    said: String,
}

impl Packed {
    fn of(onnx: &Path) -> Self {
        let dir = temporary();
        let component = dir.path().join("native.wasm");
        let said = pack(onnx, &["--native"], &component).success();
        let about = inspect(&component);
        Self {
            onnx: onnx.to_owned(),
            name: about["model"]["name"].as_str().unwrap().to_owned(),
            component,
            said,
            dir,
        }
    }

    /// What an operator writes who trusts it.
    fn allowed(&self) -> String {
        with_graph(&self.name, &self.onnx)
    }

    fn manifest(&self, lines: &str) -> Manifest {
        Manifest::new(&manifest(&[(&self.name, &self.component, lines)]))
    }
}

fn with_graph(name: &str, onnx: &Path) -> String {
    format!("execution = \"native\"\ngraphs = {{ {name:?} = {onnx:?} }}")
}

fn pack(onnx: &Path, options: &[&str], output: &Path) -> Outcome {
    let pack = Glovebox::new("pack").arg(onnx);
    let pack = options.iter().fold(pack, Glovebox::arg);
    pack.option("--output", output).run()
}

fn inspect(component: &Path) -> Value {
    let inspect = Glovebox::new("inspect").arg(component).arg("--json");
    inspect.run().json()
}

fn bundled(model: &str) -> PathBuf {
    model_dir(model).join(format!("{model}.onnx"))
}

/// Texts, lists and keys are equal, numbers nearly.
#[track_caller]
fn assert_same(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let scale = other.abs().max(1.0);
            assert!((one - other).abs() <= TOLERANCE * scale, "{one} ≠ {other}");
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(other) {
                assert_same(one, other);
            }
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{one:?} ≠ {other:?}");
            for (one, other) in one.values().zip(other.values()) {
                assert_same(one, other);
            }
        }
        _ => assert_eq!(one, other),
    }
}

/// All cases of a bundled model in one request.
fn batch(model: &str, input: &str) -> Value {
    let cases = expected(model);
    let mut shape = cases[0]["shape"].clone();
    shape[0] = json!(cases.len());
    let rows = cases.iter().map(|case| case["data"].as_array().unwrap());
    let data: Vec<_> = rows.flatten().collect();
    json!({ "inputs": [{ "name": input, "datatype": "FP32", "shape": shape, "data": data }] })
}

#[test]
fn digits_are_read_as_in_the_sandbox() {
    let twins = Twins::of(&bundled("digits"));
    let request = batch("digits", "image");
    let answer = twins.agree(|host| host.client().infer("digits", &request));
    let rows = expected("digits").len();
    assert_eq!(answer["outputs"][0]["shape"], json!([rows, 10]));
    for digit in 0..10 {
        let file = model_dir("digits").join(format!("examples/{digit}.png"));
        let picture = fs::read(file).unwrap();
        let answer = twins.agree(|host| host.client().predict("digits", "image/png", &picture));
        assert_eq!(answer["label"], digit.to_string());
    }
}

#[test]
fn wines_are_judged_as_in_the_sandbox() {
    let twins = Twins::of(&bundled("wine"));
    let about = twins.agree(|host| host.client().get("/v2/models/wine"));
    let input = about["inputs"][0]["name"].as_str().unwrap();
    let request = batch("wine", input);
    twins.agree(|host| host.client().infer("wine", &request));
    let files: Vec<_> = expected("wine")
        .iter()
        .filter_map(|case| Some(model_dir("wine").join(case["file"].as_str()?)))
        .collect();
    assert!(files.len() >= 3);
    for file in files {
        let record = fs::read(file).unwrap();
        twins.agree(|host| host.client().predict("wine", "application/json", &record));
    }
}

fn texts_are_answered_as_in_the_sandbox(model: &str, config: &str) {
    let dir = text::folder(model, config);
    let twins = Twins::of(&dir.path().join(format!("{model}.onnx")));
    let cases = text::expected()[model].as_array().unwrap();
    let together: Value = cases.iter().map(text::passage).collect();
    let alone = cases.iter().take(8).map(text::passage);
    for body in alone.chain([together]) {
        let body = body.to_string();
        twins.agree(|host| {
            host.client()
                .predict(model, "application/json", body.as_bytes())
        });
    }
}

#[test]
fn texts_have_the_same_vectors_as_in_the_sandbox() {
    texts_are_answered_as_in_the_sandbox("embed", text::EMBED);
}

#[test]
fn texts_and_pairs_have_the_same_classes_as_in_the_sandbox() {
    texts_are_answered_as_in_the_sandbox("classify", text::CLASSIFY);
}

#[test]
fn texts_have_the_same_entities_as_in_the_sandbox() {
    texts_are_answered_as_in_the_sandbox("tag", text::TAG);
}

#[test]
fn rows_of_tokens_are_taken_as_in_the_sandbox() {
    let dir = text::folder("embed", text::EMBED);
    let twins = Twins::of(&dir.path().join("embed.onnx"));
    let names = ["input_ids", "attention_mask", "token_type_ids"];
    let tensor = |name: &str, shape: &Value, data: &Value| json!({ "name": name, "datatype": "INT64", "shape": shape, "data": data });
    let rows = text::expected()["rows"].as_array().unwrap();
    assert!(rows.iter().any(|case| case["shape"][0] != 1));
    for case in rows {
        let inputs = names.map(|name| tensor(name, &case["shape"], &case[name]));
        let request = json!({ "inputs": inputs });
        let answer = twins.agree(|host| host.client().infer("embed", &request));
        assert_eq!(answer["outputs"][0]["shape"][1], case["shape"][1]);
    }
    let ones = |shape: [usize; 2]| (json!(shape), json!(vec![1; shape[0] * shape[1]]));
    for shapes in [
        [[1, 25]; 3],
        [[2, 4], [2, 4], [2, 5]],
        [[0, 4]; 3],
        [[1, 0]; 3],
    ] {
        let inputs: Value = names
            .iter()
            .zip(shapes.map(ones))
            .map(|(name, (shape, data))| tensor(name, &shape, &data))
            .collect();
        let request = json!({ "inputs": inputs });
        twins.refuse(|host| host.client().infer("embed", &request));
    }
}

#[test]
fn photos_have_the_same_masks_as_in_the_sandbox() {
    let dir = temporary();
    let onnx = dir.path().join("mask.onnx");
    fs::write(&onnx, identity_of_pictures()).unwrap();
    let tables = "[input]\nkind = \"image\"\ncolour = \"rgb\"\nwidth = 8\nheight = 8\n\
                  [output]\nkind = \"segmentation\"\ntensor = \"y\"\n\
                  labels = [\"red\", \"green\", \"blue\"]\n";
    fs::write(dir.path().join("model.toml"), tables).unwrap();
    let twins = Twins::of(&onnx);
    for (file, content_type) in [("wide.png", "image/png"), ("420.jpg", "image/jpeg")] {
        let picture = fs::read(workspace().join("tests/images/pictures").join(file)).unwrap();
        let [native, sandboxed] =
            twins.answers(|host| host.client().predict("mask", content_type, &picture));
        assert_eq!(native.status, 200, "{}", native.text());
        assert_eq!(native.header("content-type"), "image/png");
        assert!(native.body == sandboxed.body, "{file}");
    }
}

/// A graph that gives back pictures of 8 x 8 in three colours.
fn identity_of_pictures() -> Vec<u8> {
    let node = Node::new("Identity", "same", &["x"], &["y"]);
    let graph = Graph::new().input("x", &[1, 3, 8, 8]);
    graph.output("y", &[1, 3, 8, 8]).node(node).model()
}

#[test]
fn grpc_has_the_same_numbers_as_in_the_sandbox() {
    let twins = Twins::of(&bundled("digits"));
    let ask = |host: &Host| {
        let grpc = Grpc::connect(&host.client());
        let typed = grpc.infer(&digits_typed(&pixels()));
        let raw = grpc.infer(&digits_raw(&pixels()));
        [floats(&typed), floats(&raw)]
    };
    let (native, sandboxed) = (ask(&twins.native), ask(&twins.sandboxed));
    let pairs = native.iter().flatten().zip(sandboxed.iter().flatten());
    assert_eq!(pairs.clone().count(), 20);
    for (native, sandboxed) in pairs {
        assert!((native - sandboxed).abs() <= TOLERANCE as f32);
    }
    let wrong = digits_raw(&pixels()[1..]);
    let reply = Grpc::connect(&twins.native.client()).call("ModelInfer", &wrong);
    assert_eq!(reply.code(), status::INVALID, "{reply:?}");
}

#[test]
fn wrong_requests_are_refused_as_in_the_sandbox() {
    let twins = Twins::of(&bundled("digits"));
    let image = |shape: &[u64], datatype: &str| {
        let elements = shape.iter().product::<u64>() as usize;
        json!({ "inputs": [
            { "name": "image", "datatype": datatype, "shape": shape, "data": vec![0; elements] },
        ] })
    };
    for request in [
        image(&[1, 1, 8, 9], "FP32"),
        image(&[1, 1, 8, 8], "INT64"),
        json!({ "inputs": [] }),
    ] {
        twins.refuse(|host| host.client().infer("digits", &request));
    }
    twins.refuse(|host| host.client().predict("digits", "text/plain", b"7"));
    twins.refuse(|host| host.client().predict("digits", "image/png", b"none"));
}

#[test]
fn requests_that_are_put_together_have_each_their_own_answer() {
    let packed = Packed::of(&bundled("digits"));
    let together = "batch = { max = 8, delay = \"500ms\" }\n";
    let lines = [together, &packed.allowed()].concat();
    let host = packed.manifest(&lines).up().serve();
    let (client, cases) = (host.client(), expected("digits"));
    let start = Barrier::new(8);
    let ask = |case: &Value| {
        let (shape, data) = (&case["shape"], &case["data"]);
        let input = json!({ "name": "image", "datatype": "FP32", "shape": shape, "data": data });
        start.wait();
        client.infer("digits", &json!({ "inputs": [input] })).ok()
    };
    thread::scope(|scope| {
        let ask = &ask;
        for case in cases.iter().take(8) {
            scope.spawn(move || assert_same(&ask(case)["outputs"][0]["data"], &case["scores"]));
        }
    });
    let stats = client.get("/v2/models/digits/stats").ok()["model_stats"][0].clone();
    assert_eq!(stats["inference_count"], 8);
    assert!(stats["execution_count"].as_u64().unwrap() < 8, "{stats}");
}

#[test]
fn one_output_of_several_can_be_asked_for() {
    let dir = temporary();
    let onnx = dir.path().join("two.onnx");
    let graph = Graph::new().input("x", &[-1, 2]);
    let graph = graph.output("up", &[-1, 2]).output("down", &[-1, 2]);
    let graph = graph
        .node(Node::new("Abs", "abs", &["x"], &["up"]))
        .node(Node::new("Neg", "neg", &["up"], &["down"]));
    fs::write(&onnx, graph.model()).unwrap();
    let twins = Twins::of(&onnx);
    let request = json!({
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2] }],
        "outputs": [{ "name": "down" }],
    });
    let answer = twins.agree(|host| host.client().infer("two", &request));
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(answer["outputs"][0]["data"], json!([-1.0, -2.0]));
}

#[test]
fn what_pack_prints_is_what_the_operator_writes() {
    let packed = Packed::of(&bundled("digits"));
    let (_, lines) = packed
        .said
        .split_once("[component.<id>.tool.glovebox]\n")
        .unwrap();
    let host = packed.manifest(lines).up().serve();
    let request = batch("digits", "image");
    host.client().infer("digits", &request).ok();
}

#[test]
fn a_packed_model_says_that_it_needs_a_graph_and_holds_none() {
    let packed = Packed::of(&bundled("digits"));
    let about = inspect(&packed.component);
    let graph = &about["model"]["graph"];
    assert_eq!(graph["name"], "digits");
    assert_eq!(graph["sha256"], about["model"]["source_sha256"]);
    let imports = about["imports"].as_array().unwrap().iter();
    let imports: Vec<_> = imports.map(|name| name.as_str().unwrap()).collect();
    assert!(!imports.is_empty());
    assert!(
        imports.iter().all(|name| name.starts_with("wasi:nn/")),
        "{imports:?}"
    );
    let text = Glovebox::new("inspect")
        .arg(&packed.component)
        .run()
        .success();
    assert!(text.contains("graph        digits (sha256:"), "{text}");
    let (component, weights) = (
        fs::read(&packed.component).unwrap(),
        fs::read(&packed.onnx).unwrap(),
    );
    let middle = &weights[weights.len() / 2..][..64];
    assert!(!component.windows(64).any(|window| window == middle));
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let dir = text::folder("embed", text::EMBED);
    let onnx = dir.path().join("embed.onnx");
    let (one, two) = (Packed::of(&onnx), Packed::of(&onnx));
    assert!(fs::read(one.component).unwrap() == fs::read(two.component).unwrap());
}

#[test]
fn without_the_operator_s_word_nothing_runs_natively() {
    let packed = Packed::of(&bundled("digits"));
    let line = packed.manifest("").up().run().refusal();
    assert!(
        line.contains("wasi:nn") && line.contains("execution"),
        "{line}"
    );
    let line = Glovebox::new("up").option("--from", &packed.component);
    let line = line.run().refusal();
    assert!(line.contains("wasi:nn"), "{line}");
}

#[test]
fn a_graph_that_the_operator_does_not_give_is_named() {
    let packed = Packed::of(&bundled("digits"));
    let other = with_graph("wine", &bundled("wine"));
    let line = packed.manifest(&other).up().run().refusal();
    assert!(line.contains("digits"), "{line}");
}

#[test]
fn another_file_than_that_which_was_packed_is_refused() {
    let packed = Packed::of(&bundled("digits"));
    let other = packed.dir.path().join("other.onnx");
    let mut bytes = fs::read(&packed.onnx).unwrap();
    // A field that no ONNX reader knows: the same model in another file.
    bytes.extend([0xf8, 0x7f, 0]);
    fs::write(&other, bytes).unwrap();
    let line = packed.manifest(&with_graph("digits", &other)).up().run();
    let line = line.refusal();
    assert!(
        line.contains("other.onnx") && line.contains("sha256"),
        "{line}"
    );
}

#[test]
fn examples_are_checked_before_anything_is_written() {
    let dir = temporary();
    copy_model("digits", dir.path());
    let config = dir.path().join("model.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("label = \"7\"", "label = \"1\"")).unwrap();
    let before = names_in(dir.path());
    let pack = pack(
        &dir.path().join("digits.onnx"),
        &["--native"],
        &dir.path().join("digits.wasm"),
    );
    let line = pack.refusal();
    assert!(line.contains("examples/7.png fails"), "{line}");
    assert_eq!(names_in(dir.path()), before);
}

/// Which of two numbers are none, and both as numbers of 16 bits.
fn flags_and_short_numbers(outputs: &[(&str, u64)]) -> Vec<u8> {
    let graph = Graph::new()
        .input("x", &[1, 2])
        .node(Node::new("IsNaN", "none", &["x"], &["is_none"]))
        .node(Node::new("Cast", "cast", &["x"], &["short"]).int("to", INT16 as i64));
    let outputs = outputs.iter();
    let graph = outputs.fold(graph, |graph, (name, datatype)| {
        graph.output_of(*datatype, name, &[1, 2])
    });
    graph.model()
}

#[test]
fn flags_go_through_wasi_nn_as_bytes_and_are_flags_again() {
    let dir = temporary();
    let onnx = dir.path().join("flags.onnx");
    fs::write(&onnx, flags_and_short_numbers(&[("is_none", BOOL)])).unwrap();
    let twins = Twins::of(&onnx);
    let request = json!({ "inputs": [
        { "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2] },
    ] });
    let answer = twins.agree(|host| host.client().infer("flags", &request));
    assert_eq!(answer["outputs"][0]["datatype"], "BOOL");
    assert_eq!(answer["outputs"][0]["data"], json!([false, false]));
}

#[test]
fn an_output_that_wasi_nn_lacks_is_left_out_by_name() {
    let dir = temporary();
    let onnx = dir.path().join("both.onnx");
    let both = [("is_none", BOOL), ("short", INT16)];
    fs::write(&onnx, flags_and_short_numbers(&both)).unwrap();
    let packed = Packed::of(&onnx);
    let line = "left out: output \"short\", for it is INT16, of which wasi:nn has none\n";
    assert!(packed.said.contains(line), "{}", packed.said);
    let request = json!({ "inputs": [
        { "name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 2] },
    ] });
    let host = packed.manifest(&packed.allowed()).up().serve();
    let answer = host.client().infer("both", &request).ok();
    let outputs = answer["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0]["name"], "is_none");
}

#[test]
fn a_model_of_which_wasi_nn_has_no_output_is_refused() {
    let dir = temporary();
    let onnx = dir.path().join("short.onnx");
    fs::write(&onnx, flags_and_short_numbers(&[("short", INT16)])).unwrap();
    pack(&onnx, &[], &dir.path().join("in-sandbox.wasm")).success();
    let line = pack(&onnx, &["--native"], &dir.path().join("native.wasm")).refusal();
    assert!(line.contains("\"short\" is INT16"), "{line}");
}

/// The component of `guests/classify` with the digits, at `/classify/...`.
fn classifier() -> Host {
    let dir = temporary();
    let component = dir.path().join("classify.wasm");
    fs::write(&component, glovebox_test_guests::CLASSIFY).unwrap();
    let (route, graph) = (
        route("/classify/...", "classify"),
        with_graph("digits", &bundled("digits")),
    );
    let manifest = Manifest::new(&format!(
        "{HEAD}{route}[component.classify]\nsource = {component:?}\n\
         [component.classify.tool.glovebox]\n{graph}\n"
    ));
    manifest.up().serve()
}

/// The best five classes of scores, as the component finds them.
fn best(scores: &Value) -> Vec<(usize, f64)> {
    let scores = scores.as_array().unwrap().iter();
    let powers: Vec<_> = scores.map(|score| score.as_f64().unwrap().exp()).collect();
    let sum: f64 = powers.iter().sum();
    let mut classes: Vec<_> = powers.iter().map(|power| power / sum).enumerate().collect();
    classes.sort_by(|one, other| other.1.total_cmp(&one.1));
    classes.truncate(5);
    classes
}

#[test]
fn a_component_of_others_classifies_as_onnx_runtime_does() {
    let host = classifier();
    for case in expected("digits").iter().take(10) {
        let pixels = case["data"].as_array().unwrap().iter();
        let picture: Vec<u8> = pixels
            .flat_map(|pixel| (pixel.as_f64().unwrap() as f32).to_le_bytes())
            .collect();
        let answer = host
            .client()
            .post("/classify/digits", "application/octet-stream", &picture)
            .ok();
        let (found, best) = (answer.as_array().unwrap(), best(&case["scores"]));
        assert_eq!(found[0]["class"], best[0].0);
        assert_eq!(found.len(), best.len());
        for (found, (_, chance)) in found.iter().zip(best) {
            let difference = found["chance"].as_f64().unwrap() - chance;
            assert!(difference.abs() <= TOLERANCE, "{answer}");
        }
    }
}

#[test]
fn a_component_of_others_hears_what_is_wrong_from_wasi_nn() {
    let host = classifier();
    let ask = |path: &str, body: &[u8]| {
        let answer = host.client().post(path, "application/octet-stream", body);
        assert_eq!(answer.status, 500, "{}", answer.text());
        answer.text()
    };
    let unknown = ask("/classify/wine", &[0; 256]);
    assert!(unknown.starts_with("ErrorCode::NotFound"), "{unknown}");
    let short = ask("/classify/digits", &[0; 255]);
    assert!(short.starts_with("ErrorCode::InvalidArgument"), "{short}");
    let bytes = ask("/classify", &fs::read(bundled("digits")).unwrap());
    assert!(bytes.starts_with("ErrorCode::Security"), "{bytes}");
}
