//! Records of JSON and CSV become the columns of a model's inputs, and what hostile ones do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use glovebox_pipeline::{CallError, Pipeline};
use glovebox_protocol::{Datatype, Tensor, TensorSpec, push_element};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const TABS: &str = "text/tab-separated-values";

/// A pipeline with the inputs of its model.
struct Table {
    pipeline: Pipeline,
    inputs: Vec<TensorSpec>,
}

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
    }
}

fn read(fields: &Value, inputs: &[TensorSpec], output: &Value) -> Result<Pipeline, String> {
    let input = json!({ "kind": "record", "fields": fields });
    let config = json!({ "name": "test", "input": input, "output": output });
    let outputs = [spec("y", Datatype::Fp32, &[-1, 2])];
    Pipeline::from_json(config.to_string().as_bytes(), inputs, &outputs)
}

impl Table {
    fn new(fields: Value, inputs: Vec<TensorSpec>) -> Self {
        let pipeline = read(&fields, &inputs, &json!({ "kind": "tensors" })).unwrap();
        Self { pipeline, inputs }
    }

    fn decode(&self, content_type: &str, body: &[u8]) -> Result<Vec<Tensor>, CallError> {
        let prepared = self.pipeline.prepare(&self.inputs, content_type, body)?;
        Ok(prepared.request.inputs)
    }

    /// The numbers of the only input.
    #[track_caller]
    fn numbers(&self, content_type: &str, body: &str) -> Vec<f32> {
        let tensors = self.decode(content_type, body.as_bytes()).unwrap();
        tensors[0].to_fp32().unwrap()
    }

    /// Why a body is invalid.
    #[track_caller]
    fn refusal(&self, content_type: &str, body: impl AsRef<[u8]>) -> String {
        match self.decode(content_type, body.as_ref()) {
            Err(CallError::InvalidInput(why)) => {
                assert!(why.len() < 3000, "{} bytes", why.len());
                assert!(!why.chars().any(char::is_control), "{why:?}");
                why
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it is taken"),
        }
    }
}

/// One input of FP32, a column for each field.
fn floats(fields: Value) -> Table {
    Table::new(fields, vec![spec("x", Datatype::Fp32, &[-1, -1])])
}

fn ab() -> Table {
    floats(json!(["a", "b"]))
}

/// Why fields do not fit these inputs.
#[track_caller]
fn misfit(fields: Value, inputs: &[TensorSpec]) -> String {
    match read(&fields, inputs, &json!({ "kind": "tensors" })) {
        Ok(_) => panic!("{fields} fits"),
        Err(why) => why,
    }
}

#[track_caller]
fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

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
    let odd = floats(json!(["a;b", "c", "d,e"]));
    assert_eq!(odd.numbers(CSV, "a;b,\"d,e\",c\n1,3,2\n"), [1.0, 2.0, 3.0]);
    assert_eq!(odd.numbers(CSV, "\"a;b\";d,e;c\n1;3;2\n"), [1.0, 2.0, 3.0]);
    assert_eq!(floats(json!(["a"])).numbers(CSV, "a\n1\n"), [1.0]);
    let texts = Table::new(json!(["a"]), vec![spec("x", Datatype::Bytes, &[-1, 1])]);
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
fn numbers_are_scaled() {
    let table = floats(json!([{ "name": "a", "mean": 10, "scale": 4 }, "b"]));
    assert_eq!(table.numbers(JSON, r#"{"a": 12, "b": 12}"#), [0.5, 12.0]);
}

#[test]
fn a_category_becomes_its_number_or_a_column_of_its_own() {
    let table = floats(json!([
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
    let why = floats(json!([{ "name": "a", "one_hot": names }])).refusal(JSON, r#"{"a": "x"}"#);
    assert_holds(&why, &["\"c0\"", "..."]);
}

#[test]
fn a_missing_value_is_refused_or_what_the_field_says() {
    let table = floats(json!([
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
    let table = floats(json!([{ "name": "a", "missing": "nan", "mean": 1.0 }]));
    assert!(table.numbers(JSON, "{}")[0].is_nan());
    assert!(table.numbers(CSV, "a\n-NaN\n")[0].is_nan());
}

#[test]
fn an_unknown_category_is_what_the_field_says() {
    let table = floats(json!([
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
    let inputs = vec![
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
    let table = Table::new(fields, inputs.clone());
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
    let inputs = vec![
        spec("numbers", Datatype::Fp32, &[-1, 3]),
        spec("name", Datatype::Bytes, &[-1, 1]),
    ];
    let fields = json!([
        { "name": "a", "tensor": "numbers" },
        "name",
        { "name": "b", "one_hot": ["x", "y"], "tensor": "numbers" },
    ]);
    let table = Table::new(fields, inputs);
    let tensors = table.decode(CSV, b"name,a,b\nn,5,y\nm,6,x\n").unwrap();
    assert_eq!(tensors[0].shape, [2, 3]);
    assert_eq!(
        tensors[0].to_fp32().unwrap(),
        [5.0, 0.0, 1.0, 6.0, 1.0, 0.0]
    );
    let names: Vec<_> = tensors[1].bytes_elements().collect();
    assert_eq!(names, [b"n", b"m"]);
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
    let table = Table::new(json!(["a"]), vec![spec("x", Datatype::Fp32, &[2, 1])]);
    assert_eq!(table.numbers(CSV, "a\n1\n2\n"), [1.0, 2.0]);
    assert_holds(&table.refusal(CSV, "a\n1\n"), &["1 records", "takes 2"]);
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
    let table = Table::new(json!(["a"]), vec![spec("x", Datatype::Bytes, &[-1, 1])]);
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
    let table = floats(fields);
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

/// What is answered to a body, when the model's output is this.
fn answer(output: &Value, content_type: &str, body: &str, y: Tensor) -> Result<Value, CallError> {
    let inputs = [spec("x", Datatype::Fp32, &[-1, 1])];
    let mut input = json!({ "name": "test", "output": output });
    input["input"] = json!({ "kind": "record", "fields": ["a"] });
    let shape: Vec<i64> = y.shape.iter().map(|size| *size as i64).collect();
    let outputs = [spec("y", y.datatype, &shape)];
    let pipeline = Pipeline::from_json(input.to_string().as_bytes(), &inputs, &outputs).unwrap();
    let prepared = pipeline.prepare(&inputs, content_type, body.as_bytes())?;
    let answer = pipeline.answer(&prepared, vec![y])?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

fn doubles(shape: &[u64], numbers: &[f64]) -> Tensor {
    let data: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Tensor::new("y", Datatype::Fp64, shape.to_vec(), data).unwrap()
}

fn singles(shape: &[u64], numbers: &[f32]) -> Tensor {
    Tensor::fp32("y", shape.to_vec(), numbers).unwrap()
}

#[test]
fn a_list_is_answered_by_a_list_also_if_it_holds_one_record() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let one = json!({ "value": 3.2 });
    for (content_type, body, expected) in [
        (JSON, r#"{"a": 1}"#, one.clone()),
        (JSON, r#"[{"a": 1}]"#, json!([one])),
        (LINES, r#"{"a": 1}"#, json!([one])),
        (CSV, "a\n1\n", json!([one])),
    ] {
        let y = singles(&[1, 1], &[3.2]);
        assert_eq!(
            answer(&regression, content_type, body, y).unwrap(),
            expected
        );
    }
}

#[test]
fn numbers_are_answered_with_the_digits_of_their_type() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let body = r#"{"a": 1}"#;
    let ask = |y| answer(&regression, JSON, body, y).unwrap();
    assert_eq!(ask(singles(&[1], &[0.1])).to_string(), r#"{"value":0.1}"#);
    assert_eq!(
        ask(doubles(&[1], &[0.123_456_789_012])).to_string(),
        r#"{"value":0.123456789012}"#
    );
    assert_eq!(ask(singles(&[1], &[f32::NAN])), json!({ "value": null }));
    let data = 7_i64.to_le_bytes().to_vec();
    let whole = Tensor::new("y", Datatype::Int64, vec![1], data).unwrap();
    assert_eq!(ask(whole), json!({ "value": 7.0 }));
}

#[test]
fn several_numbers_are_answered_in_order_or_by_name() {
    let body = "a\n1\n2\n";
    let y = || singles(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let plain = json!({ "kind": "regression", "tensor": "y" });
    assert_eq!(
        answer(&plain, CSV, body, y()).unwrap(),
        json!([{ "values": [1.0, 2.0] }, { "values": [3.0, 4.0] }])
    );
    let named = json!({
        "kind": "regression", "tensor": "y", "names": ["rent", "price"],
        "mean": [10, 20], "scale": 2,
    });
    assert_eq!(
        answer(&named, CSV, body, y()).unwrap(),
        json!([{ "rent": 12.0, "price": 24.0 }, { "rent": 16.0, "price": 28.0 }])
    );
}

#[test]
fn scores_may_be_doubles() {
    let classes = json!({ "kind": "classification", "tensor": "y", "labels": ["no", "yes"] });
    let y = doubles(&[2, 2], &[0.25, 0.75, 0.5, 0.5]);
    let answers = answer(&classes, CSV, "a\n1\n2\n", y).unwrap();
    assert_eq!(answers[0]["label"], "yes");
    assert_eq!(answers[0]["score"], 0.75);
    assert_eq!(answers[1]["label"], "no");
}

#[test]
fn a_label_without_scores_is_a_class() {
    let body = "a\n1\n2\n";
    let plain = json!({ "kind": "classification", "tensor": "y" });
    let named = json!({ "kind": "classification", "tensor": "y", "labels": ["no", "yes"] });
    let labels = |first: &str, second: &str| json!([{ "label": first }, { "label": second }]);
    let longs = |numbers: [i64; 2]| {
        let data = numbers.map(i64::to_le_bytes).as_flattened().to_vec();
        Tensor::new("y", Datatype::Int64, vec![2], data).unwrap()
    };
    let ints = |numbers: [i32; 2]| {
        let data = numbers.map(i32::to_le_bytes).as_flattened().to_vec();
        Tensor::new("y", Datatype::Int32, vec![2, 1], data).unwrap()
    };
    let texts = |texts: &[&[u8]]| {
        let mut data = Vec::new();
        for text in texts {
            assert!(push_element(&mut data, text));
        }
        Tensor::new("y", Datatype::Bytes, vec![texts.len() as u64], data).unwrap()
    };
    for (output, y, expected) in [
        (
            &plain,
            longs([i64::MAX, -1]),
            labels("9223372036854775807", "-1"),
        ),
        (&named, longs([1, 0]), labels("yes", "no")),
        // What has no name is a number.
        (&named, longs([-1, 2]), labels("-1", "2")),
        (&named, ints([0, 1]), labels("no", "yes")),
        (
            &plain,
            texts(&[b"versicolor", b"\xff"]),
            labels("versicolor", "\u{fffd}"),
        ),
    ] {
        assert_eq!(answer(output, CSV, body, y).unwrap(), expected);
    }
    let alone = answer(&plain, JSON, r#"{"a": 1}"#, texts(&[b"setosa"])).unwrap();
    assert_eq!(alone, json!({ "label": "setosa" }));
}

#[test]
fn a_label_without_scores_that_does_not_fit_is_refused() {
    let inputs = [spec("x", Datatype::Fp32, &[-1, 1])];
    let refused = |more: Value, datatype, shape: &[i64]| {
        let mut output = json!({ "kind": "classification", "tensor": "y" });
        let more = more.as_object().unwrap().clone();
        output.as_object_mut().unwrap().extend(more);
        let input = json!({ "kind": "record", "fields": ["a"] });
        let config = json!({ "name": "test", "input": input, "output": output });
        let outputs = [spec("y", datatype, shape)];
        let read = Pipeline::from_json(config.to_string().as_bytes(), &inputs, &outputs);
        read.err().unwrap()
    };
    let long = Datatype::Int64;
    assert_holds(
        &refused(json!({}), long, &[-1, 3]),
        &["[-1, 3]", "[rows, 1]"],
    );
    assert_holds(
        &refused(json!({}), Datatype::Bool, &[-1]),
        &["BOOL", "BYTES"],
    );
    for more in [json!({ "activation": "softmax" }), json!({ "top": 3 })] {
        assert_holds(&refused(more, long, &[-1]), &["are for scores", "INT64"]);
    }
    let named = refused(json!({ "labels": ["a"] }), Datatype::Bytes, &[-1]);
    assert_holds(&named, &["labels are for numbers"]);
}

#[test]
fn a_model_that_does_not_answer_each_record_has_failed() {
    let regression = json!({ "kind": "regression", "tensor": "y" });
    let classes = json!({ "kind": "classification", "tensor": "y" });
    for y in [
        singles(&[1, 2], &[1.0, 2.0]),
        singles(&[3], &[1.0; 3]),
        singles(&[2, 0], &[]),
        singles(&[0], &[]),
    ] {
        for output in [&regression, &classes] {
            let shape = y.shape.clone();
            let failed = answer(output, CSV, "a\n1\n2\n", y.clone());
            let is_failed = matches!(failed, Err(CallError::Failed(_)));
            assert!(is_failed, "{output} of {shape:?}: {failed:?}");
        }
    }
}

#[test]
fn a_regression_that_does_not_fit_the_model_is_refused() {
    let inputs = [spec("x", Datatype::Fp32, &[-1, 1])];
    for (more, part) in [
        (json!({ "tensor": "z" }), "\"z\" does not exist"),
        (
            json!({ "names": ["a"] }),
            "names are for 1 numbers, and \"y\" has 2",
        ),
        (json!({ "names": ["a", "a"] }), "\"a\" twice"),
        (
            json!({ "mean": [1, 2, 3] }),
            "mean and scale are for 3 numbers",
        ),
        (
            json!({ "mean": [1, 2, 3], "scale": [1, 2] }),
            "as many numbers",
        ),
        (json!({ "mean": [] }), "empty list"),
        (json!({ "scale": 0 }), "not 0"),
        (json!({ "scale": "2" }), "a number, or a list"),
        (json!({ "labels": [] }), "unknown field `labels`"),
    ] {
        let mut output = json!({ "kind": "regression", "tensor": "y" });
        let more = more.as_object().unwrap().clone();
        output.as_object_mut().unwrap().extend(more);
        let why = read(&json!(["a"]), &inputs, &output).err().unwrap();
        assert_holds(&why, &[part]);
    }
}
