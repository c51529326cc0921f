//! What operators see: one record a request.

use std::fs;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, model_dir, wine, workspace};
use crate::harness::hostile::settles;
use crate::harness::packing::behind_front;
use crate::harness::probe;

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

/// Statuses that a component may answer with, and how each is counted.
const STATUSES: [(u16, &str); 23] = [
    (200, "ok"),
    (201, "ok"),
    (204, "ok"),
    (301, "ok"),
    (304, "ok"),
    (400, "invalid_request"),
    (401, "client_error"),
    (403, "client_error"),
    (404, "client_error"),
    (405, "client_error"),
    (408, "client_error"),
    (409, "client_error"),
    (413, "too_large"),
    (415, "unsupported_media"),
    (422, "invalid_input"),
    (429, "client_error"),
    (499, "client_error"),
    (500, "component_error"),
    (501, "component_error"),
    (502, "component_error"),
    (503, "component_error"),
    (504, "component_error"),
    (599, "component_error"),
];

/// How requests to a component have ended, and how many; what nothing has ended in is left out.
fn outcomes(client: &Client, component: &str) -> BTreeMap<String, u32> {
    let text = client.get("/metrics").text();
    let start = format!("glovebox_requests_total{{model=\"{component}\",outcome=\"");
    let series = text.lines().filter_map(|line| {
        let (outcome, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((outcome.to_owned(), count.parse().expect("a number")))
    });
    series.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_component_is_counted_by_the_status_that_it_sent() {
    let host = probe::serve("");
    let client = host.client();
    let mut expected = BTreeMap::new();
    for (status, outcome) in STATUSES {
        let said = probe::heard(&client, &format!("/probe/status?code={status}"));
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        *expected.entry(outcome.to_owned()).or_insert(0) += 1;
    }
    settles("what is counted", || {
        let counted = outcomes(&client, "probe");
        (counted != expected).then(|| format!("{counted:?}"))
    });
}

#[test]
fn a_limit_of_the_host_is_not_counted_as_a_status_of_the_component() {
    let host = probe::limited("cpu = \"50ms\"").up().serve();
    let client = host.client();
    let ask = |path: &str| client.get(&format!("/probe/{path}")).status;
    assert_eq!((ask("burn"), ask("status?code=504")), (504, 504));
    assert_eq!((ask("trap"), ask("status?code=502")), (502, 502));
    assert_eq!((ask("status?code=404"), ask("shape")), (404, 200));
    let expected = [
        ("client_error", 1),
        ("component_error", 2),
        ("cpu_limit", 1),
        ("ok", 1),
        ("trap", 1),
    ];
    let expected = expected.map(|(outcome, count)| (outcome.to_owned(), count));
    settles("what is counted", || {
        let counted = outcomes(&client, "probe");
        (counted != BTreeMap::from(expected.clone())).then(|| format!("{counted:?}"))
    });
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

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    let dashboard = workspace().join("docs/grafana/glovebox.json");
    let dashboard: Value = serde_json::from_slice(&fs::read(dashboard).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    queries.collect()
}

/// What a query says of a metric: its name, and the labels that it must have.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let groups = query.split("by (").skip(1);
    let groups = groups.filter_map(|group| Some(group.split_once(')')?.0));
    let groups = groups.flat_map(|labels| labels.split(", "));
    // Of a histogram's buckets; no series of another metric has it.
    let groups = groups.filter(|label| *label != "le");
    let groups: Vec<_> = groups.map(str::to_owned).collect();
    let starts = query
        .match_indices("glovebox_")
        .chain(query.match_indices("nv_"));
    let metric = |(at, _): (usize, &str)| {
        let rest = &query[at..];
        let end = rest
            .find(|letter: char| !is_part(letter))
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let matchers = rest
            .strip_prefix('{')
            .map_or("", |rest| rest.split_once('}').unwrap().0);
        let labels = matchers
            .split(',')
            .map(|matcher| matcher.split(['=', '!']).next().unwrap());
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (name.to_owned(), labels.chain(groups.clone()).collect())
    };
    starts.map(metric).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_exist() {
    let text = manifest(&[("wine", wine(), "")])
        + &probe::route("/probe/...", "probe")
        + &probe::component("probe", "");
    let host = Manifest::new(&text).up().serve();
    let client = host.client();
    client.predict("wine", "application/json", &record()).ok();
    client.predict("wine", "application/json", b"7");
    for (status, _) in STATUSES {
        probe::heard(&client, &format!("/probe/status?code={status}"));
    }
    probe::ended(&client, "probe", "component_error", 6);
    let text = client.get("/metrics").text();
    let (queries, mut count) = (queries(), 0);
    for (metric, labels) in queries.iter().flat_map(|query| asked(query)) {
        let series = [format!("{metric} "), format!("{metric}{{")];
        let has = |line: &&str| series.iter().any(|start| line.starts_with(start));
        let has_labels = |line: &str| {
            let mut labels = labels.iter();
            labels.all(|label| line.contains(&format!("{label}=\"")))
        };
        let mut lines = text.lines().filter(has);
        assert!(lines.any(has_labels), "{metric} with {labels:?}");
        count += 1;
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
    the_dashboard_asks_for_metrics_and_labels_that_exist,
    the_log_of_a_request_has_the_id_that_the_client_got,
}
