//! Models that answer HTTP by themselves: packed with a front, composed by hand, or put together by
//! a manifest. They answer what the same model does behind the host's own paths.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use glovebox::model::runtime::{BARE_FRONT, FRONT};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, expected, manifest, model_dir, temporary};
use crate::harness::host::Host;
use crate::harness::probe::{HEAD, ended, route};
use crate::harness::{bodies, guest, onnx};

/// The bundled digits with their front, packed once.
fn digits_http() -> &'static Path {
    static PACKED: OnceLock<PathBuf> = OnceLock::new();
    PACKED.get_or_init(|| {
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("digits-http.wasm");
        pack(&["--http"], &output).success();
        output
    })
}

fn pack(options: &[&str], output: &Path) -> crate::harness::command::Outcome {
    let pack = Glovebox::new("pack").arg(model_dir("digits").join("digits.onnx"));
    let pack = options.iter().fold(pack, Glovebox::arg);
    pack.option("--output", output).run()
}

/// A front like ours that the host does not know, in a folder of its own.
fn front() -> (TempDir, PathBuf) {
    file("front.wasm", BARE_FRONT)
}

fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = temporary();
    let file = dir.path().join(name);
    fs::write(&file, bytes).unwrap();
    (dir, file)
}

/// A manifest with one component, `model`, at the path of the digits.
fn at_the_path_of_the_model(source: &Path, lines: &str) -> Manifest {
    let route = route("/v2/models/digits/...", "model");
    Manifest::new(&format!(
        "{HEAD}{route}[component.model]\nsource = {source:?}\n{lines}\n"
    ))
}

fn names(about: &Value, key: &str) -> Vec<String> {
    let names = about[key].as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Everything that a client can ask of the digits, and some that it should not.
fn answers(client: &Client) -> Vec<(&'static str, Answer)> {
    let path = "/v2/models/digits";
    let case = expected("digits").swap_remove(0);
    let tensor = json!({ "inputs": [
        { "name": "image", "datatype": "FP32", "shape": case["shape"], "data": case["data"] },
    ] });
    let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    let wrong = json!({ "inputs": [
        { "name": "image", "datatype": "FP32", "shape": [1, 2], "data": [1, 2] },
    ] });
    vec![
        ("metadata", client.get(path)),
        ("ready", client.get(&format!("{path}/ready"))),
        ("infer", client.infer("digits", &tensor)),
        ("predict", client.predict("digits", "image/png", &picture)),
        ("wrong shape", client.infer("digits", &wrong)),
        (
            "no JSON",
            client.post(&format!("{path}/infer"), "application/json", b"{"),
        ),
        ("no picture", client.predict("digits", "image/png", b"none")),
        ("wrong media", client.predict("digits", "text/plain", b"7")),
        ("unknown path", client.get(&format!("{path}/unknown"))),
        ("wrong method", client.get(&format!("{path}/infer"))),
    ]
}

/// The JSON of an answer without what is of this one request.
fn comparable(answer: &Answer) -> Value {
    let mut body = answer.json();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    json!({ "status": answer.status, "body": body })
}

#[track_caller]
fn assert_answers_as_the_model_itself(host: &Host) {
    let plain = Glovebox::new("up").option("--from", digits()).serve();
    let expected = answers(&plain.client());
    for ((what, answer), (_, expected)) in answers(&host.client()).iter().zip(&expected) {
        assert_eq!(comparable(answer), comparable(expected), "{what}");
        let (own, others) = (
            answer.header("content-type"),
            expected.header("content-type"),
        );
        assert_eq!(own, others, "{what}");
    }
}

#[test]
fn tensors_as_bytes_are_read_and_written_by_the_front_too() {
    let ask = |host: &Host| {
        let headers = [("inference-header-content-length", "0")];
        let body = [0; 256];
        host.client()
            .send("/v2/models/digits/infer", &headers, &body)
    };
    let plain = Glovebox::new("up").option("--from", digits()).serve();
    let front = at_the_path_of_the_model(digits_http(), "").up().serve();
    let (expected, answer) = (ask(&plain), ask(&front));
    assert_eq!((answer.status, &answer.body), (200, &expected.body));
    for header in ["inference-header-content-length", "content-type"] {
        assert_eq!(answer.header(header), expected.header(header));
    }
    let config = |host: &Host| host.client().get("/v2/models/digits/config").ok();
    assert_eq!(config(&front), config(&plain));
}

#[test]
fn a_packed_front_imports_what_every_host_of_wasi_http_has() {
    let about = Glovebox::new("inspect").arg(digits_http()).arg("--json");
    let about = about.run().json();
    let imports = names(&about, "imports");
    assert!(
        imports.contains(&"wasi:http/types@0.2.0".to_owned()),
        "{imports:?}"
    );
    for import in &imports {
        let is_io = import.starts_with("wasi:io/") && import.ends_with("@0.2.0");
        assert!(is_io || import == "wasi:http/types@0.2.0", "{imports:?}");
    }
    assert_eq!(
        names(&about, "exports"),
        ["wasi:http/incoming-handler@0.2.0"]
    );
    assert_eq!(about["model"]["name"], "digits");
}

#[test]
fn a_packed_front_answers_from_its_file_alone() {
    let host = Glovebox::new("up").option("--from", digits_http()).serve();
    assert_answers_as_the_model_itself(&host);
    let client = host.client();
    assert_eq!(client.get("/v2/models").ok()["models"], json!(["digits"]));
    assert_eq!(client.get("/v2/health/live").ok()["live"], true);
    assert_eq!(client.get("/healthz").ok()["live"], true);
    assert_eq!(client.get("/elsewhere").status, 404);
    assert_eq!(client.get("/v2/models/other").status, 404);
}

#[test]
fn a_packed_front_answers_at_the_path_of_its_model_in_a_manifest() {
    let host = at_the_path_of_the_model(digits_http(), "").up().serve();
    assert_answers_as_the_model_itself(&host);
    assert!(
        host.announcement.contains("digits"),
        "{}",
        host.announcement
    );
    // It is counted as the model that it is.
    assert_eq!(host.client().requests("digits", "ok"), 2.0);
    for (outcome, count) in [
        ("invalid_request", 2),
        ("invalid_input", 1),
        ("unsupported_media", 1),
    ] {
        ended(&host.client(), "digits", outcome, count);
    }
}

#[test]
fn a_front_whose_model_fails_is_counted_so() {
    let dir = temporary();
    let (front, own) = (dir.path().join("front.wasm"), dir.path().join("own.wasm"));
    let model = guest::Guest::infer(bodies::ANSWER).predict(bodies::FAIL);
    fs::write(&front, BARE_FRONT).unwrap();
    fs::write(&own, model.component()).unwrap();
    let host = Manifest::new(&format!(
        "{HEAD}{}[component.model]\nsource = {front:?}\n[component.model.dependencies]\n\
         \"glovebox:inference/model@0.1.0\" = {{ path = {own:?} }}\n",
        route("/mine/...", "model")
    ));
    let host = host.up().serve();
    let client = host.client();
    let answer = client.post("/mine/predict", "text/plain", b"7");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (502, &json!("model_failed"))
    );
    assert_eq!(client.get("/mine/elsewhere").status, 404);
    ended(&client, "model", "component_error", 1);
    ended(&client, "model", "client_error", 1);
    assert_eq!(client.requests("model", "ok"), 0.0);
}

#[test]
fn a_manifest_puts_a_front_and_its_model_together() {
    let (_dir, front) = front();
    let lines = format!(
        "[component.model.dependencies]\n\"glovebox:inference/model@0.1.0\" = {{ path = {:?} }}",
        digits()
    );
    let host = at_the_path_of_the_model(&front, &lines).up().serve();
    assert_answers_as_the_model_itself(&host);
}

#[test]
fn composing_by_hand_gives_the_same_bytes_as_packing() {
    let (dir, front) = file("front.wasm", &FRONT);
    let output = dir.path().join("composed.wasm");
    let compose = Glovebox::new("compose").arg(&front).arg(digits());
    let said = compose.option("--output", &output).run().success();
    assert!(said.contains("wasi:http/incoming-handler@0.2.0"), "{said}");
    let (composed, packed) = (fs::read(&output).unwrap(), fs::read(digits_http()).unwrap());
    assert!(
        composed == packed,
        "{} and {} bytes",
        composed.len(),
        packed.len()
    );
}

#[test]
fn components_that_do_not_fit_are_not_composed() {
    let (dir, front) = front();
    let output = dir.path().join("composed.wasm");
    for (socket, plug) in [(digits(), digits()), (&front, &front), (digits(), &front)] {
        let compose = Glovebox::new("compose").arg(socket).arg(plug);
        let line = compose.option("--output", &output).run().refusal();
        assert!(line.contains("imports nothing that"), "{line}");
    }
    assert!(!output.exists());
}

#[test]
fn a_front_without_its_model_is_refused_with_the_way_to_get_one() {
    let (_dir, front) = front();
    let line = at_the_path_of_the_model(&front, "").up().run().refusal();
    assert!(line.contains("glovebox:inference/model@0.1.0"), "{line}");
    assert!(line.contains("glovebox compose"), "{line}");
}

#[test]
fn a_manifest_puts_our_front_and_its_model_together_and_the_host_looks_through() {
    let (_dir, front) = file("front.wasm", &FRONT);
    let lines = format!(
        "[component.model.dependencies]\n\"glovebox:inference/model@0.1.0\" = {{ path = {:?} }}",
        digits()
    );
    let host = at_the_path_of_the_model(&front, &lines).up().serve();
    assert_answers_as_the_model_itself(&host);
    assert_eq!(host.client().requests("digits", "ok"), 2.0);
}

#[test]
fn a_model_answers_where_its_manifest_mounts_it() {
    for packed in [digits(), digits_http()] {
        let text = manifest(&[("digits", packed, "")]).replace("/v2/models/digits/", "/mine/");
        let host = Manifest::new(&text).up().serve();
        let client = host.client();
        let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
        for path in ["/mine/predict", "/mine/v2/models/digits/predict"] {
            assert_eq!(client.post(path, "image/png", &picture).ok()["label"], "7");
        }
        assert_eq!(
            client.get("/mine/v2/models").ok()["models"],
            json!(["digits"])
        );
        assert_eq!(client.get("/mine/v2").ok()["name"], "glovebox");
        client
            .get("/mine/v2/models/wine")
            .error(404, "unknown_model");
        client.get("/mine/elsewhere").error(404, "unknown_path");
        client
            .post("/mine/v2/repository/index", "application/json", b"{}")
            .error(404, "unknown_path");
        // Where it is mounted changes nothing of where the protocol has it.
        assert_eq!(client.get("/v2/models/digits").ok()["name"], "digits");
    }
}

#[test]
fn our_front_with_one_byte_changed_is_a_front_of_somebody() {
    let mut bytes = fs::read(digits_http()).unwrap();
    // A text of the front that no other part of the file has.
    let text = b"x-content-type-options";
    let at = bytes.windows(text.len()).position(|part| part == text);
    bytes[at.unwrap()] = b'y';
    let (_dir, changed) = file("changed.wasm", &bytes);
    let about = Glovebox::new("inspect").arg(&changed).arg("--json").run();
    assert_eq!(about.json()["behind_front"], false);
    let host = at_the_path_of_the_model(&changed, "").up().serve();
    let answer = host.client().get("/v2/models/digits");
    assert_eq!(answer.header("y-content-type-options"), "nosniff");
    ended(&host.client(), "model", "ok", 1);
}

#[test]
fn imports_that_no_host_has_are_refused_by_name() {
    for import in [
        "fermyon:spin/sqlite@2.0.0",
        "fermyon:spin/llm@2.0.0",
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:http/types@0.3.0",
        "wasi:clocks/monotonic-clock@0.3.0-rc-2026-01-06",
        "wasi:nn/inference@0.2.0",
        "somebody:else/api",
    ] {
        let component = format!(
            "(component (import \"{import}\" (instance)) (instance $own)
               (export \"wasi:http/incoming-handler@0.2.0\" (instance $own)))"
        );
        let dir = temporary();
        let file = dir.path().join("own.wasm");
        fs::write(&file, wat::parse_str(component).unwrap()).unwrap();
        let line = at_the_path_of_the_model(&file, "").up().run().refusal();
        assert!(line.contains(import), "{line}");
        assert!(line.contains("component \"model\""), "{line}");
    }
}

#[test]
fn the_edge_takes_the_digits_and_is_told_the_numbers() {
    let dir = temporary();
    let output = dir.path().join("edge.wasm");
    let said = pack(&["--profile", "edge"], &output).success();
    let line = said.lines().find(|line| line.starts_with("edge: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in [" of 50 MiB", " of 128 MiB", "CPU ", "over 10 examples"] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    assert_eq!(fs::read(&output).unwrap(), fs::read(digits_http()).unwrap());
    let edge = pack(&["--profile", "edge", "--json"], &output).json()["edge"].clone();
    let number = |key: &str| edge[key].as_u64().unwrap();
    assert_eq!(
        number("component_bytes"),
        fs::metadata(&output).unwrap().len()
    );
    assert!(
        (1 << 20..128 << 20).contains(&number("memory_bytes")),
        "{edge}"
    );
    assert!(number("cpu_median_us") > 0, "{edge}");
    assert!(number("cpu_most_us") >= number("cpu_median_us"), "{edge}");
    assert_eq!(edge["requests"], 10);
}

#[test]
fn the_edge_does_not_take_a_model_that_is_too_large() {
    let dir = temporary();
    let (model, output) = (dir.path().join("large.onnx"), dir.path().join("large.wasm"));
    // 10 x 4 MiB of weights beside the code.
    fs::write(&model, onnx::dense_layers(1, 10, 1024)).unwrap();
    let pack = || {
        Glovebox::new("pack")
            .arg(&model)
            .option("--output", &output)
    };
    let line = pack().option("--profile", "edge").run().refusal();
    assert!(line.contains("not for the edge: component "), "{line}");
    assert!(line.contains(" is more than 50 MiB"), "{line}");
    assert!(!output.exists(), "{line}");
    pack().arg("--http").run().success();
    assert!(output.exists());
}
