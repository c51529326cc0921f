//! What clients get wrong: each refusal has its status, its code, and says what to do.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, digits, manifest, model_dir, temporary, wine};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;
use crate::harness::{bodies, guest, media};

fn up(packed: &Path) -> Host {
    Glovebox::new("up").option("--from", packed).serve()
}

/// The refusal of a request whose one input is this.
#[track_caller]
fn refused_input(host: &Host, input: Value) -> String {
    let answer = host.client().infer("digits", &json!({ "inputs": [input] }));
    answer.error(400, "invalid_request")
}

#[test]
fn an_unknown_model_is_not_found() {
    let host = up(wine());
    let client = host.client();
    for answer in [
        client.get("/v2/models/beer"),
        client.get("/v2/models/beer/ready"),
        client.call("beer"),
        client.predict("beer", "application/json", b"{}"),
    ] {
        let error = answer.error(404, "unknown_model");
        assert!(error.contains("\"beer\""), "{error}");
    }
}

#[test]
fn an_unknown_path_is_not_found() {
    let host = up(wine());
    for path in [
        "/index.html",
        "/v1",
        "/v2/models/wine/train",
        "/v2/models/wine/",
        "/metrics/x",
    ] {
        let error = host.client().get(path).error(404, "unknown_path");
        assert!(error.contains(path), "{error}");
    }
}

#[test]
fn a_wrong_method_is_not_allowed() {
    let host = up(wine());
    let client = host.client();
    for path in ["/v2/models/wine/infer", "/v2/models/wine/predict"] {
        client.get(path).error(405, "method_not_allowed");
    }
    for path in [
        "/v2",
        "/v2/health/live",
        "/v2/models",
        "/v2/models/wine",
        "/metrics",
    ] {
        let answer = client.post(path, "application/json", b"{}");
        answer.error(405, "method_not_allowed");
    }
}

#[test]
fn a_path_that_is_no_text_is_refused_in_the_form_of_all_errors() {
    let host = up(wine());
    for path in ["/v2/models/%ff", "/v2/models/%ff/ready"] {
        let answer = host.client().get(path);
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        answer.error(answer.status, &code);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let host = up(digits());
    let post = |body: &[u8]| {
        let answer = host
            .client()
            .post("/v2/models/digits/infer", "application/json", body);
        answer.error(400, "invalid_request")
    };
    for body in [
        &b""[..],
        b"{",
        b"[]",
        b"{\"inputs\":",
        b"\xff\xfe",
        b"{\"inputs\": 1}",
    ] {
        let error = post(body);
        assert!(error.contains("inference request"), "{error}");
    }
}

#[test]
fn json_that_is_nested_without_end_is_refused() {
    let host = up(digits());
    let body = format!(
        "{{\"inputs\":[{{\"name\":\"image\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":{}",
        "[".repeat(1 << 20)
    );
    let answer = host.client().post(
        "/v2/models/digits/infer",
        "application/json",
        body.as_bytes(),
    );
    answer.error(400, "invalid_request");
    assert_eq!(host.client().get("/healthz").status, 200);
}

#[test]
fn an_input_of_another_name_is_named_with_those_there_are() {
    let host = up(digits());
    let error = refused_input(
        &host,
        json!({ "name": "picture", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": vec![0; 64] }),
    );
    assert!(error.contains("\"picture\""), "{error}");
    assert!(error.contains("\"image\""), "{error}");
}

#[test]
fn an_input_of_another_datatype_is_named_with_both() {
    let host = up(digits());
    let error = refused_input(
        &host,
        json!({ "name": "image", "datatype": "INT64", "shape": [1, 1, 8, 8], "data": vec![0; 64] }),
    );
    assert_eq!(
        error,
        "input \"image\": expected datatype FP32, found INT64"
    );
    let error = refused_input(
        &host,
        json!({ "name": "image", "datatype": "FLOAT", "shape": [1, 1, 8, 8], "data": vec![0; 64] }),
    );
    assert!(
        error.contains("\"FLOAT\"") && error.contains("FP32"),
        "{error}"
    );
}

#[test]
fn an_input_of_another_shape_is_named_with_both() {
    let host = up(digits());
    let error = refused_input(
        &host,
        json!({ "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 9], "data": vec![0; 72] }),
    );
    assert!(error.contains("\"image\""), "{error}");
    assert!(error.contains("[-1, 1, 8, 8]"), "{error}");
    assert!(error.contains("[1, 1, 8, 9]"), "{error}");
}

#[test]
fn data_that_do_not_fill_their_shape_are_refused() {
    let host = up(digits());
    for count in [63, 65] {
        let error = refused_input(
            &host,
            json!({ "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": vec![0; count] }),
        );
        assert!(
            error.contains("\"image\"") && error.contains("64"),
            "{error}"
        );
    }
    let shape = [i64::MAX, i64::MAX, 8, 8];
    refused_input(
        &host,
        json!({ "name": "image", "datatype": "FP32", "shape": shape, "data": [0] }),
    );
}

#[test]
fn a_missing_input_and_an_unknown_output_are_named() {
    let host = up(digits());
    let answer = host.client().infer("digits", &json!({ "inputs": [] }));
    let error = answer.error(400, "invalid_request");
    assert!(
        error.contains("\"image\"") && error.contains("missing"),
        "{error}"
    );
    let request = json!({
        "inputs": [{ "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": vec![0; 64] }],
        "outputs": [{ "name": "logits" }],
    });
    let answer = host.client().infer("digits", &request);
    let error = answer.error(400, "invalid_request");
    assert!(
        error.contains("\"logits\"") && error.contains("\"scores\""),
        "{error}"
    );
}

#[test]
fn media_of_another_type_are_refused_with_those_there_are() {
    let host = up(digits());
    let error = host
        .client()
        .predict("digits", "text/plain", b"seven")
        .error(415, "unsupported_media");
    assert!(
        error.contains("text/plain") && error.contains("image/png"),
        "{error}"
    );
}

#[test]
fn a_picture_that_cannot_be_decoded_is_invalid() {
    let host = up(digits());
    let whole = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    for body in [&b"no picture"[..], b"", &whole[..whole.len() / 2]] {
        let answer = host.client().predict("digits", "image/png", body);
        let error = answer.error(422, "invalid_input");
        assert!(error.contains("image/png"), "{error}");
    }
    let answer = host.client().predict("digits", "image/jpeg", &whole);
    answer.error(422, "invalid_input");
}

#[test]
fn a_picture_that_would_be_enormous_is_not_decoded() {
    let host = up(digits());
    for (width, height) in [(65_535, 65_535), (u32::MAX >> 1, 1), (8193, 1)] {
        let bomb = media::png_header(width, height);
        let answer = host.client().predict("digits", "image/png", &bomb);
        answer.error(413, "too_large");
    }
    assert!(
        host.client()
            .metric("glovebox_guest_memory_high_water_bytes{model=\"digits\"}")
            < 64e6
    );
}

#[test]
fn a_record_that_does_not_fit_is_refused_with_its_field() {
    let host = up(wine());
    let whole = fs::read(model_dir("wine").join("examples/cultivar-1.json")).unwrap();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    let refused = |change: fn(&mut Value)| {
        let mut record = whole.clone();
        change(&mut record);
        let body = record.to_string();
        let answer = host
            .client()
            .predict("wine", "application/json", body.as_bytes());
        answer.error(422, "invalid_input")
    };
    let error = refused(|record| drop(record.as_object_mut().unwrap().remove("hue")));
    assert!(error.contains("\"hue\" is missing"), "{error}");
    let error = refused(|record| record["hue"] = json!("blue"));
    assert!(error.contains("\"hue\" must be a number"), "{error}");
    let error = refused(|record| record["taste"] = json!(1));
    assert!(error.contains("\"taste\""), "{error}");
    let error = refused(|record| *record = json!(7));
    assert!(error.contains("object"), "{error}");
}

#[test]
fn a_body_that_declares_too_much_is_refused_before_it_is_sent() {
    let host = up(digits());
    let declare = |length: u64| {
        host.client().raw(&format!(
            "POST /v2/models/digits/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        ))
    };
    let error = declare((16 << 20) + 1).error(413, "too_large");
    assert!(error.contains("16 MiB"), "{error}");
}

#[test]
fn a_body_that_is_too_large_is_refused_also_without_a_declaration() {
    let host = up(wine());
    let chunk = "x".repeat(1 << 20);
    let mut request = String::from(
        "POST /v2/models/wine/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    for _ in 0..17 {
        request += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    // The last chunk is missing: the answer does not wait for it.
    host.client().raw(&request).error(413, "too_large");
}

#[test]
fn a_body_that_does_not_come_in_time_is_refused() {
    let models = [("wine", wine(), "timeout = \"200ms\"")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let answer = host.client().raw(
        "POST /v2/models/wine/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"inputs\"",
    );
    answer.error(408, "slow_body");
}

#[test]
fn the_text_of_a_guest_reaches_nobody_raw() {
    let dir = temporary();
    let file = dir.path().join("forger.wasm");
    fs::write(&file, guest::component(bodies::FORGE)).unwrap();
    let host = Glovebox::new("up")
        .option("--from", &file)
        .log("debug")
        .serve();
    let error = host.client().call("forger").error(422, "invalid_input");
    assert!(error.contains("x\\u{1b}[2J\\nerror:"), "{error:?}");
    let (_, log) = host.terminate();
    assert!(log.contains("2J"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    let request = dir.path().join("request.json");
    fs::write(&request, "{\"inputs\":[]}").unwrap();
    let run = Glovebox::new("run").arg(&file).option("--tensors", request);
    let line = run.run().refusal();
    assert!(line.contains("x\\u{1b}[2J"), "{line}");
}

behind_front! {
    an_unknown_model_is_not_found,
    an_unknown_path_is_not_found,
    a_wrong_method_is_not_allowed,
    a_path_that_is_no_text_is_refused_in_the_form_of_all_errors,
    what_is_no_json_is_refused,
    json_that_is_nested_without_end_is_refused,
    an_input_of_another_name_is_named_with_those_there_are,
    an_input_of_another_datatype_is_named_with_both,
    an_input_of_another_shape_is_named_with_both,
    data_that_do_not_fill_their_shape_are_refused,
    a_missing_input_and_an_unknown_output_are_named,
    media_of_another_type_are_refused_with_those_there_are,
    a_picture_that_cannot_be_decoded_is_invalid,
    a_picture_that_would_be_enormous_is_not_decoded,
    a_record_that_does_not_fit_is_refused_with_its_field,
    a_body_that_declares_too_much_is_refused_before_it_is_sent,
    a_body_that_is_too_large_is_refused_also_without_a_declaration,
    a_body_that_does_not_come_in_time_is_refused,
    the_text_of_a_guest_reaches_nobody_raw,
}
