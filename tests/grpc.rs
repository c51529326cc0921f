//! gRPC: every method, streams, errors with their codes, health and reflection.

use std::time::{Duration, Instant};

use glovebox_grpc::health::health_check_response::ServingStatus;
use glovebox_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use glovebox_grpc::inference::model_infer_request::InferRequestedOutputTensor;
use glovebox_grpc::inference::{
    DataType, ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse,
    ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    SystemSharedMemoryStatusRequest,
};
use prost::Message;
use serde_json::json;

use crate::harness::client::Client;
use crate::harness::files::{Manifest, digits, expected, manifest, wine};
use crate::harness::grpc::status::{
    DEADLINE, INVALID, NOT_FOUND, PERMISSION, UNAUTHENTICATED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN,
};
use crate::harness::grpc::{
    Grpc, INFER, both, digits_raw, digits_typed, floats, frame, idle, number, one, path, pixels,
    text, to,
};
use crate::harness::hostile::settles;
use crate::harness::packing::behind_front;
use crate::harness::{bodies, guest};

const STREAM: &str = "ModelStreamInfer";

#[test]
fn the_server_and_its_models_say_what_they_are() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let live: ServerLiveResponse = grpc.ok("ServerLive", &ServerLiveRequest {});
    assert!(live.live);
    let ready: ServerReadyResponse = grpc.ok("ServerReady", &ServerReadyRequest {});
    assert!(ready.ready);
    let server: ServerMetadataResponse = grpc.ok("ServerMetadata", &ServerMetadataRequest {});
    let rest = host.client().get("/v2").ok();
    assert_eq!(rest["name"], server.name);
    assert_eq!(rest["version"], server.version);
    assert_eq!(rest["extensions"], json!(server.extensions));
    let metadata = |version: &str| ModelMetadataRequest {
        name: "digits".into(),
        version: version.into(),
    };
    for version in ["", "1"] {
        let model: ModelMetadataResponse = grpc.ok("ModelMetadata", &metadata(version));
        assert_eq!(model.name, "digits");
        assert_eq!(model.versions, ["1"]);
        assert_eq!(model.platform, "onnx_onnxv1");
        assert_eq!(model.inputs[0].name, "image");
        assert_eq!(model.inputs[0].datatype, "FP32");
        assert_eq!(model.inputs[0].shape, [-1, 1, 8, 8]);
        assert_eq!(model.outputs[0].shape, [-1, 10]);
    }
    let error = grpc.call("ModelMetadata", &metadata("2"));
    assert!(error.error(NOT_FOUND, "unknown_model").contains("version"));
}

#[test]
fn a_model_is_ready_if_it_is_here() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    for (name, version, ready) in [
        ("wine", "", true),
        ("wine", "2", false),
        ("beer", "", false),
    ] {
        let (name, version) = (name.into(), version.into());
        let request = ModelReadyRequest { name, version };
        let answer: ModelReadyResponse = grpc.ok("ModelReady", &request);
        assert_eq!(answer.ready, ready, "{request:?}");
    }
}

#[test]
fn answers_are_those_of_rest_whatever_the_form_of_the_tensors() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let request = json!({ "inputs": [
        { "name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": pixels() },
    ] });
    let rest = host.client().infer("digits", &request).ok();
    let rest: Vec<f32> = serde_json::from_value(rest["outputs"][0]["data"].clone()).unwrap();
    let typed = grpc.infer(&digits_typed(&pixels()));
    let raw = grpc.infer(&digits_raw(&pixels()));
    assert_eq!(typed, raw);
    assert_eq!(floats(&raw), rest);
    assert_eq!(
        (raw.model_name.as_str(), raw.model_version.as_str()),
        ("digits", "1")
    );
    assert_eq!(raw.outputs[0].name, "scores");
    assert_eq!(raw.outputs[0].datatype, "FP32");
    assert_eq!(raw.outputs[0].shape, [1, 10]);
    assert_eq!(raw.outputs[0].contents, None);
    assert!(!expected("digits").is_empty());
}

#[test]
fn an_answer_repeats_the_id_and_has_what_was_asked_for() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let mut request = digits_raw(&pixels());
    assert_eq!(grpc.infer(&request).id, "");
    request.id = "mine ✓".into();
    request.model_version = "1".into();
    request
        .parameters
        .insert("note".into(), text("kept by nobody"));
    request.outputs = vec![InferRequestedOutputTensor {
        name: "scores".into(),
        ..Default::default()
    }];
    let answer = grpc.infer(&request);
    assert_eq!(answer.id, "mine ✓");
    assert_eq!(answer.outputs.len(), 1);
    request.outputs[0].name = "colour".into();
    let error = grpc.call(INFER, &request).error(INVALID, "invalid_request");
    assert!(error.contains("colour"), "{error}");
    request.outputs[0].name = "scores".into();
    request.outputs[0]
        .parameters
        .insert("classification".into(), text("3"));
    let error = grpc.call(INFER, &request).error(INVALID, "invalid_request");
    assert!(error.contains("classification"), "{error}");
    request.outputs[0]
        .parameters
        .insert("classification".into(), number(3));
    let answer = grpc.infer(&request);
    assert_eq!(answer.outputs[0].datatype, "BYTES");
    assert_eq!(answer.outputs[0].shape, [1, 3]);
}

#[test]
fn statistics_and_configuration_are_those_of_rest() {
    let host = both();
    let client = host.client();
    let grpc = Grpc::connect(&client);
    grpc.infer(&digits_raw(&pixels()));
    settles("statistics", || {
        let all: ModelStatisticsResponse =
            grpc.ok("ModelStatistics", &ModelStatisticsRequest::default());
        let digits = &all.model_stats[0];
        assert_eq!(
            (digits.name.as_str(), digits.version.as_str()),
            ("digits", "1")
        );
        (digits.inference_count != 1).then(|| format!("{digits:?}"))
    });
    let asked = ModelStatisticsRequest {
        name: "digits".into(),
        version: "1".into(),
    };
    let digits: ModelStatisticsResponse = grpc.ok("ModelStatistics", &asked);
    let [digits] = digits.model_stats.as_slice() else {
        panic!("not one model: {digits:?}");
    };
    let rest = &client.get("/v2/models/digits/stats").json()["model_stats"][0];
    let of = |name: &str| rest["inference_stats"][name]["ns"].as_u64();
    let stats = digits.inference_stats.as_ref().unwrap();
    assert_eq!(
        stats.success.as_ref().map(|success| success.ns),
        of("success")
    );
    let input = stats.compute_input.as_ref().map(|input| input.ns);
    assert_eq!(input, of("compute_input"));
    assert!(input > Some(0), "reading took no time");
    let asked = ModelConfigRequest {
        name: "digits".into(),
        version: String::new(),
    };
    let config: ModelConfigResponse = grpc.ok("ModelConfig", &asked);
    let config = config.config.unwrap();
    assert_eq!(config.backend, "glovebox");
    assert_eq!(config.input[0].name, "image");
    assert_eq!(config.input[0].data_type(), DataType::TypeFp32);
    assert_eq!(config.input[0].dims, [-1, 1, 8, 8]);
    let nobody = ModelConfigRequest {
        name: "nobody".into(),
        version: String::new(),
    };
    grpc.call("ModelConfig", &nobody)
        .error(NOT_FOUND, "unknown_model");
}

#[test]
fn the_repository_opens_for_its_token_alone() {
    const TOKEN: &str = "correct-horse-battery-staple";
    let closed = both();
    let index = RepositoryIndexRequest::default();
    Grpc::connect(&closed.client())
        .call("RepositoryIndex", &index)
        .error(PERMISSION, "forbidden");
    let manifest = Manifest::new(&manifest(&[("digits", digits(), "")]));
    let file = manifest.dir.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let host = manifest.up().option("--repository-admin", &file).serve();
    let grpc = Grpc::connect(&host.client());
    let bearer = format!("Bearer {TOKEN}");
    let operator = [("authorization", bearer.as_str())];
    let call = |method: &str, headers: &[(&str, &str)], message: Vec<u8>| {
        grpc.send(&path(method), headers, frame(&message))
    };
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong-horse-battery-staple")],
    ] {
        call("RepositoryIndex", headers, index.encode_to_vec())
            .error(UNAUTHENTICATED, "unauthorized");
    }
    let unload = RepositoryModelUnloadRequest {
        model_name: "digits".into(),
        ..Default::default()
    };
    let _: RepositoryModelUnloadResponse =
        call("RepositoryModelUnload", &operator, unload.encode_to_vec()).ok();
    let listed: RepositoryIndexResponse =
        call("RepositoryIndex", &operator, index.encode_to_vec()).ok();
    assert_eq!(listed.models[0].state, "UNAVAILABLE");
    grpc.call(INFER, &digits_raw(&pixels()))
        .error(NOT_FOUND, "unloaded");
    let mut load = RepositoryModelLoadRequest {
        model_name: "digits".into(),
        ..Default::default()
    };
    load.parameters.insert("config".into(), Default::default());
    call("RepositoryModelLoad", &operator, load.encode_to_vec()).error(INVALID, "invalid_request");
    load.parameters.clear();
    let _: RepositoryModelLoadResponse =
        call("RepositoryModelLoad", &operator, load.encode_to_vec()).ok();
    grpc.infer(&digits_raw(&pixels()));
}

#[test]
fn errors_have_the_codes_of_rest() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let unknown = grpc.call(INFER, &to("nobody"));
    assert!(unknown.error(NOT_FOUND, "unknown_model").contains("nobody"));
    let nameless = grpc.call(INFER, &to(""));
    nameless.error(NOT_FOUND, "unknown_model");
    let empty = grpc.send(&path(INFER), &[], Vec::new());
    empty.error(INVALID, "invalid_request");
    for (method, message) in [
        (
            "SystemSharedMemoryStatus",
            SystemSharedMemoryStatusRequest::default().encode_to_vec(),
        ),
        ("Guess", Vec::new()),
    ] {
        let reply = grpc.send(&path(method), &[], frame(&message));
        reply.error(UNIMPLEMENTED, "unsupported");
    }
    for path in [
        "/inference.Other/ModelInfer",
        "/x",
        "/inference.GRPCInferenceService",
    ] {
        let reply = grpc.send(path, &[], frame(&[]));
        assert_eq!(reply.code(), UNIMPLEMENTED, "{path}");
    }
}

#[test]
fn what_a_guest_does_wrong_has_its_code() {
    for (body, limits, status, code) in [
        (bodies::TRAP, "", UNKNOWN, "trap"),
        (bodies::FAIL, "", UNKNOWN, "model_failed"),
        (bodies::GROW, "memory = \"16MiB\"", UNKNOWN, "memory_limit"),
        (bodies::SPIN, "cpu = \"50ms\"", DEADLINE, "cpu_limit"),
        (bodies::SPIN, "timeout = \"200ms\"", DEADLINE, "timeout"),
    ] {
        let host = one(&guest::component(body), limits);
        let grpc = Grpc::connect(&host.client());
        grpc.call(INFER, &to("guest")).error(status, code);
        assert_eq!(host.client().requests("guest", code), 1.0);
    }
}

#[test]
fn the_deadline_of_a_client_shortens_that_of_the_model() {
    let host = one(
        &guest::component(bodies::SPIN),
        "cpu = \"20s\"\ntimeout = \"20s\"",
    );
    let grpc = Grpc::connect(&host.client());
    let begin = Instant::now();
    let message = frame(&to("guest").encode_to_vec());
    let reply = grpc.send(&path(INFER), &[("grpc-timeout", "300m")], message.clone());
    reply.error(DEADLINE, "timeout");
    let taken = begin.elapsed();
    assert!((300..5000).contains(&taken.as_millis()), "{taken:?}");
    for wrong in ["300", "m", "123456789m", "3 m", "-3m"] {
        let reply = grpc.send(&path(INFER), &[("grpc-timeout", wrong)], message.clone());
        reply.error(INVALID, "invalid_request");
    }
    idle(&host.client());
}

#[test]
fn a_client_cannot_make_a_model_s_timeout_longer() {
    let host = one(&guest::component(bodies::SPIN), "timeout = \"200ms\"");
    let grpc = Grpc::connect(&host.client());
    let message = frame(&to("guest").encode_to_vec());
    let reply = grpc.send(&path(INFER), &[("grpc-timeout", "99999999H")], message);
    reply.error(DEADLINE, "timeout");
}

#[test]
fn a_stream_answers_each_message_in_its_order() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let alone = floats(&grpc.infer(&digits_raw(&pixels())));
    let mut body = Vec::new();
    for count in 0..20 {
        let mut request = digits_raw(&pixels());
        if count % 5 == 4 {
            request.model_name = "nobody".into();
        }
        request.id = count.to_string();
        body.extend(frame(&request.encode_to_vec()));
    }
    let reply = grpc.send(&path(STREAM), &[], body);
    assert_eq!(reply.code(), 0);
    let answers: Vec<ModelStreamInferResponse> = reply.all();
    assert_eq!(answers.len(), 20);
    for (count, answer) in answers.iter().enumerate() {
        if count % 5 == 4 {
            let error = &answer.error_message;
            assert!(error.starts_with("unknown_model: "), "{error}");
            continue;
        }
        assert_eq!(answer.error_message, "");
        let response = answer.infer_response.as_ref().unwrap();
        assert_eq!(response.id, count.to_string());
        assert_eq!(floats(response), alone);
    }
    assert_eq!(host.client().requests("digits", "ok"), 17.0);
}

#[test]
fn a_stream_without_messages_ends_well_and_one_that_breaks_off_does_not() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    assert_eq!(grpc.send(&path(STREAM), &[], Vec::new()).code(), 0);
    let message = frame(&digits_raw(&pixels()).encode_to_vec());
    let body = [&message[..], &message[..70]].concat();
    let reply = grpc.send(&path(STREAM), &[], body);
    assert_eq!(reply.messages.len(), 1);
    assert_eq!(reply.field("glovebox-code"), "invalid_request");
    assert_eq!(reply.code(), INVALID);
    let reply = grpc.send(&path(STREAM), &[("grpc-timeout", "500m")], message);
    assert_eq!(reply.messages.len(), 1);
}

#[test]
fn a_stream_that_waits_for_its_client_holds_nothing_and_ends_with_the_host() {
    let host = both();
    let client = host.client();
    let grpc = Grpc::connect(&client);
    let message = frame(&digits_raw(&pixels()).encode_to_vec());
    let body = [&message[..], &message].concat();
    let reply = grpc.watch(&path(STREAM), body, 2, || {
        idle(&client);
        let running = client.metric("glovebox_running_requests{model=\"digits\"}");
        assert_eq!(running, 0.0);
        host.signal_terminate();
    });
    assert_eq!(reply.messages.len(), 2);
    reply.error(UNAVAILABLE, "overload");
    let (status, log) = host.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn health_is_what_the_server_says_and_its_end_is_told() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let check = |service: &str| {
        let service = service.into();
        let message = HealthCheckRequest { service }.encode_to_vec();
        grpc.send("/grpc.health.v1.Health/Check", &[], frame(&message))
    };
    for service in ["", "inference.GRPCInferenceService"] {
        let answer: HealthCheckResponse = check(service).ok();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    assert_eq!(check("inference.Other").code(), NOT_FOUND);
    let message = HealthCheckRequest::default().encode_to_vec();
    let watched = "/grpc.health.v1.Health/Watch";
    let reply = grpc.watch(watched, frame(&message), 1, || host.signal_terminate());
    let told: Vec<_> = reply.all::<HealthCheckResponse>();
    let told: Vec<_> = told.iter().map(|answer| answer.status()).collect();
    assert_eq!(told, [ServingStatus::Serving, ServingStatus::NotServing]);
    assert_eq!(reply.code(), UNAVAILABLE);
    let (status, log) = host.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn reflection_names_the_services() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // `list_services` is field 7, `file_containing_symbol` field 4.
        let reply = grpc.send(&path, &[], frame(&[0x3a, 0]));
        assert_eq!(reply.code(), 0, "{reply:?}");
        let said = String::from_utf8_lossy(&reply.messages[0]).into_owned();
        for service in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
            assert!(said.contains(service), "{said}");
        }
        let symbol = b"\x22\x1einference.GRPCInferenceService";
        let reply = grpc.send(&path, &[], frame(symbol));
        assert_eq!(reply.code(), 0, "{reply:?}");
        let said = String::from_utf8_lossy(&reply.messages[0]).into_owned();
        assert!(said.contains("raw_input_contents"), "{said}");
        let begin = Instant::now();
        grpc.send_without_end(&path, Vec::new());
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
}

#[test]
fn grpc_may_have_a_port_of_its_own() {
    let up = Manifest::new(&manifest(&[("digits", digits(), "")]));
    let host = up.up().option("--grpc-listen", "127.0.0.1:0").serve();
    let mut lines = host.announcement.lines();
    let own = lines.find_map(|line| line.strip_prefix("and http://"));
    let own = Client::new(own.unwrap().parse().unwrap());
    for client in [host.client(), own.clone()] {
        let grpc = Grpc::connect(&client);
        grpc.infer(&digits_raw(&pixels()));
        assert_eq!(client.get("/v2/health/live").status, 200);
    }
    let taken = own.address.to_string();
    let line = up
        .up()
        .option("--listen", "127.0.0.1:0")
        .option("--grpc-listen", taken);
    let line = line.run().refusal();
    assert!(line.contains("in use by another process"), "{line}");
    let (status, log) = host.terminate();
    assert!(status.success(), "{log}");
}

#[test]
fn no_manifest_takes_the_paths_of_grpc() {
    for route in [
        "/grpc.health.v1.Health/Check",
        "/inference.GRPCInferenceService/...",
    ] {
        let text = manifest(&[("wine", wine(), "")]);
        let text = text.replace("/v2/models/wine/...", route);
        let line = Manifest::new(&text).up().run().refusal();
        assert!(line.contains("route"), "{line}");
    }
}

behind_front! {
    the_server_and_its_models_say_what_they_are,
    a_model_is_ready_if_it_is_here,
    answers_are_those_of_rest_whatever_the_form_of_the_tensors,
    an_answer_repeats_the_id_and_has_what_was_asked_for,
    statistics_and_configuration_are_those_of_rest,
    the_repository_opens_for_its_token_alone,
    errors_have_the_codes_of_rest,
    what_a_guest_does_wrong_has_its_code,
    the_deadline_of_a_client_shortens_that_of_the_model,
    a_client_cannot_make_a_model_s_timeout_longer,
    a_stream_answers_each_message_in_its_order,
    a_stream_without_messages_ends_well_and_one_that_breaks_off_does_not,
    a_stream_that_waits_for_its_client_holds_nothing_and_ends_with_the_host,
    health_is_what_the_server_says_and_its_end_is_told,
    reflection_names_the_services,
    grpc_may_have_a_port_of_its_own,
    no_manifest_takes_the_paths_of_grpc,
}
