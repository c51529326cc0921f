//! The model repository: closed unless an operator opens it, and what loading and unloading mean.

use std::fs;

use serde_json::{Value, json};

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, wine};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;

const TOKEN: &str = "correct-horse-battery-staple";
const INDEX: &str = "/v2/repository/index";

/// A host whose repository opens with the token, and more arguments.
fn up(arguments: &[(&str, &str)]) -> Host {
    let models = [("digits", digits(), ""), ("wine", wine(), "")];
    let manifest = Manifest::new(&manifest(&models));
    let file = manifest.dir.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let up = manifest.up().option("--repository-admin", &file);
    let up = arguments
        .iter()
        .fold(up, |up, (name, value)| up.option(name, value));
    up.log("info").serve()
}

#[track_caller]
fn call(client: &Client, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    client.send(path, &headers, body.as_bytes())
}

fn change(client: &Client, model: &str, what: &str) -> Answer {
    call(
        client,
        &format!("/v2/repository/models/{model}/{what}"),
        "{}",
    )
}

fn asked(client: &Client) -> Answer {
    let input = json!({
        "name": "features", "datatype": "FP32", "shape": [1, 13], "data": vec![0.5; 13],
    });
    client.infer("wine", &json!({ "inputs": [input] }))
}

fn state(name: &str, state: &str, reason: &str) -> Value {
    json!({ "name": name, "version": "1", "state": state, "reason": reason })
}

#[test]
fn the_repository_is_closed_unless_an_operator_opens_it() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    for path in [
        INDEX,
        "/v2/repository/models/wine/load",
        "/v2/repository/models/wine/unload",
        "/v2/repository/models/other/unload",
    ] {
        let error = call(&client, path, "{}").error(403, "forbidden");
        assert!(error.contains("--repository-admin"), "{error}");
    }
    assert_eq!(asked(&client).status, 200);
    client.get(INDEX).error(405, "method_not_allowed");
}

#[test]
fn only_the_operator_s_token_opens_it() {
    let host = up(&[]);
    let client = host.client();
    let other = "x".repeat(TOKEN.len());
    for authorization in [
        String::new(),
        TOKEN.to_owned(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {TOKEN}"),
        format!("Bearer {other}"),
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer  {TOKEN}"),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let answer = client.send("/v2/repository/models/wine/unload", &headers, b"{}");
        answer.error(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let answer = client.send(INDEX, &[], b"{}");
    answer.error(401, "unauthorized");
    assert_eq!(call(&client, INDEX, "").status, 200);
    assert_eq!(asked(&client).status, 200);
    let extensions = client.get("/v2").ok()["extensions"].to_string();
    assert!(extensions.contains("\"model_repository\""), "{extensions}");
    // Nobody finds it in the log, whoever sent it.
    let (_, log) = host.terminate();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn an_unloaded_model_answers_no_more_until_it_is_loaded() {
    let host = up(&[]);
    let client = host.client();
    let ready = json!([state("digits", "READY", ""), state("wine", "READY", "")]);
    assert_eq!(call(&client, INDEX, "{}").ok(), ready);
    assert_eq!(asked(&client).status, 200);
    // As tritonclient unloads.
    let unload = r#"{"parameters":{"unload_dependents":false}}"#;
    call(&client, "/v2/repository/models/wine/unload", unload).ok();
    asked(&client).error(404, "unloaded");
    for path in ["", "/ready", "/config", "/stats", "/versions/1"] {
        client
            .get(&format!("/v2/models/wine{path}"))
            .error(404, "unloaded");
    }
    assert_eq!(
        client.get("/v2/models").ok(),
        json!({ "models": ["digits"] })
    );
    assert_eq!(
        client.get("/v2/models/stats").ok()["model_stats"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let all = json!([
        state("digits", "READY", ""),
        state("wine", "UNAVAILABLE", "unloaded")
    ]);
    assert_eq!(call(&client, INDEX, "{}").ok(), all);
    let some = json!([state("digits", "READY", "")]);
    assert_eq!(call(&client, INDEX, r#"{"ready":true}"#).ok(), some);
    assert_eq!(client.get("/v2/models/digits/ready").status, 200);
    // Both may be said twice.
    change(&client, "wine", "unload").ok();
    for _ in 0..2 {
        change(&client, "wine", "load").ok();
        assert_eq!(asked(&client).status, 200);
    }
    assert_eq!(call(&client, INDEX, "{}").ok(), ready);
    change(&client, "other", "load").error(404, "unknown_model");
    change(&client, "other", "unload").error(404, "unknown_model");
}

#[test]
fn a_model_on_demand_gives_its_memory_back() {
    let host = up(&[("--model-memory", "256MiB")]);
    let client = host.client();
    assert_eq!(asked(&client).status, 200);
    let loaded = host.open_files();
    change(&client, "wine", "unload").ok();
    // The image is a file in memory.
    assert!(
        host.open_files() < loaded,
        "{} of {loaded}",
        host.open_files()
    );
    asked(&client).error(404, "unloaded");
    change(&client, "wine", "load").ok();
    assert!(host.open_files() >= loaded);
    assert_eq!(asked(&client).status, 200);
    // One that nobody has asked for is loaded by this, too.
    change(&client, "digits", "load").ok();
    change(&client, "digits", "unload").ok();
    client.get("/v2/models/digits").error(404, "unloaded");
}

#[test]
fn what_a_load_cannot_do_is_refused() {
    let host = up(&[]);
    let client = host.client();
    let load = |body: &str| call(&client, "/v2/repository/models/wine/load", body);
    for parameters in [
        r#"{"parameters":{"config":"{}"}}"#,
        r#"{"parameters":{"file:1/model.onnx":"AAAA"}}"#,
    ] {
        let error = load(parameters).error(400, "invalid_request");
        assert!(error.contains("manifest"), "{error}");
    }
    for wrong in ["[", "7", "\"x\"", r#"{"ready":1}"#] {
        load(wrong).error(400, "invalid_request");
    }
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(64 << 10));
    load(&large).error(413, "too_large");
    assert_eq!(load("").status, 200);
}

#[test]
fn a_token_must_be_hard_to_guess() {
    let manifest = Manifest::new(&manifest(&[("wine", wine(), "")]));
    let file = manifest.dir.path().join("token");
    for (text, problem) in [
        ("", "at least 16"),
        ("too-short", "at least 16"),
        ("a token of several words", "visible ASCII"),
        ("a-token-of-two\nlines-is-none", "visible ASCII"),
    ] {
        fs::write(&file, text).unwrap();
        let up = manifest.up().option("--repository-admin", &file);
        let line = up.option("--listen", "127.0.0.1:0").run().refusal();
        assert!(line.contains(problem), "{line}");
        assert!(text.is_empty() || !line.contains(text), "{line}");
    }
    let nowhere = manifest.dir.path().join("nowhere");
    let line = manifest
        .up()
        .option("--repository-admin", &nowhere)
        .run()
        .refusal();
    assert!(line.contains("nowhere"), "{line}");
}

#[test]
fn a_call_that_is_too_large_is_refused_also_with_the_token() {
    let host = up(&[]);
    let client = host.client();
    let large = format!("{{\"ready\": false{}}}", " ".repeat(64 << 10));
    call(&client, INDEX, &large).error(413, "too_large");
    call(&client, INDEX, "{}").ok();
}

behind_front! {
    the_repository_is_closed_unless_an_operator_opens_it,
    only_the_operator_s_token_opens_it,
    an_unloaded_model_answers_no_more_until_it_is_loaded,
    a_model_on_demand_gives_its_memory_back,
    what_a_load_cannot_do_is_refused,
    a_token_must_be_hard_to_guess,
    a_call_that_is_too_large_is_refused_also_with_the_token,
}
