//! Guests that lie to the host about what they return, and components that want more than a model.

use crate::harness::bodies::{self, Output, RIGHT};
use crate::harness::guest::{self, Guest};
use crate::harness::hostile::{Hostile, check, refusal, refusal_of};

/// Calls each guest twice; all fail so.
fn all_fail(guests: &[(&str, Guest)], status: u16, code: &str) {
    let guests: Vec<_> = guests
        .iter()
        .map(|(name, guest)| (*name, guest, ""))
        .collect();
    let hostile = Hostile::many(&guests);
    for _ in 0..2 {
        for (name, ..) in &guests {
            println!("{name}");
            check(&hostile.call(name), status, code);
        }
    }
    hostile.unhurt();
}

/// A guest that declares one output and answers with this one.
fn answers(output: Output<'_>) -> Guest {
    Guest::infer(&output.infer()).signature(bodies::DECLARE)
}

#[test]
fn a_trap_ends_one_request_only() {
    all_fail(&[("trap", Guest::infer(bodies::TRAP))], 502, "trap");
}

#[test]
fn a_guest_that_says_it_failed_is_believed_but_not_quoted() {
    all_fail(
        &[("failing", Guest::infer(bodies::FAIL))],
        502,
        "model_failed",
    );
}

#[test]
fn a_list_that_claims_more_than_the_memory_holds_is_not_read() {
    all_fail(&[("claim", Guest::infer(bodies::CLAIM))], 502, "bad_output");
}

#[test]
fn an_output_is_read_up_to_the_limit_and_not_a_byte_more() {
    // The content type counts too.
    let most = (3 << 20) - 10;
    let at = Guest::infer(bodies::ANSWER).predict(&bodies::output(most));
    let above = Guest::infer(bodies::ANSWER).predict(&bodies::output(most + 1));
    let limits = "output = \"3MiB\"";
    let hostile = Hostile::many(&[("at", &at, limits), ("above", &above, limits)]);
    let answer = hostile.predict("at");
    assert_eq!((answer.status, answer.body.len()), (200, most as usize));
    check(&hostile.predict("above"), 502, "output_too_large");
    hostile.unhurt();
}

#[test]
fn many_tensors_that_share_their_bytes_are_counted_each() {
    // 9,000 tensors of 10 KiB, all of them the same.
    let data = [0; 2560];
    let output = Output {
        shape: &[2560],
        data: &data,
        times: 9_000,
        ..RIGHT
    };
    let hostile = Hostile::new(&answers(output), "");
    hostile.fails(502, "output_too_large");
    // Small lists come from the heap, and the C allocator keeps the heap of each thread: at most
    // what one output may have, once for each compute thread.
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    hostile.unhurt_with_heap((threads + 1) * (64 << 10));
}

#[test]
fn an_output_larger_than_the_limit_is_not_read() {
    let flood = Guest::infer(bodies::FLOOD);
    all_fail(&[("flood", flood)], 502, "output_too_large");
}

#[test]
fn what_is_no_value_of_its_type_is_not_read() {
    let predict = |bytes: &[u8]| Guest::infer(bodies::ANSWER).predict(&bodies::content_type(bytes));
    let texts = [
        ("latin", predict(b"\xff\xfe")),
        ("surrogate", predict(b"\xed\xa0\x80")),
        ("cut", predict(b"a\xe2\x82")),
        ("crlf", predict(b"a/b\r\nset-cookie: c")),
    ];
    let guests: Vec<_> = texts
        .iter()
        .map(|(name, guest)| (*name, guest, ""))
        .collect();
    let hostile = Hostile::many(&guests);
    for (name, ..) in guests {
        check(&hostile.predict(name), 502, "bad_output");
    }
    hostile.unhurt();
    let odd = "(i32.store8 (i32.const 2048) (i32.const 7)) (i32.const 2048)";
    let unaligned = "(i32.const 2049)";
    let outside = "(i32.const -4)";
    let guests = [
        (
            "datatype",
            answers(Output {
                datatype: 14,
                ..RIGHT
            }),
        ),
        ("case", Guest::infer(odd)),
        ("unaligned", Guest::infer(unaligned)),
        ("outside", Guest::infer(outside)),
        ("list", answers(Output { at: 8194, ..RIGHT })),
    ];
    all_fail(&guests, 502, "bad_output");
}

#[test]
fn an_answer_as_declared_is_passed_on() {
    let hostile = Hostile::new(&answers(RIGHT), "");
    let answer = hostile.call("hostile").ok();
    assert_eq!(answer["outputs"][0]["data"], serde_json::json!([1.0, 2.0]));
    hostile.unhurt();
}

#[test]
fn an_answer_that_is_not_as_declared_is_not_passed_on() {
    let guests = [
        (
            "name",
            answers(Output {
                name: b'z',
                ..RIGHT
            }),
        ),
        (
            "type",
            answers(Output {
                datatype: 7,
                ..RIGHT
            }),
        ),
        (
            "rank",
            answers(Output {
                shape: &[2, 1],
                ..RIGHT
            }),
        ),
        (
            "short",
            answers(Output {
                shape: &[3],
                ..RIGHT
            }),
        ),
        (
            "long",
            answers(Output {
                shape: &[1],
                ..RIGHT
            }),
        ),
        (
            "empty",
            answers(Output {
                shape: &[0],
                ..RIGHT
            }),
        ),
        (
            "huge",
            answers(Output {
                shape: &[u64::MAX],
                ..RIGHT
            }),
        ),
        (
            "wrap",
            answers(Output {
                shape: &[(1 << 62) + 2],
                ..RIGHT
            }),
        ),
        ("undeclared", Guest::infer(bodies::UNDECLARED)),
    ];
    all_fail(&guests, 502, "bad_output");
}

#[test]
fn numbers_that_json_cannot_write_become_null() {
    // NaN, both infinities, -0 and the least number above 0.
    let data = [0x7fc0_0000, 0x7f80_0000, 0xff80_0000, 0x8000_0000, 1];
    let hostile = Hostile::new(
        &answers(Output {
            shape: &[5],
            data: &data,
            ..RIGHT
        }),
        "",
    );
    let answer = hostile.call("hostile");
    answer.ok();
    let text = answer.text();
    assert!(text.contains("[null,null,null,-0.0,1e-45]"), "{text}");
    hostile.unhurt();
}

#[test]
fn handles_are_given_up_to_the_limit_and_not_one_more() {
    let guest = |handles: u32| {
        let body = format!(
            "(local $left i32) (local.set $left (i32.const {handles}))
            (loop (drop (call $new (i32.const 1)))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if 0 (local.get $left)))
            (i32.const 2048)"
        );
        guest::with_resource("", &body)
    };
    let guests = [
        ("at", &guest(1000), ""),
        ("above", &guest(1001), ""),
        ("all", &guest(u32::MAX), ""),
    ];
    let hostile = Hostile::many(&guests);
    for _ in 0..2 {
        hostile.call("at").ok();
        let answers = ["above", "all"].map(|name| hostile.call(name));
        for answer in &answers {
            check(answer, 502, "bad_output");
        }
    }
    hostile.unhurt();
}

#[test]
fn the_text_of_a_guest_is_escaped_for_clients_and_logs() {
    let hostile = Hostile::new(&Guest::infer(bodies::FORGE), "");
    let error = hostile.call("hostile").error(422, "invalid_input");
    assert!(error.contains("x\\u{1b}[2J\\nerror:"), "{error:?}");
    hostile.unhurt();
}

#[test]
fn names_with_control_characters_are_escaped_when_a_component_is_refused() {
    let import =
        r#"(component (import "a" (func)) (core module (func (export "\1b[2J\0aerror: x"))))"#;
    let line = refusal_of(&wat::parse_str(import).unwrap(), "");
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

#[test]
fn an_import_is_refused_by_its_name() {
    let function = [
        "wasi:sockets/tcp@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:filesystem/preopens@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:random/random@0.2.0",
        "wasi:cli/stdout@0.2.0",
        "wasi:cli/exit@0.2.0",
        "wasi:io/poll@0.2.0",
        "wasi:thread/spawn@0.1.0",
        "glovebox:inference/model@0.1.0",
    ];
    for name in function {
        let import = format!(r#"(import "{name}" (instance (export "f" (func))))"#);
        let line = refusal(&Guest::infer(bodies::ANSWER).before(&import, ""), "");
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn an_import_that_asks_for_nothing_is_refused_too() {
    let imports = [
        (
            "wasi:http/types@0.2.0",
            r#"(import "wasi:http/types@0.2.0" (instance))"#,
        ),
        ("runtime", r#"(import "runtime" (core module))"#),
        ("maybe", r#"(import "maybe" (func))"#),
    ];
    for (name, import) in imports {
        let line = refusal(&Guest::infer(bodies::ANSWER).before(import, ""), "");
        assert!(line.contains(name), "{line}");
    }
}
