//! Fields of records become the columns of a model's inputs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod harness;

use glovebox_protocol::{Datatype, TensorSpec};
use serde_json::{Value, json};

use harness::{CSV, Input, JSON, LINES, ab, assert_holds, floats, spec};

#[test]
fn numbers_are_scaled() {
    let table = floats(&json!([{ "name": "a", "mean": 10, "scale": 4 }, "b"]));
    assert_eq!(table.numbers(JSON, r#"{"a": 12, "b": 12}"#), [0.5, 12.0]);
}

#[test]
fn a_category_becomes_its_number_or_a_column_of_its_own() {
    let table = floats(&json!([
        { "name": "a", "categories": { "red": 0, "white": 1.5 } },
        { "name": "b", "one_hot": ["DE", "FR", "1"] },
    ]));
    assert_eq!(
        table.numbers(JSON, r#"{"a": "white", "b": "FR"}"#),
        [1.5, 0.0, 1.0, 0.0]
    );
    // A number is the text that it is written as.
    assert_eq!(
        table.numbers(JSON, r#"{"a": "red", "b": 1}"#),
        [0.0, 0.0, 0.0, 1.0]
    );
    assert_eq!(table.numbers(CSV, "b,a\nDE,white\n"), [1.5, 1.0, 0.0, 0.0]);
    let why = table.refusal(
        JSON,
        r#"[{"a": "red", "b": "DE"}, {"a": "blau\n", "b": "DE"}]"#,
    );
    assert_holds(
        &why,
        &["record 1", "\"a\"", "\"blau\\n\"", "\"red\", \"white\""],
    );
}

#[test]
fn many_categories_are_not_all_listed() {
    let names: Vec<_> = (0..1000).map(|number| format!("c{number}")).collect();
    let why = floats(&json!([{ "name": "a", "one_hot": names }])).refusal(JSON, r#"{"a": "x"}"#);
    assert_holds(&why, &["\"c0\"", "..."]);
}

#[test]
fn a_missing_value_is_refused_or_what_the_field_says() {
    let table = floats(&json!([
        { "name": "a", "missing": 38.5 },
        { "name": "b", "categories": { "x": 1, "y": 2 }, "missing": "y" },
        { "name": "c", "one_hot": ["x", "y"], "missing": 0 },
    ]));
    let expected = [38.5, 2.0, 0.0, 0.0];
    for record in [
        r#"{}"#,
        r#"{"a": null, "b": null, "c": null}"#,
        r#"{"a": "", "b": "", "c": ""}"#,
    ] {
        assert_eq!(table.numbers(JSON, record), expected, "{record}");
    }
    assert_eq!(table.numbers(CSV, "a,b,c\n,,\n"), expected);
    assert_eq!(table.numbers(CSV, "c,b,a\n\"\",, NaN \n"), expected);
    // A column that is not there is a value that is absent in every row.
    let two = [38.5, 1.0, 0.0, 0.0, 38.5, 2.0, 0.0, 0.0];
    assert_eq!(table.numbers(CSV, "b\nx\ny\n"), two);
    assert_eq!(table.numbers(CSV, "b;c\nx;\ny;\n"), two);
    assert_eq!(
        table.numbers(LINES, "{\"b\": \"x\"}\n{\"b\": \"y\"}\n"),
        two
    );

    for (content_type, body, row) in [
        (JSON, "{\"a\": 1}", "record 0"),
        (
            JSON,
            "[{\"a\": 1, \"b\": 2}, {\"a\": 1, \"b\": null}]",
            "record 1",
        ),
        (LINES, "{\"a\": 1, \"b\": 2}\n\n{\"a\": 1}", "line 3"),
        (CSV, "a,b\n1,2\n\n\n1,\n", "line 5"),
        (CSV, "a,b\n\"1\n\",2\n1,nan\n", "line 4"),
    ] {
        assert_holds(
            &ab().refusal(content_type, body),
            &[row, "field \"b\" is missing"],
        );
    }
}

#[test]
fn a_missing_number_can_be_nan_for_models_that_know_it() {
    let table = floats(&json!([{ "name": "a", "missing": "nan", "mean": 1.0 }]));
    assert!(table.numbers(JSON, "{}")[0].is_nan());
    assert!(table.numbers(CSV, "a\n-NaN\n")[0].is_nan());
}

#[test]
fn an_unknown_category_is_what_the_field_says() {
    let table = floats(&json!([
        { "name": "a", "categories": { "x": 1 }, "unknown": -1 },
        { "name": "b", "one_hot": ["x", "other"], "unknown": "other" },
        { "name": "c", "one_hot": ["x", "y"], "unknown": 0 },
    ]));
    let numbers = table.numbers(JSON, r#"{"a": "?", "b": "?", "c": "?"}"#);
    assert_eq!(numbers, [-1.0, 0.0, 1.0, 0.0, 0.0]);
    // What is missing is not unknown.
    let why = table.refusal(JSON, r#"{"a": null, "b": "x", "c": "x"}"#);
    assert_holds(&why, &["\"a\" is missing"]);
}

#[test]
fn each_field_goes_into_the_input_of_its_name_as_that_wants_it() {
    let inputs = [
        spec("single", Datatype::Fp32, &[-1, 1]),
        spec("double", Datatype::Fp64, &[-1, 1]),
        spec("long", Datatype::Int64, &[-1]),
        spec("int", Datatype::Int32, &[-1, 1]),
        spec("truth", Datatype::Bool, &[-1, 1]),
        spec("text", Datatype::Bytes, &[-1, 1]),
    ];
    let fields = json!([
        "text",
        { "name": "whole", "tensor": "long" },
        { "name": "pair", "categories": { "x": 3 }, "tensor": "int" },
        "double", "truth", "single",
    ]);
    let table = Input::records(&fields, &inputs).unwrap();
    let body = r#"[
        {"text": "\u00e9\u0000", "whole": 9007199254740993, "pair": "x", "double": 0.1, "truth": true, "single": 0.1},
        {"text": "a,\"b", "whole": -1.0, "pair": "x", "double": 1e300, "truth": 0, "single": 1}
    ]"#;
    let tensors = table.decode(JSON, body.as_bytes()).unwrap();
    let names: Vec<_> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["single", "double", "long", "int", "truth", "text"]);
    assert_eq!(tensors[0].to_fp32().unwrap(), [0.1, 1.0]);
    let doubles: Vec<u8> = [0.1f64, 1e300]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    assert_eq!(tensors[1].data, doubles);
    let longs: Vec<u8> = [9_007_199_254_740_993_i64, -1]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    assert_eq!((&tensors[2].data, &tensors[2].shape), (&longs, &vec![2]));
    assert_eq!(tensors[3].data, [3, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(
        (&tensors[4].data[..], &tensors[4].shape),
        (&[1, 0][..], &vec![2, 1])
    );
    let texts: Vec<_> = tensors[5].bytes_elements().collect();
    assert_eq!(texts, ["é\0".as_bytes(), b"a,\"b"]);

    let csv = "whole,text,pair,truth,double,single\n9007199254740993,é\0,x,true,0.1,0.1\n\
        -1.0,\"a,\"\"b\",x,0,1e300,1\n";
    assert_eq!(table.decode(CSV, csv.as_bytes()).unwrap(), tensors);

    let with = |name: &str, value: &str| {
        let body = json!({
            "text": "t", "whole": 1, "pair": "x", "double": 1, "truth": true, "single": 1
        });
        let mut body = body.as_object().unwrap().clone();
        body.insert(name.into(), serde_json::from_str(value).unwrap());
        table.refusal(JSON, Value::from(body).to_string())
    };
    assert_holds(
        &with("whole", "1.5"),
        &["\"whole\" must be a whole number", "1.5"],
    );
    assert_holds(
        &with("whole", "1e19"),
        &["\"whole\" must be a whole number"],
    );
    assert_holds(&with("truth", "2"), &["\"truth\" must be true or false"]);
    assert_holds(
        &with("single", "1e39"),
        &["\"single\" is too large for FP32"],
    );
    assert_holds(&with("text", "null"), &["\"text\" is missing"]);
    assert_holds(&with("text", "[1]"), &["\"text\" must be a single value"]);
}

#[test]
fn one_input_can_take_some_of_the_fields() {
    let inputs = [
        spec("numbers", Datatype::Fp32, &[-1, 3]),
        spec("name", Datatype::Bytes, &[-1, 1]),
    ];
    let fields = json!([
        { "name": "a", "tensor": "numbers" },
        "name",
        { "name": "b", "one_hot": ["x", "y"], "tensor": "numbers" },
    ]);
    let table = Input::records(&fields, &inputs).unwrap();
    let tensors = table.decode(CSV, b"name,a,b\nn,5,y\nm,6,x\n").unwrap();
    assert_eq!(tensors[0].shape, [2, 3]);
    assert_eq!(
        tensors[0].to_fp32().unwrap(),
        [5.0, 0.0, 1.0, 6.0, 1.0, 0.0]
    );
    let names: Vec<_> = tensors[1].bytes_elements().collect();
    assert_eq!(names, [b"n", b"m"]);
}

/// Why fields do not fit these inputs.
#[track_caller]
fn misfit(fields: Value, inputs: &[TensorSpec]) -> String {
    match Input::records(&fields, inputs) {
        Ok(_) => panic!("{fields} fits"),
        Err(why) => why,
    }
}

#[test]
fn fields_that_do_not_fit_the_signature_are_refused_by_name() {
    let single = [spec("x", Datatype::Fp32, &[-1, 2])];
    let long = [spec("x", Datatype::Int64, &[-1, 1])];
    let text = [spec("x", Datatype::Bytes, &[-1, 1])];
    let two = [
        spec("a", Datatype::Fp32, &[-1, 1]),
        spec("c", Datatype::Fp32, &[-1, 1]),
    ];
    for (fields, inputs, parts) in [
        (
            json!(["a"]),
            &single[..],
            &["1 columns", "\"x\"", "[-1, 2]"][..],
        ),
        (
            json!(["a", "b"]),
            &two,
            &["\"b\" fills input \"b\"", "\"a\", \"c\""],
        ),
        (json!(["a"]), &two, &["no field for input \"c\""]),
        (
            json!([{ "name": "a", "tensor": "y" }]),
            &long,
            &["\"a\" fills input \"y\""],
        ),
        (json!([]), &single, &["names no field"]),
        (json!(["a", "a"]), &single, &["field \"a\" twice"]),
        (json!(["", "a"]), &single, &["empty name"]),
        (
            json!([{ "name": "a", "mean": 1 }]),
            &long,
            &["\"a\"", "mean and scale", "INT64"],
        ),
        (
            json!([{ "name": "a", "missing": 1.5 }]),
            &long,
            &["\"a\"", "whole number"],
        ),
        (
            json!([{ "name": "a", "missing": "nan" }]),
            &long,
            &["\"a\"", "whole number"],
        ),
        (
            json!([{ "name": "a", "missing": null }]),
            &long,
            &["\"a\"", "\"nan\""],
        ),
        (
            json!([{ "name": "a", "missing": 1 }]),
            &text,
            &["\"a\"", "must be a text"],
        ),
        (
            json!([{ "name": "a", "missing": "x" }, "b"]),
            &single,
            &["\"a\"", "must be a number"],
        ),
        (
            json!([{ "name": "a", "categories": { "x": 0.5 } }]),
            &long,
            &["\"a\"", "whole number"],
        ),
        (
            json!([{ "name": "a", "categories": { "x": 1 } }]),
            &text,
            &["\"a\"", "BYTES"],
        ),
        (
            json!([{ "name": "a", "categories": {} }]),
            &long,
            &["\"a\"", "categories are empty"],
        ),
        (
            json!([{ "name": "a", "one_hot": [] }]),
            &long,
            &["\"a\"", "one_hot is empty"],
        ),
        (
            json!([{ "name": "a", "one_hot": ["x", "x"] }]),
            &single,
            &["\"x\" twice"],
        ),
        (
            json!([{ "name": "a", "one_hot": ["x"], "unknown": "y" }]),
            &long,
            &["unknown = \"y\" is none"],
        ),
        (
            json!([{ "name": "a", "unknown": 1 }]),
            &long,
            &["unknown is for categories"],
        ),
        (
            json!([{ "name": "a", "scale": 0 }, "b"]),
            &single,
            &["\"a\"", "scale"],
        ),
        (
            json!([{ "name": "a", "colour": 1 }]),
            &long,
            &["unknown field `colour`"],
        ),
        (json!([7]), &long, &["field 7"]),
        (
            json!(["a"]),
            &[spec("x", Datatype::Uint8, &[-1, 1])],
            &["\"x\" is UINT8"],
        ),
        (
            json!(["a"]),
            &[spec("x", Datatype::Fp32, &[-1, 1, 1])],
            &["[-1, 1, 1]"],
        ),
    ] {
        assert_holds(&misfit(fields, inputs), parts);
    }
}

#[test]
fn a_model_of_fixed_size_takes_as_many_records_as_it_has_room_for() {
    let table = Input::records(&json!(["a"]), &[spec("x", Datatype::Fp32, &[2, 1])]).unwrap();
    assert_eq!(table.numbers(CSV, "a\n1\n2\n"), [1.0, 2.0]);
    assert_holds(&table.refusal(CSV, "a\n1\n"), &["1 records", "takes 2"]);
}
