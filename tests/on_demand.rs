//! Models that are loaded when they are first asked for.

use std::fs;
use std::sync::LazyLock;
use std::thread;

use glovebox::limits;
use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary, wine};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;
use crate::harness::{bodies, guest, onnx, probe};

/// Memory in which so many models such as wine stay loaded: each takes what its image takes in the
/// file, and the last one needs as much as loading takes.
fn room_for(models: u64) -> String {
    static SIZES: LazyLock<[u64; 2]> = LazyLock::new(|| {
        let inspect = Glovebox::new("inspect").arg(wine()).arg("--json");
        let json = inspect.run().json();
        let image = json["image_bytes"].as_u64().unwrap();
        let stored = json["core_module_bytes"][0].as_u64().unwrap();
        [limits::LOAD_COPIES * image, stored].map(|bytes| bytes.div_ceil(1 << 20))
    });
    let [loading, stored] = *SIZES;
    format!("{}MiB", loading + (models - 1) * stored)
}

fn serve(models: &[&str], memory: &str) -> Host {
    let components: Vec<_> = models.iter().map(|name| (*name, wine(), "")).collect();
    serve_manifest(&Manifest::new(&manifest(&components)), memory)
}

fn serve_manifest(manifest: &Manifest, memory: &str) -> Host {
    let up = manifest.up().option("--model-memory", memory);
    up.log("glovebox=debug").serve()
}

/// So many of wine's records at once.
fn request(rows: usize) -> Value {
    let data = vec![0.5; rows * 13];
    json!({"inputs": [
        {"name": "features", "shape": [rows, 13], "datatype": "FP32", "data": data}
    ]})
}

fn asks(client: &Client, model: &str) {
    let answer = client.infer(model, &request(1)).ok();
    assert_eq!(answer["model_name"], model);
}

/// How often the log of a host that has ended says something of a model.
fn count(log: &str, message: &str, model: &str) -> usize {
    let (message, model) = (
        format!("\"message\":\"{message}\""),
        format!("\"model\":\"{model}\""),
    );
    let is_it = |line: &&str| line.contains(&message) && line.contains(&model);
    log.lines().filter(is_it).count()
}

fn log(host: Host) -> String {
    host.signal_terminate();
    let (status, log) = host.wait();
    assert!(status.success(), "{log}");
    log
}

#[test]
fn a_model_is_listed_ready_and_described_before_it_is_loaded() {
    let host = serve(&["a", "b"], &room_for(2));
    let client = host.client();
    assert_eq!(client.get("/v2/models").ok(), json!({"models": ["a", "b"]}));
    assert_eq!(client.get("/v2/models/a/ready").status, 200);
    let about = client.get("/v2/models/a").ok();
    assert_eq!(about["inputs"][0]["name"], "features");
    assert!(
        host.announcement
            .contains("2 models, each loaded when it is asked for")
    );
    assert_eq!(count(&log(host), "loaded a model", "a"), 0);
}

#[test]
fn a_model_is_loaded_by_its_first_request_and_stays_for_the_next() {
    let host = serve(&["a", "b"], &room_for(2));
    let client = host.client();
    for model in ["a", "b", "a", "b", "a"] {
        asks(&client, model);
    }
    let log = log(host);
    assert_eq!(count(&log, "loaded a model", "a"), 1, "{log}");
    assert_eq!(count(&log, "loaded a model", "b"), 1, "{log}");
}

#[test]
fn a_model_on_demand_answers_behind_the_whole_wall() {
    let served = Manifest::new(&manifest(&[("a", wine(), "")]));
    let up = served.up().option("--model-memory", room_for(2));
    let host = up.option("--harden", "require").serve();
    asks(&host.client(), "a");
}

#[test]
fn clients_that_ask_at_once_get_their_answers_and_load_it_once() {
    let host = serve(&["a"], &room_for(2));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| asks(&host.client(), "a"));
        }
    });
    let log = log(host);
    assert_eq!(count(&log, "loaded a model", "a"), 1, "{log}");
}

#[test]
fn the_model_that_was_asked_for_longest_ago_makes_room() {
    let host = serve(&["a", "b", "c"], &room_for(2));
    let client = host.client();
    for model in ["a", "b", "a", "c", "a"] {
        asks(&client, model);
    }
    let log = log(host);
    assert_eq!(count(&log, "unloaded a model", "b"), 1, "{log}");
    assert_eq!(count(&log, "unloaded a model", "a"), 0, "{log}");
}

#[test]
fn requests_are_answered_while_their_models_are_unloaded_around_them() {
    let host = serve(&["a", "b", "c", "d"], &room_for(2));
    thread::scope(|scope| {
        for model in ["a", "b", "c", "d"] {
            let client = host.client();
            scope.spawn(move || (0..20).for_each(|_| asks(&client, model)));
        }
    });
    let log = log(host);
    assert!(log.contains("unloaded a model"), "there was room for all");
}

#[test]
fn a_request_in_flight_keeps_its_model_and_the_next_one_waits_for_its_memory() {
    let host = serve(&["a", "b"], &room_for(1));
    let rows = 20_000;
    let client = host.client();
    asks(&client, "a");
    thread::scope(|scope| {
        let working = scope.spawn(|| host.client().infer("a", &request(rows)).ok());
        probe::running(&client, "a", 1);
        asks(&client, "b");
        let answer = working.join().unwrap();
        assert_eq!(answer["outputs"][0]["shape"], json!([rows]));
    });
    let log = log(host);
    assert_eq!(count(&log, "unloaded a model", "a"), 1, "{log}");
}

#[test]
fn what_was_unloaded_takes_no_files_and_no_descriptors() {
    let host = serve(&["a", "b", "c", "d"], &room_for(2));
    let client = host.client();
    let round = || {
        ["a", "b", "c", "d"]
            .iter()
            .for_each(|model| asks(&client, model))
    };
    round();
    let open = host.open_files();
    (0..5).for_each(|_| round());
    assert!(
        host.open_files() <= open + 2,
        "{open} became {}",
        host.open_files()
    );
}

#[test]
fn a_file_that_is_broken_behind_its_beginning_fails_alone() {
    let dir = temporary();
    let broken = dir.path().join("broken.wasm");
    let mut bytes = fs::read(wine()).unwrap();
    // In the runtime's code, which the host knows to the last byte.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&broken, bytes).unwrap();
    let served = Manifest::new(&manifest(&[
        ("a-whole", wine(), ""),
        ("broken", &broken, ""),
    ]));
    let host = serve_manifest(&served, &room_for(2));
    let client = host.client();
    for _ in 0..2 {
        let text = client.infer("broken", &request(1)).error(502, "not_loaded");
        assert_eq!(text, "the model cannot be loaded");
        asks(&client, "a-whole");
    }
    let log = log(host);
    assert_eq!(count(&log, "cannot load a model", "broken"), 1, "{log}");
    assert!(log.contains("pack it again"), "{log}");
}

#[test]
fn a_model_that_is_larger_than_the_memory_for_models_fails_alone() {
    let dir = temporary();
    let (onnx, large) = (dir.path().join("large.onnx"), dir.path().join("large.wasm"));
    fs::write(&onnx, onnx::dense_layers(0, 5, 1290)).unwrap();
    let pack = Glovebox::new("pack").arg(&onnx);
    pack.option("--output", &large).run().success();
    let served = Manifest::new(&manifest(&[("large", &large, ""), ("small", wine(), "")]));
    let host = serve_manifest(&served, &room_for(2));
    let client = host.client();
    let data = vec![0.5; 1290];
    let request = json!({"inputs": [
        {"name": "x0", "shape": [1, 1290], "datatype": "FP32", "data": data}
    ]});
    client.infer("large", &request).error(502, "not_loaded");
    asks(&client, "small");
    assert!(log(host).contains("--model-memory"));
}

#[test]
fn what_is_no_packed_model_of_this_version_is_loaded_at_the_start() {
    let dir = temporary();
    let other = dir.path().join("other.wasm");
    fs::write(&other, guest::component(bodies::ANSWER)).unwrap();
    let served = Manifest::new(&manifest(&[("other", &other, ""), ("a", wine(), "")]));
    let host = serve_manifest(&served, &room_for(2));
    host.client().call("other").ok();
    asks(&host.client(), "a");
}

#[test]
fn memory_for_models_is_for_manifests() {
    let up = Glovebox::new("up").option("--from", wine());
    let line = up.option("--model-memory", room_for(2)).run().refusal();
    assert!(line.contains("--model-memory is for"), "{line}");
}

behind_front! {
    a_model_is_listed_ready_and_described_before_it_is_loaded,
    a_model_is_loaded_by_its_first_request_and_stays_for_the_next,
    a_model_on_demand_answers_behind_the_whole_wall,
    clients_that_ask_at_once_get_their_answers_and_load_it_once,
    the_model_that_was_asked_for_longest_ago_makes_room,
    requests_are_answered_while_their_models_are_unloaded_around_them,
    a_request_in_flight_keeps_its_model_and_the_next_one_waits_for_its_memory,
    what_was_unloaded_takes_no_files_and_no_descriptors,
    a_file_that_is_broken_behind_its_beginning_fails_alone,
    a_model_that_is_larger_than_the_memory_for_models_fails_alone,
    what_is_no_packed_model_of_this_version_is_loaded_at_the_start,
    memory_for_models_is_for_manifests,
}
