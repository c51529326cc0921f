//! Bodies of JSON and CSV are records, and what hostile ones do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod harness;

use glovebox_pipeline::CallError;
use glovebox_protocol::Datatype;
use serde_json::json;

use harness::{CSV, Input, JSON, LINES, TABS, ab, assert_holds, floats, spec};

#[test]
fn records_are_the_same_in_every_form() {
    let expected = [1.0, -2.5, 3e-4, 4.0];
    let list = r#"[{"a": 1, "b": -2.5}, {"b": 4, "a": 3e-4}]"#;
    assert_eq!(ab().numbers(JSON, list), expected);
    let lines = "{\"a\": 1, \"b\": -2.5}\r\n\n {\"b\": 4, \"a\": 3e-4}\n";
    assert_eq!(ab().numbers(LINES, lines), expected);
    for csv in [
        "a,b\n1,-2.5\n3e-4,4\n",
        "b,a\r\n-2.5,1\r\n4,3e-4",
        "\u{feff}a,b\n\"1\", -2.5\n\n3e-4,\"4\"\n\n",
    ] {
        assert_eq!(ab().numbers(CSV, csv), expected, "{csv:?}");
    }
    assert_eq!(ab().numbers(JSON, r#" {"a": 1, "b": 2} "#), [1.0, 2.0]);
}

#[test]
fn the_header_tells_what_stands_between_cells() {
    let expected = [1.0, -2.5, 3e-4, 4.0];
    for (content_type, csv) in [
        (CSV, "a;b\n1;-2.5\n3e-4;4\n"),
        (CSV, "\u{feff}\"b\";\"a\"\r\n-2.5; 1\r\n\r\n4;\"3e-4\"\r\n"),
        (CSV, "b\ta\n-2.5\t1\n4\t3e-4"),
        (TABS, "a\tb\n1\t-2.5\n\n\"3e-4\"\t4\n"),
    ] {
        assert_eq!(ab().numbers(content_type, csv), expected, "{csv:?}");
    }
    // Names may have separators in them, and texts, and one column has none.
    let odd = floats(&json!(["a;b", "c", "d,e"]));
    assert_eq!(odd.numbers(CSV, "a;b,\"d,e\",c\n1,3,2\n"), [1.0, 2.0, 3.0]);
    assert_eq!(odd.numbers(CSV, "\"a;b\";d,e;c\n1;3;2\n"), [1.0, 2.0, 3.0]);
    assert_eq!(floats(&json!(["a"])).numbers(CSV, "a\n1\n"), [1.0]);
    let texts = Input::records(&json!(["a"]), &[spec("x", Datatype::Bytes, &[-1, 1])]).unwrap();
    for (content_type, csv) in [
        (CSV, "a\n\"1,5;\t\n\"\"2\"\n"),
        (TABS, "a\n\"1,5;\t\n\"\"2\"\n"),
    ] {
        let tensors = texts.decode(content_type, csv.as_bytes()).unwrap();
        let text = tensors[0].bytes_elements().next().unwrap();
        assert_eq!(text, b"1,5;\t\n\"2", "{content_type}");
    }
}

#[test]
fn truth_values_are_numbers() {
    assert_eq!(ab().numbers(JSON, r#"{"a": true, "b": false}"#), [1.0, 0.0]);
    let csv = "a,b\ntrue,False\nTRUE,0\n";
    assert_eq!(ab().numbers(CSV, csv), [1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn columns_and_keys_that_are_unknown_double_or_absent_are_refused_by_name() {
    for (content_type, body, parts) in [
        (
            CSV,
            "a,b,c\n1,2,3\n",
            &["line 1", "unknown column \"c\"", "\"a\", \"b\""][..],
        ),
        (CSV, "a,b,a\n1,2,3\n", &["column \"a\" is there twice"]),
        (CSV, "b\n2\n", &["line 2", "field \"a\" is missing"]),
        (CSV, ",a,b\n0,1,2\n", &["unknown column \"\""]),
        (CSV, "a;b;c\n1;2;3\n", &["unknown column \"c\""]),
        (CSV, "a\tc\n1\t2\n", &["unknown column \"c\""]),
        (CSV, "a:b\n1:2\n", &["unknown column \"a:b\""]),
        (CSV, "a;b\n1,2\n", &["line 2", "1 cells", "header has 2"]),
        (TABS, "a,b\n1,2\n", &["unknown column \"a,b\""]),
        (
            CSV,
            "a,b\n1,2\n1,2,3\n",
            &["line 3", "3 cells", "header has 2"],
        ),
        (CSV, "a,b\n1\n", &["line 2", "1 cells"]),
        (CSV, "", &["empty"]),
        (CSV, "a,b\n", &["holds no record"]),
        (CSV, "\r\n\n", &["empty"]),
        (JSON, "[]", &["holds no record"]),
        (LINES, " \n\n", &["holds no record"]),
        (
            JSON,
            r#"{"a": 1, "b": 2, "c": 3}"#,
            &["record 0", "unknown field \"c\""],
        ),
        (
            JSON,
            r#"{"a": 1, "b": 2, "a": 1}"#,
            &["field \"a\" is there twice"],
        ),
        (
            JSON,
            r#"{"a": 1, "b": 2, "\u0061": 1}"#,
            &["field \"a\" is there twice"],
        ),
        (JSON, "7", &["record 0", "object"]),
        (JSON, "", &["object"]),
        (
            JSON,
            "[{\"a\": 1, \"b\": 2}, [1, 2]]",
            &["record 1", "object"],
        ),
        (LINES, "{\"a\": 1, \"b\": 2}\n[1]", &["line 2", "object"]),
        (LINES, "{\"a\": 1, \"b\": 2} {}", &["line 1", "not JSON"]),
    ] {
        assert_holds(&ab().refusal(content_type, body), parts);
    }
}

#[test]
fn what_is_no_number_is_refused_with_its_row_and_field() {
    for (content_type, body, parts) in [
        (
            JSON,
            r#"[{"a": 1, "b": "2"}]"#,
            &["record 0", "\"b\" must be a number, not \"2\""][..],
        ),
        (
            JSON,
            r#"{"a": {"b": 1}, "b": 2}"#,
            &["\"a\" must be a single value"],
        ),
        (
            JSON,
            r#"{"a": 1e999, "b": 2}"#,
            &["\"a\" is not finite", "1e999"],
        ),
        (JSON, r#"{"a": NaN, "b": 2}"#, &["not JSON"]),
        (JSON, r#"{"a": 01, "b": 2}"#, &["not JSON"]),
        (
            CSV,
            "a,b\n1,2\n1,inf\n",
            &["line 3", "\"b\" is not finite: \"inf\""],
        ),
        (CSV, "a,b\n-Infinity,1\n", &["\"a\" is not finite"]),
        (
            CSV,
            "a,b\n\"1,5\",1\n",
            &["\"a\" must be a number, not \"1,5\""],
        ),
        (
            CSV,
            "a;b\n1,5;1\n",
            &[
                "line 2",
                "\"a\" must be a number, not \"1,5\"",
                "with a point",
            ],
        ),
        (CSV, "a;b\n1;-2,5e3\n", &["\"b\"", "with a point"]),
        (TABS, "a\tb\n1\t ,5\n", &["\"b\"", "with a point"]),
        (CSV, "a,b\n0x10,1\n", &["\"a\" must be a number"]),
        (CSV, "a,b\n\"1,1\n", &["line 2", "1 cells"]),
    ] {
        assert_holds(&ab().refusal(content_type, body), parts);
    }
}

#[test]
fn what_a_client_sends_is_shown_only_escaped_and_cut() {
    let long = "x\u{1b}[2J\r\n\u{0}".repeat(100_000);
    let why = ab().refusal(JSON, json!({ "a": long, "b": 1 }).to_string());
    assert_holds(&why, &["\\u{1b}", "\"..."]);
    ab().refusal(JSON, json!({ &long: 1 }).to_string());
    ab().refusal(CSV, format!("\"{long}\",b\n1,2\n"));
    ab().refusal(CSV, format!("a,b\n1,\"{long}\"\n"));
    ab().refusal(LINES, format!("{{{long}"));
    let digits = "9".repeat(1_000_000);
    assert_holds(
        &ab().refusal(JSON, format!("{{\"a\": {digits}, \"b\": 1}}")),
        &["\"a\" is not finite"],
    );
    // A fraction of many digits is a number like any other.
    let body = format!("{{\"a\": 0.{digits}, \"b\": 1}}");
    assert_eq!(ab().numbers(JSON, &body), [1.0, 1.0]);
}

#[test]
fn text_that_is_none_is_refused() {
    let table = Input::records(&json!(["a"]), &[spec("x", Datatype::Bytes, &[-1, 1])]).unwrap();
    for body in [
        r#"{"a": "\ud800"}"#,
        r#"{"a": "\udc00\ud800"}"#,
        r#"{"\ud800": "a"}"#,
    ] {
        table.refusal(JSON, body);
    }
    for content_type in [JSON, LINES, CSV] {
        let why = table.refusal(content_type, b"a\n\xff\n");
        assert_holds(&why, &["line 2", "UTF-8"]);
    }
    // What is Unicode is passed on as it is.
    let tensors = table
        .decode(JSON, br#"{"a": "\u0000\ud83d\ude00"}"#)
        .unwrap();
    assert_eq!(
        tensors[0].bytes_elements().next().unwrap(),
        "\0😀".as_bytes()
    );
}

#[test]
fn json_that_is_nested_without_end_is_refused() {
    let deep = "[".repeat(1_000_000);
    ab().refusal(JSON, &deep);
    ab().refusal(JSON, format!("[{deep}"));
    ab().refusal(LINES, &deep);
    ab().refusal(JSON, "{\"a\":".repeat(1_000_000));
    let closed = format!("{{\"a\": {deep}{}, \"b\": 1}}", "]".repeat(1_000_000));
    assert_holds(
        &ab().refusal(JSON, closed),
        &["\"a\" must be a single value"],
    );
}

#[test]
fn ten_thousand_records_are_taken_and_not_one_more() {
    let bodies = |count: usize| {
        let records = vec![r#"{"a": 1, "b": 2}"#; count];
        [
            (JSON, format!("[{}]", records.join(","))),
            (LINES, records.join("\n")),
            (CSV, format!("a,b\n{}", "1,2\n".repeat(count))),
        ]
    };
    for (content_type, body) in bodies(10_000) {
        assert_eq!(ab().numbers(content_type, &body).len(), 20_000);
    }
    for (content_type, body) in bodies(10_001) {
        let refused = ab().decode(content_type, body.as_bytes());
        let Err(CallError::TooLarge(why)) = refused else {
            panic!("{content_type}: {:?}", refused.err());
        };
        assert_holds(&why, &["10000 records"]);
    }
}

/// A number that looks random, the same every time.
fn next(state: &mut u64) -> usize {
    // Xorshift, of George Marsaglia.
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn bodies_with_a_few_wrong_bytes_are_taken_or_refused() {
    let fields = json!([
        "a",
        { "name": "b", "one_hot": ["x", "y"], "missing": "x" },
        { "name": "c", "missing": -1 },
    ]);
    let table = floats(&fields);
    let bodies = [
        (
            JSON,
            r#"[{"a": 1.5e3, "b": "x", "c": null}, {"a": true, "b": "\u0079"}]"#,
        ),
        (
            LINES,
            "{\"a\": 1, \"b\": \"x\", \"c\": 2}\r\n{\"a\": -0.0, \"b\": null}\n",
        ),
        (CSV, "\u{feff}b,\"c\",a\r\n\"x\",nan,1\r\ny,\"\",\"2\"\r\n"),
        (CSV, "a;b\n1,5;x\n-2.5;\"y\"\n"),
        (TABS, "a\tb\tc\r\n1\tx\t\r\n"),
    ];
    let bytes = b"{}[]\",:;\t\\0019eE+-.nulltrue xyabc";
    let (mut state, mut taken, mut refused) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    for round in 0..60_000 {
        let (content_type, body) = bodies[round % bodies.len()];
        let mut body = body.as_bytes().to_vec();
        for _ in 0..=next(&mut state) % 3 {
            let place = next(&mut state) % body.len();
            let byte = bytes[next(&mut state) % bytes.len()];
            match next(&mut state) % 4 {
                0 => drop(body.remove(place)),
                1 => body.insert(place, byte),
                2 => body[place] = next(&mut state) as u8,
                _ => body[place] = byte,
            }
        }
        match table.decode(content_type, &body) {
            Ok(tensors) => {
                taken += 1;
                assert_eq!(tensors[0].shape[1], 4);
                assert!(tensors[0].to_fp32().unwrap().iter().all(|n| n.is_finite()));
            }
            Err(CallError::InvalidInput(why)) => {
                refused += 1;
                assert!(
                    !why.is_empty() && !why.chars().any(char::is_control),
                    "{why:?}"
                );
            }
            Err(other) => panic!("{other:?}: {}", String::from_utf8_lossy(&body)),
        }
    }
    assert!(
        taken > 1000 && refused > 1000,
        "{taken} taken, {refused} refused"
    );
}
