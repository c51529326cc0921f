//! Names and versions as servers of the protocol have them: from the file to each path, and to what is
//! counted.

use std::fs;
use std::path::{Path, PathBuf};

use glovebox_grpc::inference::{
    ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, model_dir, temporary};
use crate::harness::grpc::Grpc;
use crate::harness::host::Host;
use crate::harness::probe::HEAD;

/// Names of models in the repositories of Triton and KServe.
const NAMES: [&str; 4] = [
    "densenet_onnx",
    "ResNet50",
    "resnet50_v1.5",
    "yolov8n.fp16-640",
];

/// The wine, packed under a name that its `model.toml` has, or its file if that has none; with a front
/// if `http`.
fn packed(name: &str, written: &str, http: bool) -> (TempDir, PathBuf) {
    let dir = temporary();
    let stem = if written.contains("name") {
        "wine"
    } else {
        name
    };
    let onnx = dir.path().join(format!("{stem}.onnx"));
    fs::copy(model_dir("wine").join("wine.onnx"), &onnx).unwrap();
    fs::write(dir.path().join("model.toml"), written).unwrap();
    let pack = Glovebox::new("pack").arg(&onnx);
    let pack = if http { pack.arg("--http") } else { pack };
    pack.run().success();
    let file = onnx.with_file_name(format!("{stem}.wasm"));
    assert!(file.exists(), "{}", file.display());
    (dir, file)
}

fn up(file: &Path) -> Host {
    Glovebox::new("up").option("--from", file).serve()
}

fn request() -> Value {
    let data = vec![0.5; 13];
    json!({ "inputs": [
        { "name": "features", "datatype": "FP32", "shape": [1, 13], "data": data },
    ] })
}

/// Each path of a model of this name and version, however the name is written in it.
fn asked(client: &Client, written: &str, name: &str, version: &str) {
    let about = client.get(&format!("/v2/models/{written}")).ok();
    assert_eq!(
        (&about["name"], &about["versions"]),
        (&json!(name), &json!([version]))
    );
    for path in ["", "/ready", "/config"] {
        let base = format!("/v2/models/{written}");
        let plain = client.get(&format!("{base}{path}")).ok();
        let pinned = client.get(&format!("{base}/versions/{version}{path}"));
        assert_eq!(pinned.ok(), plain, "{path}");
        assert_eq!(plain["name"], name, "{path}");
    }
    let body = request().to_string();
    for path in ["infer".to_owned(), format!("versions/{version}/infer")] {
        let path = format!("/v2/models/{written}/{path}");
        let answer = client.post(&path, "application/json", body.as_bytes()).ok();
        assert_eq!(
            (&answer["model_name"], &answer["model_version"]),
            (&json!(name), &json!(version))
        );
    }
    let other = client.get(&format!("/v2/models/{written}/versions/7"));
    other.error(404, "unknown_model");
}

fn asked_by_grpc(client: &Client, name: &str, version: &str) {
    let grpc = Grpc::connect(client);
    let (name, versions) = (name.to_owned(), ["", version].map(str::to_owned));
    for version in versions {
        let (name, version) = (name.clone(), version);
        let request = ModelMetadataRequest {
            name: name.clone(),
            version: version.clone(),
        };
        let about: ModelMetadataResponse = grpc.ok("ModelMetadata", &request);
        assert_eq!((about.name, about.versions.len()), (name.clone(), 1));
        let request = ModelReadyRequest {
            name: name.clone(),
            version: version.clone(),
        };
        let ready: ModelReadyResponse = grpc.ok("ModelReady", &request);
        assert!(ready.ready);
        let request = ModelConfigRequest {
            name: name.clone(),
            version: version.clone(),
        };
        let config: ModelConfigResponse = grpc.ok("ModelConfig", &request);
        assert_eq!(config.config.unwrap().name, name);
        let request = ModelStatisticsRequest {
            name: name.clone(),
            version,
        };
        let counted: ModelStatisticsResponse = grpc.ok("ModelStatistics", &request);
        assert_eq!(counted.model_stats[0].name, name);
    }
}

#[test]
fn names_of_other_servers_are_names_here() {
    for name in NAMES {
        for written in [format!("name = {name:?}\n"), String::new()] {
            let (_dir, file) = packed(name, &written, false);
            let about = Glovebox::new("inspect")
                .arg(&file)
                .arg("--json")
                .run()
                .json();
            assert_eq!(about["model"]["name"], name);
            let host = up(&file);
            let client = host.client();
            asked(&client, name, name, "1");
            asked_by_grpc(&client, name, "1");
            assert_eq!(client.requests(name, "ok"), 2.0);
            let stats = client.get(&format!("/v2/models/{name}/stats")).ok();
            assert_eq!(stats["model_stats"][0]["name"], name);
        }
    }
}

#[test]
fn a_name_may_be_percent_encoded() {
    let (_dir, file) = packed("resnet50_v1.5", "name = \"resnet50_v1.5\"\n", false);
    let host = up(&file);
    let client = host.client();
    for written in ["resnet50%5Fv1%2E5", "resnet50%5fv1%2e5", "%72esnet50_v1.5"] {
        asked(&client, written, "resnet50_v1.5", "1");
    }
    // Once only, and a slash in a name begins no other path.
    for written in [
        "resnet50%255Fv1.5",
        "resnet50_v1.5%2Fready",
        "resnet50_v1.5%00",
    ] {
        client
            .get(&format!("/v2/models/{written}"))
            .error(404, "unknown_model");
    }
}

#[test]
fn the_front_has_the_same_names_and_versions() {
    for (written, version) in [("", "1"), ("version = \"3\"\n", "3")] {
        for name in ["densenet_onnx", "resnet50_v1.5"] {
            let written = format!("name = {name:?}\n{written}");
            let (_dir, file) = packed(name, &written, true);
            let host = up(&file);
            let client = host.client();
            let about = client.get(&format!("/v2/models/{name}")).ok();
            assert_eq!(
                (&about["name"], &about["versions"]),
                (&json!(name), &json!([version]))
            );
            let answer = client.infer(name, &request()).ok();
            assert_eq!(answer["model_version"], version);
            let path = format!("/v2/models/{name}/versions/{version}/infer");
            let body = request().to_string();
            let pinned = client.post(&path, "application/json", body.as_bytes());
            assert_eq!(pinned.ok(), answer);
        }
    }
}

#[test]
fn a_model_without_a_version_is_version_one_everywhere() {
    let (_dir, file) = packed("wine", "", false);
    let about = Glovebox::new("inspect")
        .arg(&file)
        .arg("--json")
        .run()
        .json();
    assert_eq!(about["model"]["version"], "1");
    let request_file = file.with_file_name("request.json");
    fs::write(&request_file, request().to_string()).unwrap();
    let run = Glovebox::new("run")
        .arg(&file)
        .option("--tensors", request_file);
    assert_eq!(run.run().json()["model_version"], "1");
    let host = up(&file);
    let client = host.client();
    asked(&client, "wine", "wine", "1");
    let stats = client.get("/v2/models/wine/versions/1/stats").ok();
    assert_eq!(stats["model_stats"][0]["version"], "1");
    let success = "nv_inference_request_success{model=\"wine\",version=\"1\"}";
    assert_eq!(client.metric(success), 2.0);
}

#[test]
fn a_file_that_was_packed_without_a_version_is_version_one_too() {
    let (_dir, file) = packed("wine", "", false);
    let mut bytes = fs::read(&file).unwrap();
    let version = b"\"version\":\"1\",";
    let mut places = bytes.windows(version.len());
    let at = places.position(|bytes| bytes == version).unwrap();
    bytes[at..at + version.len()].fill(b' ');
    fs::write(&file, bytes).unwrap();
    let about = Glovebox::new("inspect").arg(&file).run().success();
    assert!(about.starts_with("model        wine 1\n"), "{about}");
    asked(&up(&file).client(), "wine", "wine", "1");
}

#[test]
fn a_name_that_no_path_can_have_is_refused_with_its_line() {
    for name in ["a b", "a/b", "", ".", "..", "é", &"x".repeat(65)] {
        let dir = temporary();
        let onnx = dir.path().join("wine.onnx");
        fs::copy(model_dir("wine").join("wine.onnx"), &onnx).unwrap();
        let written = format!("licence = \"MIT\"\nname = {name:?}\n");
        fs::write(dir.path().join("model.toml"), written).unwrap();
        let line = Glovebox::new("pack").arg(&onnx).run().refusal();
        assert!(line.contains("model.toml:2: name: "), "{line}");
        assert!(line.contains("letters, digits"), "{line}");
    }
}

/// A manifest with one model per component, routed as `route` says for its name.
fn application(models: &[(&str, &Path)], route: impl Fn(&str) -> String) -> Manifest {
    let component = |(id, file): &(&str, &Path)| {
        let route = route(id);
        format!(
            "[[trigger.http]]\nroute = {route}\ncomponent = \"{id}\"\n[component.{id}]\nsource = {file:?}\n"
        )
    };
    let text: String = models.iter().map(component).collect();
    Manifest::new(&format!("{HEAD}{text}"))
}

#[test]
fn a_model_answers_to_the_name_in_its_metadata_whatever_its_component_is_called() {
    for http in [false, true] {
        let (_dir, file) = packed("densenet_onnx", "", http);
        let routes = [
            "\"/v2/models/densenet_onnx/...\"",
            "{ private = true }",
            "\"/dense/...\"",
        ];
        for route in routes {
            let models = [("densenet-onnx", file.as_path())];
            let host = application(&models, |_| route.to_owned()).up().serve();
            asked(&host.client(), "densenet_onnx", "densenet_onnx", "1");
            let models = host.client().get("/v2/models").ok();
            assert_eq!(models["models"], json!(["densenet_onnx"]));
        }
    }
}

#[test]
fn a_route_of_the_protocol_gives_a_model_the_id_of_its_component() {
    let (_dir, file) = packed("densenet_onnx", "", false);
    let models = [("first", file.as_path()), ("second", file.as_path())];
    let host = application(&models, |id| format!("\"/v2/models/{id}/...\""))
        .up()
        .serve();
    let client = host.client();
    for name in ["first", "second"] {
        asked(&client, name, name, "1");
    }
    // Two have that name in their metadata: neither is it.
    client
        .get("/v2/models/densenet_onnx")
        .error(404, "unknown_model");
    let one = application(&models[..1], |id| format!("\"/v2/models/{id}/...\""))
        .up()
        .serve();
    let about = one.client().get("/v2/models/densenet_onnx").ok();
    assert_eq!(about["name"], "first");
}

#[test]
fn two_models_of_one_name_are_told_apart_before_they_are_served() {
    let (_dir, file) = packed("densenet_onnx", "", false);
    let models = [("first", file.as_path()), ("second", file.as_path())];
    let line = application(&models, |id| format!("\"/{id}/...\""))
        .up()
        .run()
        .refusal();
    assert!(line.contains("component \"second\""), "{line}");
    assert!(
        line.contains("\"densenet_onnx\"") && line.contains("\"first\""),
        "{line}"
    );
    assert!(line.contains("/v2/models/second/..."), "{line}");
}
