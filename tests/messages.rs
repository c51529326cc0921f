//! gRPC's messages: tensors in both forms, and what hostile clients send.

use std::time::{Duration, Instant};

use glovebox_grpc::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use prost::Message;

use crate::harness::damage::{Random, damaged};
use crate::harness::files::{Manifest, digits, manifest};
use crate::harness::grpc::status::{DEADLINE, EXHAUSTED, INVALID, NOT_FOUND, UNIMPLEMENTED};
use crate::harness::grpc::{
    Grpc, INFER, both, digits_raw, digits_typed, frame, frame_gzip, frame_of, idle, input, number,
    path, pixels, text, to,
};
use crate::harness::packing::behind_front;

/// A typed list of one datatype for a tensor of two elements.
fn lists() -> Vec<(&'static str, InferTensorContents)> {
    let list = InferTensorContents::default;
    vec![
        (
            "BOOL",
            InferTensorContents {
                bool_contents: vec![true, false],
                ..list()
            },
        ),
        (
            "INT8",
            InferTensorContents {
                int_contents: vec![-128, 127],
                ..list()
            },
        ),
        (
            "INT16",
            InferTensorContents {
                int_contents: vec![-32768, 32767],
                ..list()
            },
        ),
        (
            "INT32",
            InferTensorContents {
                int_contents: vec![i32::MIN, i32::MAX],
                ..list()
            },
        ),
        (
            "INT64",
            InferTensorContents {
                int64_contents: vec![i64::MIN, i64::MAX],
                ..list()
            },
        ),
        (
            "UINT8",
            InferTensorContents {
                uint_contents: vec![0, 255],
                ..list()
            },
        ),
        (
            "UINT16",
            InferTensorContents {
                uint_contents: vec![0, 65535],
                ..list()
            },
        ),
        (
            "UINT32",
            InferTensorContents {
                uint_contents: vec![0, u32::MAX],
                ..list()
            },
        ),
        (
            "UINT64",
            InferTensorContents {
                uint64_contents: vec![0, u64::MAX],
                ..list()
            },
        ),
        (
            "FP32",
            InferTensorContents {
                fp32_contents: vec![0.5, -1.0],
                ..list()
            },
        ),
        (
            "FP64",
            InferTensorContents {
                fp64_contents: vec![0.5, -1.0],
                ..list()
            },
        ),
        (
            "BYTES",
            InferTensorContents {
                bytes_contents: vec![vec![1].into(), vec![].into()],
                ..list()
            },
        ),
    ]
}

/// A request whose one tensor is whole, but not what the model takes: how far it has come is seen in
/// what is said against it.
fn request_of(datatype: &str, contents: Option<InferTensorContents>) -> ModelInferRequest {
    let mut tensor = input("image", datatype, &[2]);
    tensor.contents = contents;
    ModelInferRequest {
        inputs: vec![tensor],
        ..to("digits")
    }
}

#[test]
fn all_datatypes_are_read_from_their_lists_and_from_no_other() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    for (datatype, contents) in lists() {
        let error = grpc.call(INFER, &request_of(datatype, Some(contents)));
        let error = error.error(INVALID, "invalid_request");
        let expected = match datatype {
            "FP32" => "found [2]",
            _ => "expected datatype FP32",
        };
        assert!(error.contains(expected), "{datatype}: {error}");
        for (other, contents) in lists() {
            let error = grpc.call(INFER, &request_of(datatype, Some(contents.clone())));
            let error = error.error(INVALID, "invalid_request");
            // Three datatypes share a list, and not all of its numbers are theirs.
            let is_read = error.contains(expected);
            let shares = [
                contents.int_contents.is_empty(),
                contents.uint_contents.is_empty(),
            ];
            let same = other == datatype || !(shares[0] && shares[1]);
            assert!(same || !is_read, "{datatype} from {other}: {error}");
        }
    }
    for datatype in ["FP16", "BF16"] {
        let error = grpc.call(INFER, &request_of(datatype, Some(Default::default())));
        let error = error.error(INVALID, "invalid_request");
        assert!(error.contains("raw_input_contents"), "{error}");
        let mut request = request_of(datatype, None);
        request.raw_input_contents = vec![vec![0; 4].into()];
        let error = grpc.call(INFER, &request).error(INVALID, "invalid_request");
        assert!(error.contains("expected datatype FP32"), "{error}");
    }
}

#[test]
fn a_number_that_its_datatype_does_not_hold_is_named() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let contents = InferTensorContents {
        int_contents: vec![1, -129],
        ..Default::default()
    };
    let error = grpc.call(INFER, &request_of("INT8", Some(contents)));
    let error = error.error(INVALID, "invalid_request");
    assert!(error.contains("element 1: -129 is no INT8"), "{error}");
}

#[test]
fn raw_and_typed_contents_do_not_mix() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let invalid = |request: &ModelInferRequest, said: &str| {
        let error = grpc.call(INFER, request).error(INVALID, "invalid_request");
        assert!(error.contains(said), "{error}");
    };
    let mut mixed = digits_typed(&pixels());
    mixed.raw_input_contents = digits_raw(&pixels()).raw_input_contents;
    invalid(&mixed, "use one of them");
    let mut many = digits_raw(&pixels());
    many.raw_input_contents.push(vec![0].into());
    invalid(&many, "2 entries for 1 inputs");
    invalid(&digits_raw(&pixels()[..63]), "found 252 bytes");
    invalid(&digits_typed(&pixels()[..63]), "found 252 bytes");
    let more = [pixels(), vec![0.0]].concat();
    invalid(&digits_typed(&more), "more elements than its shape");
    let mut negative = digits_raw(&pixels());
    negative.inputs[0].shape[0] = -1;
    invalid(&negative, "dimension -1 is negative");
    let mut region = digits_raw(&pixels());
    region.inputs[0]
        .parameters
        .insert("shared_memory_region".into(), text("mine"));
    invalid(&region, "shared memory is not offered");
    invalid(&to("digits"), "is missing");
    let mut many = digits_raw(&pixels());
    for index in 0..257 {
        many.parameters.insert(format!("p{index}"), number(index));
    }
    invalid(&many, "too many parameters");
}

#[test]
fn messages_may_be_compressed_and_so_are_their_answers() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let plain = grpc.infer(&digits_raw(&pixels()));
    let message = digits_raw(&pixels()).encode_to_vec();
    let gzip = [("grpc-encoding", "gzip")];
    let reply = grpc.send(&path(INFER), &gzip, frame_gzip(&message));
    assert_eq!(reply.field("grpc-encoding"), "gzip");
    assert_eq!(reply.ok::<ModelInferResponse>(), plain);
    // A message of such a request may come as it is.
    let reply = grpc.send(&path(INFER), &gzip, frame(&message));
    assert_eq!(reply.ok::<ModelInferResponse>(), plain);
    let reply = grpc.send(&path(INFER), &[], frame_gzip(&message));
    reply.error(INVALID, "invalid_request");
    let reply = grpc.send(&path(INFER), &[("grpc-encoding", "zstd")], frame(&message));
    reply.error(UNIMPLEMENTED, "unsupported");
    assert_eq!(reply.field("grpc-accept-encoding"), "identity,gzip,deflate");
    let reply = grpc.send(&path(INFER), &gzip, frame_of(1, &message));
    assert_ne!(reply.code(), 0);
}

#[test]
fn a_message_is_taken_up_to_its_model_s_limit_and_not_a_byte_more() {
    let models = [("digits", digits(), "body = \"64KiB\"")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let grpc = Grpc::connect(&host.client());
    let mut request = digits_raw(&pixels());
    let padding = |bytes: usize| text(&"x".repeat(bytes));
    let with = |request: &mut ModelInferRequest, bytes: usize| {
        request.parameters.insert("p".into(), padding(bytes));
        request.encoded_len()
    };
    let most = 64 << 10;
    let size = with(&mut request, 60_000);
    assert_eq!(with(&mut request, 60_000 + most - size), most);
    grpc.infer(&request);
    assert_eq!(with(&mut request, 60_001 + most - size), most + 1);
    grpc.call(INFER, &request).error(EXHAUSTED, "too_large");
    // Compressed it is small, and that does not help.
    let gzip = [("grpc-encoding", "gzip")];
    let bomb = frame_gzip(&request.encode_to_vec());
    assert!(bomb.len() < 4000);
    grpc.send(&path(INFER), &gzip, bomb)
        .error(EXHAUSTED, "too_large");
    with(&mut request, 10_000_000);
    let bomb = frame_gzip(&request.encode_to_vec());
    grpc.send(&path(INFER), &gzip, bomb)
        .error(EXHAUSTED, "too_large");
    // What is said to come is not waited for.
    let head = [
        &[0, 0xff, 0xff, 0xff, 0xff][..],
        &to("digits").encode_to_vec(),
    ]
    .concat();
    // The head of field 7, which is said to be long.
    let head = [head, vec![0x3a, 0xff, 0xff, 0xff, 0x7f], vec![0; 5000]].concat();
    grpc.send_without_end(&path(INFER), head)
        .error(EXHAUSTED, "too_large");
    idle(&host.client());
}

#[test]
fn a_list_of_small_numbers_becomes_no_larger_than_json_could() {
    let models = [("digits", digits(), "body = \"64KiB\"")];
    let host = Manifest::new(&manifest(&models)).up().serve();
    let grpc = Grpc::connect(&host.client());
    for (count, said) in [(32 << 10, "expected datatype"), ((32 << 10) + 1, "limit")] {
        let mut tensor = input("image", "INT64", &[count]);
        tensor.contents = Some(InferTensorContents {
            int64_contents: vec![1; count as usize],
            ..Default::default()
        });
        let request = ModelInferRequest {
            inputs: vec![tensor],
            ..to("digits")
        };
        let reply = grpc.call(INFER, &request);
        assert_ne!(reply.code(), 0);
        let error = reply.field("grpc-message").replace("%20", " ");
        assert!(error.contains(said), "{count}: {error}");
    }
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let whole = digits_raw(&pixels()).encode_to_vec();
    for cut in 1..whole.len() {
        let reply = grpc.send(&path(INFER), &[], frame(&whole[..cut]));
        // Where a field ends, a shorter message is a message.
        assert!(
            [INVALID, NOT_FOUND].contains(&reply.code()),
            "{cut}: {reply:?}"
        );
    }
    for noise in [
        &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x0a\xff",
        b"\x00",
        b"\x0b",
    ] {
        for method in [INFER, "ModelReady", "ModelMetadata"] {
            let reply = grpc.send(&path(method), &[], frame(noise));
            reply.error(INVALID, "invalid_request");
        }
    }
    // A message that breaks off, and half the bytes before one.
    for body in [&frame(&whole)[..50], &[0, 0, 0]] {
        let reply = grpc.send(&path(INFER), &[], body.to_vec());
        reply.error(INVALID, "invalid_request");
    }
    let reply = grpc.send(&path(INFER), &[], frame_of(7, &whole));
    reply.error(INVALID, "invalid_request");
    let name = [0x0a, 2, 0xff, 0xfe];
    grpc.send(&path(INFER), &[], frame(&name))
        .error(INVALID, "invalid_request");
    idle(&host.client());
}

#[test]
fn a_message_of_very_many_tensors_takes_no_memory() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let before = host.resident_bytes();
    // Empty inputs, outputs, raw contents, parameters and dimensions: two bytes each, or little more.
    for item in [&[0x2a, 0][..], &[0x32, 0], &[0x3a, 0], &[0x22, 3, 0x0a, 1]] {
        let mut message = to("digits").encode_to_vec();
        for count in 0..2_000_000_u32 {
            message.extend(item);
            if item.len() == 4 {
                message.push(b'a' + (count % 26) as u8);
            }
        }
        let reply = grpc.send(&path(INFER), &[], frame(&message));
        reply.error(INVALID, "invalid_request");
    }
    let mut shape = input("image", "FP32", &vec![1; 2_000_000]);
    shape.contents = None;
    let request = ModelInferRequest {
        inputs: vec![shape],
        ..to("digits")
    };
    let error = grpc.call(INFER, &request).error(INVALID, "invalid_request");
    assert!(error.contains("32 dimensions"), "{error}");
    let more = host.resident_bytes().saturating_sub(before);
    assert!(more < 128 << 20, "{more} bytes more");
    idle(&host.client());
}

#[test]
fn the_model_s_name_comes_first_and_only_once() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let request = digits_raw(&pixels());
    let whole = request.encode_to_vec();
    let (name, rest) = whole.split_at(8);
    let behind = [rest, name].concat();
    let reply = grpc.send(&path(INFER), &[], frame(&behind));
    assert_ne!(reply.code(), 0, "no permit was for this model");
    let other = to("wine").encode_to_vec();
    let twice = [&whole[..], &other].concat();
    let error = grpc.send(&path(INFER), &[], frame(&twice));
    let error = error.error(INVALID, "invalid_request");
    assert!(error.contains("once"), "{error}");
    let long = to(&"x".repeat(100_000));
    grpc.call(INFER, &long).error(INVALID, "invalid_request");
}

#[test]
fn a_message_that_does_not_come_is_not_waited_for() {
    let host = both();
    let grpc = Grpc::connect(&host.client());
    let half = frame(&digits_raw(&pixels()).encode_to_vec());
    for body in [Vec::new(), half[..3].to_vec(), half[..100].to_vec()] {
        let begin = Instant::now();
        let reply = grpc.send_without_end(&path(INFER), body);
        reply.error(DEADLINE, "slow_body");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
    idle(&host.client());
    grpc.infer(&digits_raw(&pixels()));
}

#[test]
fn a_stream_with_nothing_to_say_ends_and_its_client_asks_again() {
    let host = both();
    const QUIET: Duration = Duration::from_secs(60);
    let quiet = |path: &str, message: Vec<u8>| {
        let grpc = Grpc::connect(&host.client());
        let start = Instant::now();
        let reply = grpc.watch(path, frame(&message), 1, || ());
        assert_eq!(reply.messages.len(), 1);
        reply.error(DEADLINE, "timeout");
        assert!(start.elapsed() >= QUIET, "{:?}", start.elapsed());
    };
    std::thread::scope(|scope| {
        let request = digits_raw(&pixels()).encode_to_vec();
        scope.spawn(|| quiet(&path("ModelStreamInfer"), request));
        scope.spawn(|| quiet("/grpc.health.v1.Health/Watch", Vec::new()));
    });
    idle(&host.client());
}

#[test]
fn damaged_messages_are_answered_or_refused_and_never_fail_in_the_host() {
    let host = both();
    let client = host.client();
    let grpc = Grpc::connect(&client);
    let mut parameters = digits_typed(&pixels());
    parameters.id = "7".into();
    parameters
        .parameters
        .insert("timeout".into(), number(1 << 30));
    parameters.parameters.insert("comment".into(), text("a"));
    let messages = [digits_raw(&pixels()), digits_typed(&pixels()), parameters];
    let messages = messages.map(|message| frame(&message.encode_to_vec()));
    let (mut random, mut answered, mut refused) = (Random::new(5), 0, 0);
    for round in 0..1_000 {
        let message = damaged(&messages[round % messages.len()], &mut random);
        let reply = grpc.send(&path(INFER), &[], message.clone());
        match reply.code() {
            0 => answered += 1,
            INVALID | NOT_FOUND | EXHAUSTED | UNIMPLEMENTED | DEADLINE => refused += 1,
            _ => panic!("{reply:?} to {message:?}"),
        }
    }
    assert!(answered > 50 && refused > 50, "{answered} {refused}");
    idle(&client);
}

behind_front! {
    all_datatypes_are_read_from_their_lists_and_from_no_other,
    a_number_that_its_datatype_does_not_hold_is_named,
    raw_and_typed_contents_do_not_mix,
    messages_may_be_compressed_and_so_are_their_answers,
    a_message_is_taken_up_to_its_model_s_limit_and_not_a_byte_more,
    a_list_of_small_numbers_becomes_no_larger_than_json_could,
    bytes_that_are_no_message_are_refused,
    a_message_of_very_many_tensors_takes_no_memory,
    the_model_s_name_comes_first_and_only_once,
    a_message_that_does_not_come_is_not_waited_for,
    a_stream_with_nothing_to_say_ends_and_its_client_asks_again,
    damaged_messages_are_answered_or_refused_and_never_fail_in_the_host,
}
