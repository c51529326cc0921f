//! Tensors as bytes behind the JSON, and the other forms that clients of Triton ask for.

use serde_json::{Value, json};

use crate::harness::client::{Answer, Client};
use crate::harness::command::Glovebox;
use crate::harness::damage::{Random, damaged};
use crate::harness::files::{Manifest, digits, manifest, wine};
use crate::harness::host::Host;
use crate::harness::packing::behind_front;

const INFER: &str = "/v2/models/wine/infer";
/// One wine.
const ROW: [f32; 13] = [
    13.2, 1.78, 2.14, 11.2, 100.0, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050.0,
];

fn up() -> Host {
    Glovebox::new("up").option("--from", wine()).serve()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// A tensor of the wine that announces so many bytes.
fn announced(size: usize) -> Value {
    json!({
        "name": "features", "datatype": "FP32", "shape": [1, 13],
        "parameters": { "binary_data_size": size },
    })
}

/// Sends JSON with bytes behind it.
#[track_caller]
fn send(client: &Client, json: &Value, tail: &[u8]) -> Answer {
    let json = json.to_string();
    let body = [json.as_bytes(), tail].concat();
    with_header(client, &json.len().to_string(), &body)
}

#[track_caller]
fn with_header(client: &Client, length: &str, body: &[u8]) -> Answer {
    let headers = [
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", length),
    ];
    client.send(INFER, &headers, body)
}

/// The JSON of an answer, and the bytes behind it.
#[track_caller]
fn parts(answer: &Answer) -> (Value, Vec<u8>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let length = answer.header("inference-header-content-length");
    let (json, tail) = answer.body.split_at(length.parse().unwrap());
    (serde_json::from_slice(json).unwrap(), tail.to_vec())
}

/// What the model answers when all is JSON.
fn plain(client: &Client) -> Value {
    let input = json!({ "name": "features", "datatype": "FP32", "shape": [1, 13], "data": ROW });
    client.infer("wine", &json!({ "inputs": [input] })).ok()
}

#[test]
fn a_binary_request_has_the_answer_that_a_plain_one_has() {
    let host = up();
    let client = host.client();
    let request = json!({ "id": "7", "inputs": [announced(52)] });
    let answer = send(&client, &request, &bytes(&ROW));
    assert_eq!(answer.header("content-type"), "application/json");
    let mut answer = answer.ok();
    assert_eq!(answer["id"], "7");
    answer.as_object_mut().unwrap().remove("id");
    assert_eq!(answer, plain(&client));
}

#[test]
fn outputs_are_binary_where_that_is_asked_for() {
    let host = up();
    let client = host.client();
    let plain = plain(&client);
    let named = |index: usize| plain["outputs"][index].clone();
    // All of them, as tritonclient asks by default.
    let request = json!({
        "inputs": [announced(52)], "parameters": { "binary_data_output": true },
    });
    let (json, tail) = parts(&send(&client, &request, &bytes(&ROW)));
    let outputs = json["outputs"].as_array().unwrap();
    let mut rest = tail.as_slice();
    for (index, output) in outputs.iter().enumerate() {
        assert_eq!(output.get("data"), None);
        let size = output["parameters"]["binary_data_size"].as_u64().unwrap();
        let (data, behind) = rest.split_at(size as usize);
        rest = behind;
        let expected = named(index);
        assert_eq!(output["shape"], expected["shape"]);
        if output["datatype"] == "FP32" {
            let expected = expected["data"].as_array().unwrap();
            let expected: Vec<_> = expected
                .iter()
                .map(|n| n.as_f64().unwrap() as f32)
                .collect();
            assert_eq!(data, bytes(&expected));
        }
    }
    assert!(rest.is_empty());
    // One of two, and JSON in the request.
    let mut input = announced(52);
    input["data"] = json!(ROW);
    input.as_object_mut().unwrap().remove("parameters");
    let wanted = json!({ "name": named(0)["name"], "parameters": { "binary_data": true } });
    let request = json!({ "inputs": [input], "outputs": [wanted, { "name": named(1)["name"] }] });
    let (json, tail) = parts(&client.infer("wine", &request));
    assert_eq!(json["outputs"][1], named(1));
    let size = json["outputs"][0]["parameters"]["binary_data_size"].as_u64();
    assert_eq!(size, Some(tail.len() as u64));
}

#[test]
fn a_body_without_json_is_the_only_input() {
    let host = up();
    let client = host.client();
    let (json, tail) = parts(&with_header(&client, "0", &bytes(&ROW)));
    assert_eq!(json["model_name"], "wine");
    assert!(!tail.is_empty());
    let (two, _) = parts(&with_header(&client, "0", &bytes(&[ROW, ROW].concat())));
    assert_eq!(two["outputs"][0]["shape"][0], 2);
    for wrong in [0, 1, 51, 53] {
        let answer = with_header(&client, "0", &vec![0; wrong]);
        match wrong {
            0 => assert!([200, 400, 422, 502].contains(&answer.status)),
            _ => drop(answer.error(400, "invalid_request")),
        }
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let host = up();
    let client = host.client();
    let json = json!({ "inputs": [announced(52)] });
    let length = json.to_string().len();
    let body = [json.to_string().as_bytes(), &bytes(&ROW)].concat();
    for wrong in [
        "-1",
        "abc",
        "1.5",
        "18446744073709551616",
        "18446744073709551615",
        &(body.len() + 1).to_string(),
        &(length - 1).to_string(),
        &(length + 1).to_string(),
        "1",
    ] {
        with_header(&client, wrong, &body).error(400, "invalid_request");
    }
    for size in [0, 51, 53, 1 << 40] {
        let answer = send(
            &client,
            &json!({ "inputs": [announced(size)] }),
            &bytes(&ROW),
        );
        answer.error(400, "invalid_request");
    }
    for tail in [vec![], vec![0; 51], vec![0; 53], vec![0; 104]] {
        send(&client, &json, &tail).error(400, "invalid_request");
    }
    // Without the header, binary data is not looked for.
    let answer = client.post(INFER, "application/json", &body);
    let error = answer.error(400, "invalid_request");
    assert!(error.contains("Inference-Header-Content-Length"), "{error}");
    assert_eq!(with_header(&client, &length.to_string(), &body).status, 200);
}

#[test]
fn scores_can_be_asked_for_as_classes() {
    let host = Glovebox::new("up").option("--from", digits()).serve();
    let client = host.client();
    let image = json!({
        "name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": vec![0; 128],
    });
    let wanted = json!({ "name": "scores", "parameters": { "classification": 3 } });
    let request = json!({ "inputs": [image], "outputs": [wanted] });
    let output = client.infer("digits", &request).ok()["outputs"][0].clone();
    assert_eq!(
        (&output["datatype"], &output["shape"]),
        (&json!("BYTES"), &json!([2, 3]))
    );
    let classes = output["data"].as_array().unwrap();
    let first = classes[0].as_str().unwrap().split(':').collect::<Vec<_>>();
    assert_eq!(first.len(), 3);
    // The labels of the digits are the digits.
    assert_eq!(first[1], first[2]);
    assert_eq!(classes[0], classes[3], "both rows are the same picture");
    let value = |index: usize| -> f64 {
        classes[index]
            .as_str()
            .unwrap()
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(value(0) >= value(1) && value(1) >= value(2));
}

#[test]
fn shared_memory_is_refused_by_name() {
    let host = up();
    let client = host.client();
    for kind in ["system", "cuda"] {
        let path = |rest: &str| format!("/v2/{kind}sharedmemory/{rest}");
        client.get(&path("status")).error(501, "unsupported");
        let register = client.post(&path("region/a/register"), "application/json", b"{}");
        let error = register.error(501, "unsupported");
        assert!(error.contains("shared memory"), "{error}");
    }
    let mut input = announced(52);
    input["parameters"] = json!({ "shared_memory_region": "a", "shared_memory_byte_size": 52 });
    let error = client.infer("wine", &json!({ "inputs": [input] }));
    let error = error.error(400, "invalid_request");
    assert!(error.contains("shared memory"), "{error}");
}

#[test]
fn a_client_may_shorten_its_deadline_and_not_lengthen_it() {
    let models = [("wine", wine(), "timeout = \"20s\"")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let client = host.client();
    let with = |timeout: Value| {
        let input =
            json!({ "name": "features", "datatype": "FP32", "shape": [1, 13], "data": ROW });
        client.infer(
            "wine",
            &json!({ "inputs": [input], "parameters": { "timeout": timeout } }),
        )
    };
    with(json!(1)).error(504, "timeout");
    for enough in [
        json!(0),
        json!(20_000_000),
        json!(u64::MAX),
        json!(i64::MAX),
    ] {
        assert_eq!(with(enough.clone()).status, 200, "{enough}");
    }
    for wrong in [json!(-1), json!(1.5), json!("1"), json!(true)] {
        with(wrong).error(400, "invalid_request");
    }
}

#[test]
fn the_server_names_the_extensions_that_it_has() {
    let host = up();
    let client = host.client();
    let extensions = client.get("/v2").ok()["extensions"].clone();
    let expected = json!([
        "binary_tensor_data",
        "classification",
        "model_configuration",
        "schedule_policy",
        "statistics"
    ]);
    assert_eq!(extensions, expected);
    let config = client.get("/v2/models/wine/versions/1/config").ok();
    assert_eq!(config, client.get("/v2/models/wine/config").ok());
    assert_eq!(
        (&config["name"], &config["max_batch_size"]),
        (&json!("wine"), &json!(0))
    );
    let input = json!([{ "name": "features", "data_type": "TYPE_FP32", "dims": [-1, 13] }]);
    assert_eq!(config["input"], input);
    assert_eq!(
        config["platform"],
        client.get("/v2/models/wine").ok()["platform"]
    );
    client
        .get("/v2/models/other/config")
        .error(404, "unknown_model");
}

#[test]
fn damaged_bodies_are_answered_or_refused_and_never_fail_in_the_host() {
    let host = up();
    let client = host.client();
    let json = json!({
        "id": "7", "inputs": [announced(52)],
        "outputs": [{ "name": "probabilities", "parameters": { "binary_data": true } }],
    });
    let json = json.to_string();
    let body = [json.as_bytes(), &bytes(&ROW)].concat();
    let whole = with_header(&client, &json.len().to_string(), &body);
    assert_eq!(whole.status, 200, "{}", whole.text());
    let (mut random, mut answered, mut refused) = (Random::new(6), 0, 0);
    for _ in 0..3_000 {
        let body = damaged(&body, &mut random);
        // Now and then another length of the JSON.
        let length = json.len() + random.below(20).saturating_sub(16);
        let answer = with_header(&client, &length.to_string(), &body);
        match answer.status {
            200 => answered += 1,
            400 => refused += 1,
            _ => panic!("{} {} to {body:?}", answer.status, answer.text()),
        }
    }
    assert!(answered > 100 && refused > 100, "{answered} {refused}");
}

behind_front! {
    a_binary_request_has_the_answer_that_a_plain_one_has,
    outputs_are_binary_where_that_is_asked_for,
    a_body_without_json_is_the_only_input,
    lengths_that_lie_are_refused,
    scores_can_be_asked_for_as_classes,
    shared_memory_is_refused_by_name,
    a_client_may_shorten_its_deadline_and_not_lengthen_it,
    the_server_names_the_extensions_that_it_has,
    damaged_bodies_are_answered_or_refused_and_never_fail_in_the_host,
}
