//! Series of JSON and CSV become the steps and channels of a model's input, and what hostile ones do.
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
use serde_json::{Value, json};

use harness::{CSV, Input, JSON, TABS, assert_holds, spec};

/// A series with these keys for an input of this type.
fn read(keys: &Value, datatype: Datatype, shape: &[i64]) -> Result<Input, String> {
    let mut table = keys.clone();
    table["kind"] = "series".into();
    Input::new(&table, &[spec("x", datatype, shape)])
}

fn series(keys: &Value, shape: &[i64]) -> Input {
    read(keys, Datatype::Fp32, shape).unwrap()
}

/// Two channels, each step a row.
fn weather() -> Input {
    series(&json!({ "channels": ["t", "p"] }), &[1, -1, 2])
}

#[test]
fn a_series_is_the_same_in_every_form() {
    let expected = (vec![1, 3, 2], vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    for (content_type, body) in [
        (JSON, "[[1, 10], [2, 20], [3, 30]]"),
        (JSON, r#"[{"t": 1, "p": 10}, {"p": 20, "t": 2}, [3, 30]]"#),
        (CSV, "t,p\n1,10\n2,20\n3,30\n"),
        (CSV, "p,t\r\n10,1\r\n20,2\r\n\"30\",3"),
        (CSV, "t;p\n1;10\n2;20\n3;30\n"),
        (TABS, "p\tt\n10\t1\n20\t2\n30\t3\n"),
    ] {
        assert_eq!(weather().tensor(content_type, body), expected, "{body}");
    }
}

#[test]
fn one_channel_needs_no_name() {
    for shape in [&[1, -1][..], &[-1, -1, 1], &[1, 3, 1]] {
        let (have, numbers) = series(&json!({}), shape).tensor(JSON, "[1, 2.5, -3e0]");
        assert_eq!(have.len(), shape.len());
        assert_eq!(have[..2], [1, 3]);
        assert_eq!(numbers, [1.0, 2.5, -3.0]);
    }
    let csv = series(&json!({}), &[1, -1]).tensor(CSV, "value\n1\n2\n");
    assert_eq!(csv, (vec![1, 2], vec![1.0, 2.0]));
}

#[test]
fn channels_can_come_before_steps() {
    let keys = json!({ "channels": ["t", "p"], "layout": "channels_steps" });
    let series = series(&keys, &[-1, 2, -1]);
    let expected = (vec![1, 2, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
    assert_eq!(series.tensor(JSON, "[[1, 10], [2, 20], [3, 30]]"), expected);
}

#[test]
fn each_channel_is_scaled_and_filled_by_itself() {
    let keys = json!({ "channels": [
        { "name": "t", "mean": 10, "scale": 2, "missing": "last" },
        { "name": "p", "missing": 7, "scale": 10 },
        { "name": "q", "missing": "nan" },
    ] });
    let series = series(&keys, &[1, -1, 3]);
    let json = r#"[[12, 1, 1], [null, null, 2], {"q": 3}, [8, 2, null]]"#;
    let (shape, numbers) = series.tensor(JSON, json);
    assert_eq!(shape, [1, 4, 3]);
    let expected = [
        1.0,
        0.1,
        1.0,
        1.0,
        0.7,
        2.0,
        1.0,
        0.7,
        3.0,
        -1.0,
        0.2,
        f32::NAN,
    ];
    assert!(numbers[11].is_nan());
    assert_eq!(numbers[..11], expected[..11]);
    let csv = series.tensor(CSV, "t,p,q\n12,1,1\n,NaN,2\n\"\",,3\n8,2,\n");
    assert_eq!(csv.1[..11], expected[..11]);

    let absent = series.tensor(CSV, "t;q\n12;1\n14;2\n");
    assert_eq!(absent.1, [1.0, 0.7, 1.0, 2.0, 0.7, 2.0]);

    let why = series.refusal(JSON, "[[null, 1, 1]]");
    assert_holds(&why, &["step 0", "channel \"t\"", "no value before"]);
    assert_holds(
        &weather().refusal(CSV, "t,p\n1,2\n3,\n"),
        &["line 3", "channel \"p\" is missing"],
    );
}

#[test]
fn a_series_is_cut_and_padded_to_the_length_of_the_model() {
    let cut = |keep: &str| {
        let keys = json!({ "channels": ["t", "p"], "keep": keep });
        let series = series(&keys, &[1, 2, 2]);
        series.tensor(JSON, "[[1, 2], [3, 4], [5, 6]]").1
    };
    assert_eq!(cut("end"), [3.0, 4.0, 5.0, 6.0]);
    assert_eq!(cut("start"), [1.0, 2.0, 3.0, 4.0]);

    let pad = |side: Value| {
        // What stands for missing steps is not scaled.
        let channels = json!(["t", { "name": "p", "mean": 1 }]);
        let keys = json!({ "channels": channels, "pad": -1, "pad_side": side, "length": 2 });
        series(&keys, &[1, -1, 2]).tensor(JSON, "[[5, 6]]").1
    };
    assert_eq!(pad(json!("start")), [-1.0, -1.0, 5.0, 5.0]);
    assert_eq!(pad(json!(null)), pad(json!("start")));
    assert_eq!(pad(json!("end")), [5.0, 5.0, -1.0, -1.0]);
}

#[test]
fn a_series_of_another_length_is_refused_unless_the_table_says_what_to_do() {
    let strict = series(&json!({}), &[1, 2]);
    assert_eq!(strict.tensor(JSON, "[1, 2]").1, [1.0, 2.0]);
    assert_holds(&strict.refusal(JSON, "[1]"), &["1 steps", "takes 2"]);
    assert_holds(&strict.refusal(JSON, "[1, 2, 3]"), &["3 steps", "takes 2"]);
    let only_cut = series(&json!({ "keep": "end" }), &[1, 2]);
    assert_holds(&only_cut.refusal(JSON, "[1]"), &["1 steps"]);
}

#[test]
fn a_table_that_does_not_fit_the_signature_is_refused_with_what_would() {
    let two = ["t", "p"];
    for (keys, shape, parts) in [
        (
            json!({ "channels": two }),
            &[1, -1, 3][..],
            &["[1, steps, 2]", "[1, -1, 3]"][..],
        ),
        (json!({ "channels": two }), &[1, -1], &["[1, steps, 2]"]),
        (
            json!({ "channels": two, "layout": "channels_steps" }),
            &[1, 5, 2],
            &["[1, 2, steps]"],
        ),
        (json!({}), &[1, -1, 2], &["[1, steps, 1]"]),
        (json!({}), &[4, -1], &["[4, -1]"]),
        (json!({ "length": 3 }), &[1, 4], &["length is 3", "4 steps"]),
        (json!({ "length": 0 }), &[1, -1], &["from 1 to 100000"]),
        (
            json!({ "length": 100_001 }),
            &[1, -1],
            &["from 1 to 100000"],
        ),
        (json!({}), &[1, 100_001], &["at most 100000"]),
        (json!({ "pad": 0 }), &[1, -1], &["set length"]),
        (json!({ "keep": "end" }), &[1, -1], &["set length"]),
        (json!({ "pad_side": "end" }), &[1, 2], &["pad_side is for"]),
        (json!({ "pad": 1e39 }), &[1, 2], &["pad is too large"]),
        (json!({ "keep": "middle" }), &[1, 2], &["middle"]),
        (json!({ "channels": [] }), &[1, 2], &["names no channel"]),
        (
            json!({ "channels": ["t", "t"] }),
            &[1, 2, 2],
            &["\"t\" twice"],
        ),
        (
            json!({ "channels": [{ "name": "t", "missing": "first" }] }),
            &[1, 2],
            &["\"last\""],
        ),
        (
            json!({ "channels": [{ "name": "t", "scale": 0 }] }),
            &[1, 2],
            &["\"t\"", "scale"],
        ),
        (
            json!({ "channels": [{ "nam": "t" }] }),
            &[1, 2],
            &["unknown field `nam`"],
        ),
        (json!({ "steps": 3 }), &[1, 2], &["unknown field `steps`"]),
    ] {
        let why = read(&keys, Datatype::Fp32, shape).err();
        assert_holds(
            &why.unwrap_or_else(|| panic!("{keys} fits {shape:?}")),
            parts,
        );
    }
    let why = read(&json!({}), Datatype::Int64, &[1, -1]).err().unwrap();
    assert_holds(&why, &["INT64", "FP32 or FP64"]);
}

#[test]
fn what_is_no_series_is_refused_with_its_step() {
    for (content_type, body, parts) in [
        (JSON, "{}", &["a list of steps"][..]),
        (JSON, "7", &["a list of steps"]),
        (JSON, "", &["a list of steps"]),
        (JSON, "[]", &["holds no step"]),
        (JSON, "[[1, 2]", &["not JSON"]),
        (JSON, "[[1, 2], 3]", &["step 1", "expected"]),
        (
            JSON,
            "[[1, 2], [3]]",
            &["step 1", "1 values", "\"t\", \"p\""],
        ),
        (JSON, "[[1, 2, 3]]", &["step 0", "3 values"]),
        (
            JSON,
            "[[1, [2]]]",
            &["step 0", "\"p\" must be a single value"],
        ),
        (
            JSON,
            "[[1, \"2\"]]",
            &["step 0", "\"p\" must be a number, not \"2\""],
        ),
        (
            JSON,
            "[[1, 1e39]]",
            &["step 0", "\"p\" is too large for FP32"],
        ),
        (JSON, r#"[{"t": 1}]"#, &["step 0", "\"p\" is missing"]),
        (
            JSON,
            r#"[{"t": 1, "p": 2, "q": 3}]"#,
            &["unknown channel \"q\""],
        ),
        (
            JSON,
            r#"[{"t": 1, "p": 2, "t": 3}]"#,
            &["\"t\" is there twice"],
        ),
        (CSV, "t\n1\n", &["line 2", "channel \"p\" is missing"]),
        (CSV, "t,p\n", &["holds no step"]),
        (CSV, "t,p\n1,x\n", &["line 2", "\"p\" must be a number"]),
        (CSV, "t,p\n1,-inf\n", &["line 2", "\"p\" is not finite"]),
    ] {
        assert_holds(&weather().refusal(content_type, body), parts);
    }
    for deep in ["[".repeat(1_000_000), "{\"t\":".repeat(1_000_000)] {
        weather().refusal(JSON, format!("[{deep}"));
    }
    let one = series(&json!({}), &[1, -1]);
    assert_holds(
        &one.refusal(JSON, "[1, {}]"),
        &["step 1", "\"value\" is missing"],
    );
    assert_holds(
        &one.refusal(JSON, "[1, \"\\ud800\"]"),
        &["step 1", "half a character"],
    );
}

#[test]
fn a_hundred_thousand_steps_are_taken_and_not_one_more() {
    let one = series(&json!({}), &[1, -1]);
    let bodies = |steps: usize| {
        [
            (JSON, format!("[{}]", vec!["1"; steps].join(","))),
            (CSV, format!("value\n{}", "1\n".repeat(steps))),
        ]
    };
    for (content_type, body) in bodies(100_000) {
        assert_eq!(one.tensor(content_type, &body).0, [1, 100_000]);
    }
    for (content_type, body) in bodies(100_001) {
        let refused = one.decode(content_type, body.as_bytes());
        let Err(CallError::TooLarge(why)) = refused else {
            panic!("{content_type}: {:?}", refused.err());
        };
        assert_holds(&why, &["100000 steps"]);
    }
}
