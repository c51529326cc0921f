//! What operators see: one record a request.

use std::fs;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{model_dir, wine, workspace};
use crate::harness::packing::behind_front;

const HISTOGRAMS: [&str; 4] = ["request", "queue", "instantiate", "guest"];

fn record() -> Vec<u8> {
    fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap()
}

fn observations(client: &Client, histogram: &str) -> f64 {
    client.metric(&format!(
        "glovebox_{histogram}_duration_seconds_count{{model=\"wine\"}}"
    ))
}

#[test]
fn a_request_is_counted_exactly_once() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    assert_eq!(client.requests("wine", "ok"), 0.0);
    for count in 1..=3 {
        client.predict("wine", "application/json", &record()).ok();
        assert_eq!(client.requests("wine", "ok"), f64::from(count));
        for histogram in HISTOGRAMS {
            assert_eq!(
                observations(&client, histogram),
                f64::from(count),
                "{histogram}"
            );
        }
    }
}

#[test]
fn a_refusal_is_counted_by_its_code() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    client
        .infer("wine", &json!({ "inputs": [] }))
        .error(400, "invalid_request");
    client
        .predict("wine", "text/plain", b"")
        .error(415, "unsupported_media");
    client
        .predict("wine", "application/json", b"7")
        .error(422, "invalid_input");
    for outcome in ["invalid_request", "unsupported_media", "invalid_input"] {
        assert_eq!(client.requests("wine", outcome), 1.0, "{outcome}");
    }
    assert_eq!(client.requests("wine", "ok"), 0.0);
    // The first never reached the sandbox.
    assert_eq!(observations(&client, "request"), 3.0);
    assert_eq!(observations(&client, "guest"), 2.0);
}

#[test]
fn a_name_that_no_model_has_makes_no_series() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    client.call("invented").error(404, "unknown_model");
    assert!(!client.get("/metrics").text().contains("invented"));
}

#[test]
fn cpu_time_and_memory_are_measured() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    let cpu = || client.metric("glovebox_guest_cpu_seconds_total{model=\"wine\"}");
    let memory = || client.metric("glovebox_guest_memory_high_water_bytes{model=\"wine\"}");
    assert_eq!((cpu(), memory()), (0.0, 0.0));
    client.predict("wine", "application/json", &record()).ok();
    let (first, high) = (cpu(), memory());
    assert!(first > 0.0 && first < 5.0, "{first}");
    let about = Glovebox::new("inspect").arg(wine()).arg("--json").run();
    let image = about.json()["image_bytes"].as_f64().unwrap();
    assert!(high >= image && high < image + 64e6, "{high} of {image}");
    client.predict("wine", "application/json", &record()).ok();
    assert!(cpu() > first);
}

#[test]
fn metrics_are_in_the_form_that_prometheus_scrapes() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    client.predict("wine", "application/json", &record()).ok();
    let answer = client.get("/metrics");
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for name in [
        "glovebox_requests_total",
        "glovebox_request_duration_seconds_bucket",
        "glovebox_queue_duration_seconds_bucket",
        "glovebox_instantiate_duration_seconds_bucket",
        "glovebox_guest_duration_seconds_bucket",
        "glovebox_guest_cpu_seconds_total",
        "glovebox_guest_memory_high_water_bytes",
        "glovebox_waiting_requests",
    ] {
        let mut series = text.lines().filter(|line| line.starts_with(name));
        assert!(series.any(|line| line.contains("model=\"wine\"")), "{name}");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    client.predict("wine", "application/json", &record()).ok();
    let text = client.get("/metrics").text();
    let dashboard = workspace().join("docs/grafana/glovebox.json");
    let dashboard: Value = serde_json::from_slice(&fs::read(dashboard).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut count = 0;
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        let words = expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let is_metric = |word: &&str| word.starts_with("glovebox_") || word.starts_with("nv_");
        for metric in words.filter(is_metric) {
            let series = [format!("{metric} "), format!("{metric}{{")];
            let mut lines = text.lines();
            assert!(
                lines.any(|line| series.iter().any(|start| line.starts_with(start))),
                "{metric}"
            );
            count += 1;
        }
    }
    assert!(count > 20, "the dashboard is written otherwise");
}

#[test]
fn the_log_of_a_request_has_the_id_that_the_client_got() {
    let host = Glovebox::new("up")
        .option("--from", wine())
        .log("glovebox=debug")
        .serve();
    let answer = host.client().predict("wine", "application/json", b"7");
    answer.error(422, "invalid_input");
    let id = answer.header("x-request-id").to_owned();
    let (_, log) = host.terminate();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let of_request = lines
        .iter()
        .filter(|line| line["fields"]["request_id"] == id);
    assert!(of_request.clone().count() >= 1, "{log}");
    assert!(
        of_request
            .clone()
            .any(|line| line["fields"]["outcome"] == "invalid_input")
    );
}

behind_front! {
    a_request_is_counted_exactly_once,
    a_refusal_is_counted_by_its_code,
    a_name_that_no_model_has_makes_no_series,
    cpu_time_and_memory_are_measured,
    metrics_are_in_the_form_that_prometheus_scrapes,
    the_dashboard_asks_for_metrics_that_exist,
    the_log_of_a_request_has_the_id_that_the_client_got,
}
