//! Error messages are one line, escaped and short, whatever the body holds.

mod common;

use common::body_refusal;

#[test]
fn foreign_text_reaches_no_message_raw_or_at_length() {
    let long = format!("\\n\\u001b[31m\\u202e{}", "x".repeat(100_000));
    let tensor = |name: &str, datatype: &str, data: &str| {
        format!(
            r#"{{"inputs": [{{"name": "{name}", "datatype": "{datatype}", "shape": [1], "data": {data}}}]}}"#
        )
    };
    let bodies = [
        tensor(&long, "FP32", "[null]"),
        tensor(&long, "FP16", "[1]"),
        tensor(&long, "FP32", "[]"),
        tensor("x", &long, "[1]"),
        tensor("x", "FP32", &format!("[\"{long}\"]")),
        tensor("x", "INT8", &format!("[1{}]", "0".repeat(100_000))),
        tensor("x", "BYTES", &format!("[1.{}]", "0".repeat(100_000))),
        tensor("x", "BYTES", &format!("[\"{long}\\ud800\"]")),
        format!(r#"{{"inputs": "{long}"}}"#),
        format!(r#"{{"inputs": [{{"name": "x", "shape": "{long}"}}]}}"#),
        format!(r#"{{"inputs": [], "parameters": "{long}"}}"#),
    ];
    for body in bodies {
        let message = body_refusal(&body);
        assert!(message.len() < 500, "{} bytes: {message}", message.len());
        assert!(
            !message.contains(|character: char| character.is_control() || character == '\u{202e}'),
            "{message:?}"
        );
    }
}
