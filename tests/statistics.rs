//! What is counted in the words of Triton: the extension `statistics`, and the metrics.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, wine};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;

fn up() -> Host {
    Glovebox::new("up").option("--from", wine()).serve()
}

fn ask(client: &Client, rows: usize) {
    let input = json!({
        "name": "features", "datatype": "FP32", "shape": [rows, 13], "data": vec![0.5; rows * 13],
    });
    client.infer("wine", &json!({ "inputs": [input] })).ok();
}

fn statistics(client: &Client) -> Value {
    let of_model = client.get("/v2/models/wine/stats").ok();
    let of_all = client.get("/v2/models/stats").ok();
    assert_eq!(of_model, of_all);
    of_all["model_stats"][0].clone()
}

fn series(client: &Client, name: &str) -> f64 {
    client.metric(&format!(
        "nv_inference_{name}{{model=\"wine\",version=\"1\"}}"
    ))
}

fn failures(client: &Client, reason: &str) -> f64 {
    client.metric(&format!(
        "nv_inference_request_failure{{model=\"wine\",version=\"1\",reason=\"{reason}\"}}"
    ))
}

#[test]
fn a_model_that_nobody_has_asked_has_statistics_of_zeros() {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let client = host.client();
    let all = client.get("/v2/models/stats").ok();
    let names: Vec<_> = all["model_stats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["name"])
        .collect();
    assert_eq!(names, ["digits", "wine"]);
    let one = client.get("/v2/models/digits/versions/1/stats").ok();
    assert_eq!(one["model_stats"], json!([all["model_stats"][0]]));
    let none = json!({ "count": 0, "ns": 0 });
    let expected = json!({
        "name": "digits", "version": "1", "last_inference": 0, "inference_count": 0,
        "execution_count": 0, "response_stats": {}, "batch_stats": [], "memory_usage": [],
        "inference_stats": {
            "success": none, "fail": none, "queue": none, "compute_input": none,
            "compute_infer": none, "compute_output": none, "cache_hit": none, "cache_miss": none,
        },
    });
    assert_eq!(all["model_stats"][0], expected);
    client
        .get("/v2/models/other/stats")
        .error(404, "unknown_model");
    assert_eq!(series(&client, "request_success"), 0.0);
    let text = client.get("/metrics").text();
    for reason in ["REJECTED", "CANCELED", "BACKEND", "OTHER"] {
        assert!(text.contains(&format!(
            "model=\"wine\",version=\"1\",reason=\"{reason}\"}} 0\n"
        )));
    }
}

#[test]
fn rows_and_executions_are_counted_and_their_time_adds_up() {
    let host = up();
    let client = host.client();
    for rows in [1, 1, 3] {
        ask(&client, rows);
    }
    let counted = statistics(&client);
    assert_eq!(
        (&counted["inference_count"], &counted["execution_count"]),
        (&json!(5), &json!(3))
    );
    assert!(counted["last_inference"].as_u64().unwrap() > 1_500_000_000_000);
    let times = &counted["inference_stats"];
    let nanos = |phase: &str| times[phase]["ns"].as_u64().unwrap();
    let phases = ["queue", "compute_input", "compute_infer", "compute_output"];
    for phase in phases.iter().chain(&["success"]) {
        assert_eq!(times[phase]["count"], 3, "{phase}");
        assert!(nanos(phase) > 0, "{phase}");
    }
    let sum: u64 = phases.iter().map(|phase| nanos(phase)).sum();
    assert!(sum <= nanos("success"), "{times}");
    let batches = counted["batch_stats"].as_array().unwrap();
    let sizes: Vec<_> = batches
        .iter()
        .map(|batch| {
            (
                batch["batch_size"].as_u64(),
                batch["compute_infer"]["count"].as_u64(),
            )
        })
        .collect();
    assert_eq!(sizes, [(Some(1), Some(2)), (Some(3), Some(1))]);
    // The metrics are the same numbers.
    for (name, expected) in [
        ("request_success", 3.0),
        ("count", 5.0),
        ("exec_count", 3.0),
    ] {
        assert_eq!(series(&client, name), expected, "{name}");
    }
    for phase in [
        "request",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
    ] {
        let key = if phase == "request" { "success" } else { phase };
        let micros = (nanos(key) / 1000) as f64;
        assert_eq!(
            series(&client, &format!("{phase}_duration_us")),
            micros,
            "{phase}"
        );
    }
    assert_eq!(series(&client, "pending_request_count"), 0.0);
}

#[test]
fn failures_are_told_apart() {
    let models = [("wine", wine(), "cpu = \"1ms\"\nbody = \"4MiB\"")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let client = host.client();
    client.call("wine").error(400, "invalid_request");
    client
        .predict("wine", "application/json", b"7")
        .error(422, "invalid_input");
    let rows = 20_000;
    let input = json!({
        "name": "features", "datatype": "FP32", "shape": [rows, 13], "data": vec![0; rows * 13],
    });
    client
        .infer("wine", &json!({ "inputs": [input] }))
        .error(504, "cpu_limit");
    assert_eq!(
        (failures(&client, "OTHER"), failures(&client, "BACKEND")),
        (2.0, 1.0)
    );
    let counted = statistics(&client);
    assert_eq!(counted["inference_stats"]["fail"]["count"], 3);
    assert_eq!(counted["inference_stats"]["success"]["count"], 0);
    assert_eq!(counted["inference_count"], 0);
    assert_eq!(client.requests("wine", "cpu_limit"), 1.0);
}

#[test]
fn sizes_of_executions_are_told_apart_up_to_a_number_and_all_are_counted() {
    let host = up();
    let client = host.client();
    const SIZES: usize = 64;
    for rows in (1..=SIZES + 2).chain([SIZES, SIZES + 1]) {
        ask(&client, rows);
    }
    let statistics = statistics(&client);
    let sizes = statistics["batch_stats"].as_array().unwrap();
    let told: Vec<_> = sizes.iter().map(|size| &size["batch_size"]).collect();
    assert_eq!(json!(told), json!((1..=SIZES).collect::<Vec<_>>()));
    // Sizes that are known are counted on.
    assert_eq!(sizes[SIZES - 1]["compute_infer"]["count"], 2);
    assert_eq!(statistics["execution_count"], SIZES + 4);
    let rows = (1..=SIZES + 2).sum::<usize>() + SIZES + SIZES + 1;
    assert_eq!(statistics["inference_count"], rows);
}

behind_front! {
    a_model_that_nobody_has_asked_has_statistics_of_zeros,
    rows_and_executions_are_counted_and_their_time_adds_up,
    failures_are_told_apart,
    sizes_of_executions_are_told_apart_up_to_a_number_and_all_are_counted,
}
