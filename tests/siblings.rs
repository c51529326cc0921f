//! Components of one application that call each other by name, without a connection.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::files::{Manifest, digits};
use crate::harness::packing::behind_front;
use crate::harness::probe::{HEAD, component, ended, route, text, values};

/// A front that may call `allowed`, and a component behind it that no route leads to, with these
/// limits.
fn application(allowed: &[&str], limits: &str) -> Manifest {
    let private = "[[trigger.http]]\nroute = { private = true }\ncomponent = \"back\"\n";
    let hosts = format!("allowed_outbound_hosts = {allowed:?}");
    let limits = format!("[component.back.tool.glovebox]\n{limits}");
    let written = [
        HEAD,
        &route("/front/...", "front"),
        private,
        &component("front", &hosts),
        &component("back", &limits),
    ];
    Manifest::new(&written.concat())
}

/// What the front hears from `url`.
#[track_caller]
fn heard(manifest: &Manifest, url: &str) -> Value {
    let host = manifest.up().serve();
    let told = text(&host.client().get(&format!("/front/call?url={url}")));
    serde_json::from_str(&told).unwrap()
}

#[test]
fn a_component_is_called_by_its_name_and_sees_who_it_is() {
    for allowed in ["http://back.spin.internal", "http://*.spin.internal"] {
        let manifest = application(&[allowed], "");
        let told = heard(&manifest, "http://back.spin.internal/at/shape?a=b");
        assert_eq!(told["status"], 200, "{told}");
        let shape: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
        assert_eq!(shape["path_with_query"], "/at/shape?a=b");
        assert_eq!(shape["authority"], "back.spin.internal");
        assert_eq!(values(&shape, "spin-path-info"), ["/at/shape"]);
        assert_eq!(values(&shape, "spin-client-addr"), [""; 0]);
    }
}

#[test]
fn a_component_that_is_not_named_is_not_called() {
    for allowed in [&[][..], &["http://front.spin.internal"], &["http://*:*"]] {
        let told = heard(&application(allowed, ""), "http://back.spin.internal/shape");
        assert_eq!(told, json!({ "error": "ErrorCode::HttpRequestDenied" }));
    }
}

#[test]
fn a_component_that_is_not_served_cannot_be_named() {
    let manifest = application(&["http://nobody.spin.internal"], "");
    let line = manifest.up().run().refusal();
    assert!(line.contains("\"nobody\""), "{line}");
    assert!(line.contains("private = true"), "{line}");
}

#[test]
fn a_component_that_is_called_keeps_its_own_limits_and_is_counted_by_itself() {
    let manifest = application(&["http://back.spin.internal"], "cpu = \"50ms\"");
    let host = manifest.up().serve();
    let client = host.client();
    let told = text(&client.get("/front/call?url=http://back.spin.internal/burn"));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"], 504, "{told}");
    assert!(told["body"].as_str().unwrap().contains("cpu_limit"));
    assert_eq!(client.requests("back", "cpu_limit"), 1.0);
}

#[test]
fn a_component_that_is_called_is_counted_by_the_status_that_it_sent() {
    let host = application(&["http://back.spin.internal"], "").up().serve();
    let client = host.client();
    for (status, outcome) in [
        (200, "ok"),
        (404, "client_error"),
        (422, "invalid_input"),
        (503, "component_error"),
    ] {
        let back = format!("http://back.spin.internal/status?code={status}");
        let told = text(&client.get(&format!("/front/call?url={back}")));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["status"], status, "{told}");
        ended(&client, "back", outcome, 1);
    }
    ended(&client, "front", "ok", 4);
}

#[test]
fn a_component_that_calls_itself_without_end_runs_out_of_permits() {
    let own = "allowed_outbound_hosts = [\"http://own.spin.internal\"]\n\
               [component.own.tool.glovebox]\nconcurrency = 1";
    let written = [HEAD, &route("/...", "own"), &component("own", own)];
    let host = Manifest::new(&written.concat()).up().serve();
    let told = text(
        &host
            .client()
            .get("/call?url=http://own.spin.internal/shape"),
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"], 429, "{told}");
    assert_eq!(host.client().get("/shape").status, 200);
}

/// A front that may call a model beside it, which no route leads to.
fn with_a_model(file: &Path) -> Manifest {
    let private = "[[trigger.http]]\nroute = { private = true }\ncomponent = \"back\"\n";
    let hosts = "allowed_outbound_hosts = [\"http://back.spin.internal\"]";
    let back = format!("[component.back]\nsource = {file:?}\n");
    let parts = [
        HEAD,
        &route("/front/...", "front"),
        private,
        &component("front", hosts),
        &back,
    ];
    Manifest::new(&parts.concat())
}

#[test]
fn every_model_is_called_by_its_neighbours() {
    let host = with_a_model(digits()).up().serve();
    let call = |path: &str| {
        let url = format!("/front/call?url=http://back.spin.internal{path}");
        let told: Value = serde_json::from_str(&text(&host.client().get(&url))).unwrap();
        let body: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
        (told["status"].clone(), body)
    };
    for prefix in ["", "/anywhere"] {
        let (status, about) = call(&format!("{prefix}/v2/models/digits"));
        assert_eq!((status, &about["name"]), (json!(200), &json!("digits")));
    }
    assert_eq!(call("/v2/models/wine").1["code"], "unknown_model");
    assert_eq!(call("/nowhere").1["code"], "unknown_path");
    // Its name in the protocol is its own, whatever its component is called.
    assert_eq!(
        host.client().get("/v2/models").ok()["models"],
        json!(["digits"])
    );
}

behind_front! {
    every_model_is_called_by_its_neighbours,
}
