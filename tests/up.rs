//! Starting and stopping: from what `up` serves, what it refuses, how it drains.

use std::fs;
use std::net::TcpListener;
use std::thread;

use serde_json::json;
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentInstanceSection, CustomSection,
};

use crate::harness::command::{Glovebox, shared_cache};
use crate::harness::files::{
    Manifest, copy_dir, digits, manifest, model_dir, temporary, wine, workspace,
};
use crate::harness::{bodies, guest};

/// A guest's file beside a manifest that serves it as `own`.
fn own(infer: &str, limits: &str) -> Manifest {
    let served = Manifest::new(&manifest(&[("own", "own.wasm".as_ref(), limits)]));
    fs::write(served.dir.path().join("own.wasm"), guest::component(infer)).unwrap();
    served
}

/// The one line with which `up` refuses a manifest.
#[track_caller]
fn refused(text: &str) -> String {
    let line = Manifest::new(text).up().run().refusal();
    println!("{line}");
    line
}

#[test]
fn up_serves_an_onnx_file_and_packs_it_first() {
    let dir = temporary();
    copy_dir(&model_dir("wine"), dir.path());
    let host = Glovebox::new("up")
        .option("--from", dir.path().join("wine.onnx"))
        .serve();
    let record = fs::read(dir.path().join("examples/cultivar-3.json")).unwrap();
    let answer = host.client().predict("wine", "application/json", &record);
    assert_eq!(answer.ok()["label"], "cultivar 3");
    assert!(
        !dir.path().join("wine.wasm").exists(),
        "nobody asked for it"
    );
}

#[test]
fn up_finds_the_manifest_of_the_folder_it_is_called_in() {
    let served = own(bodies::ANSWER, "");
    let host = Glovebox::new("up").in_dir(served.dir.path()).serve();
    host.client().call("own").ok();
}

#[test]
fn up_builds_what_the_manifest_of_the_project_says() {
    let dir = temporary();
    fs::copy(workspace().join("spin.toml"), dir.path().join("spin.toml")).unwrap();
    copy_dir(&workspace().join("models"), &dir.path().join("models"));
    let up = || Glovebox::new("up").in_dir(dir.path());
    let line = up().run().refusal();
    assert!(
        line.contains("digits") && line.contains("glovebox up --build"),
        "{line}"
    );
    let host = up().arg("--build").serve();
    assert_eq!(host.client().get("/v2/models/digits/ready").status, 200);
    assert_eq!(host.client().get("/v2/models/wine/ready").status, 200);
}

#[test]
fn a_build_command_that_fails_is_named() {
    let dir = temporary();
    let text = manifest(&[("own", "own.wasm".as_ref(), "")])
        + "[component.own.build]\ncommand = [\"true\", \"exit 7\"]\n";
    let file = dir.path().join("spin.toml");
    fs::write(&file, text).unwrap();
    let outcome = Glovebox::new("up")
        .option("--from", file)
        .arg("--build")
        .run();
    assert_eq!(outcome.code, Some(1));
    let last = outcome.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: ") && last.contains("`exit 7`"),
        "{last}"
    );
}

#[test]
fn the_announcement_names_address_routes_and_limits() {
    let models = [
        (
            "digits",
            digits(),
            "memory = \"64MiB\"\ncpu = \"100ms\"\ntimeout = \"2s\"\nconcurrency = 3",
        ),
        ("wine", wine(), ""),
    ];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let said = &host.announcement;
    assert!(said.starts_with(&format!("serving http://{}\n", host.client().address)));
    for named in [
        "POST /v2/models/digits/infer",
        "POST /v2/models/digits/predict   image/png, image/jpeg, image/webp",
        "POST /v2/models/wine/predict   application/json",
        "GET  /v2/models/wine ",
        "memory 64 MiB, cpu 100ms, timeout 2s, concurrency 3",
        "cpu 10s, timeout 30s, concurrency 8",
    ] {
        assert!(said.contains(named), "{named:?} is not in {said}");
    }
}

#[test]
fn every_path_of_the_announcement_is_served() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let paths: Vec<_> = host
        .announcement
        .lines()
        .filter(|line| line.trim_start().starts_with("GET "))
        .flat_map(|line| line.split_whitespace().filter(|word| word.starts_with('/')))
        .collect();
    assert!(paths.len() >= 7, "{paths:?}");
    for path in paths {
        assert_eq!(host.client().get(path).status, 200, "{path}");
    }
}

#[test]
fn two_routes_to_one_component_serve_it_once() {
    let served = own(bodies::ANSWER, "");
    let text = fs::read_to_string(&served.path).unwrap()
        + "[[trigger.http]]\nroute = \"/v2/models/own/...\"\ncomponent = \"own\"\n";
    fs::write(&served.path, text).unwrap();
    let host = served.up().serve();
    assert_eq!(host.client().get("/v2/models").ok()["models"][0], "own");
    assert_eq!(
        host.client().get("/v2/models").ok()["models"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_manifest_that_does_not_exist_is_named() {
    let dir = temporary();
    let line = Glovebox::new("up").in_dir(dir.path()).run().refusal();
    assert!(line.contains("spin.toml"), "{line}");
}

#[test]
fn an_unknown_key_of_a_manifest_is_named() {
    let good = manifest(&[("own", "own.wasm".as_ref(), "memory = \"64MiB\"")]);
    for (from, to, named) in [
        ("memory =", "memroy =", "memroy"),
        ("source =", "sources =", "sources"),
        (
            "[application]",
            "[application]\nlicence = \"MIT\"",
            "licence",
        ),
        ("[[trigger.http]]", "[[trigger.redis]]", "redis"),
    ] {
        assert!(good.contains(from), "{from} is not in {good}");
        let line = refused(&good.replacen(from, to, 1));
        assert!(line.contains(named), "{line}");
        assert!(line.contains("spin.toml"), "{line}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    let line = refused("spin_manifest_version = 2\n[application\n");
    assert!(line.contains("spin.toml:2:"), "{line}");
}

#[test]
fn another_version_of_manifests_is_refused() {
    let good = manifest(&[("own", "own.wasm".as_ref(), "")]);
    let line = refused(&good.replace("version = 2", "version = 1"));
    assert!(line.contains("spin_manifest_version is 1"), "{line}");
}

#[test]
fn a_route_that_a_model_cannot_have_is_refused_with_the_right_one() {
    let good = manifest(&[("own", digits(), "")]);
    let line = refused(&good.replace("/v2/models/own/...", "/own"));
    assert!(line.contains("\"/own\""), "{line}");
    assert!(line.contains("write route = \"/own/...\""), "{line}");
}

#[test]
fn a_trigger_without_its_component_is_refused() {
    let good = manifest(&[("own", "own.wasm".as_ref(), "")]);
    let line = refused(&good.replace("component = \"own\"", "component = \"other\""));
    assert!(line.contains("\"other\""), "{line}");
}

#[test]
fn limits_that_no_request_could_keep_are_refused() {
    for (limit, named) in [
        ("weight = 0", "weight"),
        ("concurrency = 0", "concurrency"),
        ("cpu = \"0s\"", "cpu"),
        ("timeout = \"0ms\"", "timeout"),
        ("cpu = \"2days\"", "cpu"),
        ("timeout = \"500000000years\"", "timeout"),
        ("concurrency = 9223372036854775807", "concurrency"),
        ("memory = \"much\"", "much"),
        ("cpu = 5", "5"),
    ] {
        let line = refused(&manifest(&[("own", "own.wasm".as_ref(), limit)]));
        assert!(line.contains(named), "{line}");
    }
}

#[test]
fn a_manifest_is_shown_without_its_control_characters() {
    for text in [
        "\"\\u001b[2J\" = 1".into(),
        manifest(&[("own", "own.wasm".as_ref(), "\"\\u001b[2J\" = 1")]),
        manifest(&[("own", "own.wasm".as_ref(), "weight = 0")])
            .replace("own", "\\u001b[2J")
            .replace("component.\\u001b[2J", "component.\"\\u001b[2J\""),
    ] {
        let line = refused(&text);
        assert!(
            !line.contains('\x1b') && line.contains("u{1b}[2J"),
            "{line}"
        );
    }
}

#[test]
fn a_missing_component_is_named_with_its_file() {
    let line = refused(&manifest(&[("own", "nowhere.wasm".as_ref(), "")]));
    assert!(
        line.contains("\"own\"") && line.contains("nowhere.wasm"),
        "{line}"
    );
}

#[test]
fn a_component_that_imports_something_is_refused_by_name() {
    let dir = temporary();
    let file = dir.path().join("curious.wasm");
    let text = "(component (import \"wasi:filesystem/types@0.2.0\" (instance))
        (instance $model) (export \"glovebox:inference/model@0.1.0\" (instance $model)))";
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let line = Glovebox::new("up").option("--from", &file).run().refusal();
    assert!(line.contains("wasi:filesystem/types@0.2.0"), "{line}");
}

/// A component whose metadata names the model, and one datatype.
fn described(name: &str, datatype: &str) -> Vec<u8> {
    let spec = json!({"name": "x", "datatype": datatype, "shape": []});
    let metadata = json!({
        "name": name, "signature": {"inputs": [spec], "outputs": []},
        "source_sha256": "", "tool": "", "runtime_sha256": "",
    });
    let mut component = Component::new();
    component.section(&CustomSection {
        name: "glovebox:model".into(),
        data: metadata.to_string().into_bytes().into(),
    });
    let mut instances = ComponentInstanceSection::new();
    let none: [(&str, ComponentExportKind, u32); 0] = [];
    instances.export_items(none);
    component.section(&instances);
    let mut exports = ComponentExportSection::new();
    let model = "glovebox:inference/model@0.1.0";
    exports.export(model, ComponentExportKind::Instance, 0, None);
    component.section(&exports);
    component.finish()
}

#[test]
fn a_name_that_no_url_takes_is_refused_without_its_control_characters() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    for name in ["", "a/b", "\x1b[2J", &"a".repeat(65)] {
        fs::write(&file, described(name, "FP32")).unwrap();
        let line = Glovebox::new("up").option("--from", &file).run().refusal();
        assert!(line.contains("cannot be a model's name"), "{line}");
        assert!(!line.contains('\x1b'), "{line}");
    }
}

#[test]
fn metadata_that_is_wrong_is_refused_without_its_control_characters() {
    let dir = temporary();
    let file = dir.path().join("own.wasm");
    fs::write(&file, described("own", "\x1b[2J")).unwrap();
    let line = Glovebox::new("up").option("--from", &file).run().refusal();
    assert!(line.contains("glovebox:model"), "{line}");
    assert!(
        !line.contains('\x1b') && line.contains("u{1b}[2J"),
        "{line}"
    );
}

#[test]
fn a_memory_larger_than_can_be_counted_is_refused() {
    let dir = temporary();
    let file = dir.path().join("vast.wasm");
    let text = "(component (core module (memory i64 281474976710656)))";
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let inspect = Glovebox::new("inspect").arg(&file).run().success();
    assert!(inspect.contains("GiB before a request"), "{inspect}");
    Glovebox::new("up").option("--from", &file).run().refusal();
}

#[test]
fn a_component_of_another_world_is_refused() {
    let dir = temporary();
    let file = dir.path().join("other.wasm");
    fs::write(&file, wat::parse_str("(component)").unwrap()).unwrap();
    let line = Glovebox::new("up").option("--from", &file).run().refusal();
    assert!(line.contains("glovebox:inference/model"), "{line}");
}

#[test]
fn machine_code_is_refused() {
    let dir = temporary();
    let machine_code = fs::read_dir(shared_cache()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension()
            .is_some_and(|e| e == "cwasm")
            .then_some(path)
    });
    let file = dir.path().join("native.wasm");
    // Any entry will do; without one yet, this very program is machine code as well.
    let machine_code = machine_code.unwrap_or(env!("CARGO_BIN_EXE_glovebox").into());
    fs::copy(machine_code, &file).unwrap();
    let line = Glovebox::new("up").option("--from", &file).run().refusal();
    assert!(line.contains("machine code"), "{line}");
}

#[test]
fn an_address_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let served = own(bodies::ANSWER, "");
    let line = served.up().option("--listen", &address).run().refusal();
    assert!(line.contains(&address), "{line}");
    assert!(line.contains("--listen"), "{line}");
}

#[test]
fn termination_lets_requests_in_flight_finish() {
    let served = own(&bodies::burn(300_000_000), "concurrency = 1");
    let host = served.up().serve();
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let client = host.client();
            thread::spawn(move || client.call("own").status)
        })
        .collect();
    // One is in the sandbox when the other waits for its permit.
    let waiting = "glovebox_waiting_requests{model=\"own\"}";
    while host.client().metric(waiting) < 1.0 {
        assert!(
            !clients.iter().all(thread::JoinHandle::is_finished),
            "too fast to see"
        );
        thread::yield_now();
    }
    host.signal_terminate();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    let (status, _) = host.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_idle_connection_does_not_hold_up_termination() {
    let host = own(bodies::ANSWER, "").up().serve();
    let _silent = host.client().connect();
    host.client().call("own").ok();
    let (status, _) = host.terminate();
    assert_eq!(status.code(), Some(0));
}
