//! Tables and series: numbers and classes are those of scikit-learn and ONNX Runtime, asked with the same
//! records. `tables/make.py` made the models, their configurations and what to expect.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::command::Glovebox;
use crate::harness::files::{model_dir, temporary, wine, workspace};
use crate::harness::host::Host;

/// Of the number to expect, and by itself: sums of single precision.
const TOLERANCE: f64 = 1e-4;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv; charset=utf-8";
const TABS: &str = "text/tab-separated-values";

fn material(file: &str) -> PathBuf {
    workspace().join("tests/tables").join(file)
}

fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let text = fs::read_to_string(material("expected.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn config(model: &str) -> String {
    fs::read_to_string(material(&format!("{model}.toml"))).unwrap()
}

/// A folder of the model and this configuration.
fn folder(model: &str, config: &str) -> tempfile::TempDir {
    let dir = temporary();
    let file = format!("{model}.onnx");
    fs::copy(material(&file), dir.path().join(&file)).unwrap();
    fs::write(dir.path().join("model.toml"), config).unwrap();
    dir
}

fn up(model: &str) -> Host {
    let dir = folder(model, &config(model));
    let file = dir.path().join(format!("{model}.onnx"));
    Glovebox::new("up").option("--from", file).serve()
}

/// The one line of error of packing with another configuration.
#[track_caller]
fn refused(model: &str, config: &str) -> String {
    let dir = folder(model, config);
    let file = dir.path().join(format!("{model}.onnx"));
    let line = Glovebox::new("pack").arg(file).run().refusal();
    println!("{line}");
    line
}

#[track_caller]
fn assert_close(have: &Value, expected: &Value, about: &Value) {
    let (have, expected) = (have.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!(
        (have - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
        "{have} ≠ {expected}: {about}"
    );
}

/// The names of all records' fields.
fn names(records: &[Value]) -> BTreeSet<&String> {
    let keys = records
        .iter()
        .flat_map(|record| record.as_object().unwrap().keys());
    keys.collect()
}

/// A value as CSV has it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        number => number.to_string(),
    }
}

fn csv(records: &[Value]) -> String {
    let names = names(records);
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let header = line(names.iter().map(|name| cell(&json!(name))).collect());
    let rows = records.iter().map(|record| {
        line(
            names
                .iter()
                .map(|name| cell(&record[name.as_str()]))
                .collect(),
        )
    });
    header + &rows.collect::<String>()
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// The answers to a list of records, which are the same in every form.
fn answers(client: &Client, model: &str, records: &[Value]) -> Vec<Value> {
    let ask = |content_type: &str, body: String| {
        client
            .predict(model, content_type, body.as_bytes())
            .ok()
            .as_array()
            .expect("a list")
            .clone()
    };
    let answers = ask(JSON, json!(records).to_string());
    assert_eq!(answers.len(), records.len());
    assert_eq!(ask(LINES, lines(records)), answers);
    assert_eq!(ask(CSV, csv(records)), answers);
    answers
}

#[test]
fn records_with_gaps_and_categories_are_predicted_as_by_scikit_learn() {
    let host = up("diabetes");
    let case = &expected()["diabetes"];
    let (records, values) = (list(case, "records"), list(case, "values"));
    assert!(records.len() > 50, "a few records prove nothing");
    let answers = answers(&host.client(), "diabetes", records);
    for ((answer, value), record) in answers.iter().zip(values).zip(records) {
        assert_close(&answer["value"], value, record);
    }
    let alone = host
        .client()
        .predict("diabetes", JSON, records[0].to_string().as_bytes())
        .ok();
    assert_close(&alone["value"], &values[0], &records[0]);
}

#[test]
fn each_column_can_be_an_input_of_its_own() {
    let host = up("iris");
    let case = &expected()["iris"];
    let (records, labels) = (list(case, "records"), list(case, "labels"));
    let answers = answers(&host.client(), "iris", records);
    for ((answer, scores), record) in answers.iter().zip(list(case, "scores")).zip(records) {
        for scored in list(answer, "top") {
            let place = labels.iter().position(|label| *label == scored["label"]);
            assert_close(&scored["score"], &scores[place.unwrap()], record);
        }
    }
    // It fits what the model says of itself.
    let metadata = host.client().get("/v2/models/iris").ok();
    let inputs: BTreeSet<_> = list(&metadata, "inputs")
        .iter()
        .map(|input| input["name"].as_str().unwrap())
        .collect();
    assert!(
        names(records)
            .iter()
            .all(|name| inputs.contains(name.as_str()))
    );
}

#[test]
fn several_numbers_are_answered_by_name_each_on_its_own_scale() {
    let host = up("linnerud");
    let case = &expected()["linnerud"];
    let records = list(case, "records");
    let answers = answers(&host.client(), "linnerud", records);
    for ((answer, expected), record) in answers.iter().zip(list(case, "answers")).zip(records) {
        for name in ["weight", "waist", "pulse"] {
            assert_close(&answer[name], &expected[name], record);
        }
    }
}

#[test]
fn inputs_of_every_type_are_filled() {
    let host = up("types");
    let record = json!({
        "single": 0.1, "double": 0.1, "long": 9_007_199_254_740_993_i64, "int": -7,
        "truth": true, "text": "Zoë, \"2\"\n",
    });
    let outputs = |content_type: &str, body: String| {
        let client = host.client();
        let answer = client.predict("types", content_type, body.as_bytes()).ok();
        let outputs = list(&answer, "outputs").iter().map(|output| {
            let name = output["name"].as_str().unwrap().trim_end_matches("_out");
            assert_eq!(output["shape"], json!([1, 1]), "{name}");
            (name.to_owned(), output["data"][0].clone())
        });
        Value::from(outputs.collect::<serde_json::Map<_, _>>())
    };
    assert_eq!(outputs(JSON, record.to_string()), record);
    assert_eq!(outputs(LINES, record.to_string()), record);
    assert_eq!(outputs(CSV, csv(std::slice::from_ref(&record))), record);
    let wrong = |name: &str, value: Value| {
        let mut record = record.clone();
        record[name] = value;
        let body = record.to_string();
        let answer = host.client().predict("types", JSON, body.as_bytes());
        answer.error(422, "invalid_input")
    };
    assert!(wrong("long", json!(0.5)).contains("\"long\" must be a whole number"));
    assert!(wrong("int", json!(1_u64 << 31)).contains("\"int\" is too large"));
    assert!(wrong("truth", json!(2)).contains("\"truth\" must be true or false"));
    assert!(wrong("text", Value::Null).contains("\"text\" is missing"));
}

/// A series of named channels as a list of objects, and as CSV.
fn forms(names: &[&str], steps: &[Value]) -> [(&'static str, String); 3] {
    let objects = steps.iter().map(|step| {
        let cells = names.iter().zip(step.as_array().unwrap());
        let cells = cells.map(|(name, cell)| ((*name).to_owned(), cell.clone()));
        Value::from(cells.collect::<serde_json::Map<_, _>>())
    });
    let objects: Vec<_> = objects.collect();
    [
        (JSON, json!(steps).to_string()),
        (JSON, json!(objects).to_string()),
        (CSV, csv(&objects)),
    ]
}

#[test]
fn a_series_of_any_length_goes_through_a_recurrent_network() {
    let host = up("forecast");
    for case in list(expected(), "forecast") {
        for (content_type, body) in forms(&["temperature", "pressure"], list(case, "series")) {
            let client = host.client();
            let answer = client
                .predict("forecast", content_type, body.as_bytes())
                .ok();
            assert_close(&answer["temperature"], &case["temperature"], case);
        }
    }
}

#[test]
fn a_series_is_cut_and_padded_to_a_fixed_length() {
    let host = up("gesture");
    let expected = &expected()["gesture"];
    let labels = list(expected, "labels");
    for case in list(expected, "cases") {
        for (content_type, body) in forms(&["x", "y"], list(case, "series")) {
            let client = host.client();
            let answer = client
                .predict("gesture", content_type, body.as_bytes())
                .ok();
            assert_eq!(list(&answer, "top").len(), labels.len());
            for scored in list(&answer, "top") {
                let place = labels.iter().position(|label| *label == scored["label"]);
                assert_close(&scored["score"], &case["scores"][place.unwrap()], case);
            }
        }
    }
}

#[test]
fn a_table_that_does_not_fit_the_model_is_refused_when_it_is_packed() {
    let with = |model: &str, from: &str, to: &str| {
        let written = config(model);
        assert!(written.contains(from), "{from:?} is not in {model}.toml");
        refused(model, &written.replacen(from, to, 1))
    };
    for (line, parts) in [
        (
            with("iris", "petal width (cm)", "petal width"),
            ["\"petal width\"", "\"petal width (cm)\""],
        ),
        (
            with("iris", "    \"petal width (cm)\",\n", ""),
            ["no field", "\"petal width (cm)\""],
        ),
        (
            with("diabetes", "[\"1\", \"2\"]", "[\"1\", \"2\", \"3\"]"),
            ["12 columns", "[-1, 11]"],
        ),
        (
            with("diabetes", "missing = 50.0", "missing = nan"),
            ["\"age\"", "\"nan\""],
        ),
        (
            with("diabetes", "unknown = 0", "unknown = \"3\""),
            ["\"sex\"", "none of its categories"],
        ),
        (
            with("types", "\"long\"", "{ name = \"long\", scale = 2 }"),
            ["\"long\"", "INT64"],
        ),
        (with("linnerud", "\"weight\", ", ""), ["names", "3"]),
        (
            with("gesture", "channels_steps", "steps_channels"),
            ["[1, steps, 2]", "[1, 2, 24]"],
        ),
        (
            with("gesture", "keep", "length = 25\nkeep"),
            ["25", "24 steps"],
        ),
        (
            with("forecast", "[output]", "pad = 0\n[output]"),
            ["pad", "set length"],
        ),
    ] {
        for part in parts {
            assert!(line.contains(part), "no {part:?}: {line}");
        }
    }
}

fn records() -> Vec<Value> {
    let record = |number: usize| {
        let file = format!("examples/cultivar-{number}.json");
        let text = fs::read_to_string(model_dir("wine").join(file)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    (1..=3).map(record).collect()
}

#[test]
fn a_list_is_answered_by_a_list_and_a_record_by_itself() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let records = records();
    let answers = answers(&host.client(), "wine", &records);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer["label"], format!("cultivar {}", number + 1));
    }
    let ask = |content_type, body: String| {
        let client = host.client();
        client.predict("wine", content_type, body.as_bytes()).ok()
    };
    let (one, alone) = (&records[..1], records[0].to_string());
    assert_eq!(ask(JSON, alone.clone()), answers[0]);
    let listed = json!([answers[0]]);
    assert_eq!(ask(JSON, format!("[{alone}]")), listed);
    assert_eq!(ask(LINES, lines(one)), listed);
    assert_eq!(ask(CSV, csv(one)), listed);
}

#[test]
fn a_file_of_csv_is_read_by_its_extension() {
    let dir = temporary();
    let file = |name: &str, text: String| {
        let path: PathBuf = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let run = |path: &Path| {
        let run = Glovebox::new("run").arg(wine()).option("--input", path);
        run.run().json()
    };
    let answers = run(&file("wines.csv", csv(&records())));
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(run(&file("wines.ndjson", lines(&records()))), answers);
    assert_eq!(run(&file("wines.jsonl", lines(&records()))), answers);
}

#[test]
fn a_table_may_have_semicolons_or_tabs_and_lack_columns_that_the_model_can_do_without() {
    let host = up("diabetes");
    let client = host.client();
    let case = &expected()["diabetes"];
    let records = list(case, "records").to_vec();
    let values = |content_type: &str, body: &str| {
        let answer = client.predict("diabetes", content_type, body.as_bytes());
        answer.ok()
    };
    let expected = values(CSV, &csv(&records));
    // No cell of these has a comma in it.
    let semicolons = csv(&records).replace(',', ";");
    assert_eq!(values(CSV, &semicolons), expected);
    let tabs = csv(&records).replace(',', "\t");
    assert_eq!(values(TABS, &tabs), expected);
    assert_eq!(values(CSV, &tabs), expected);

    let dir = temporary();
    let file = dir.path().join("table.tsv");
    fs::write(&file, &tabs).unwrap();
    let packed = dir.path().join("diabetes.wasm");
    let pack = Glovebox::new("pack").arg(material("diabetes.onnx"));
    let pack = pack.option("--config", material("diabetes.toml"));
    pack.option("--output", &packed).run().success();
    let run = Glovebox::new("run").arg(&packed).option("--input", &file);
    assert_eq!(run.run().json(), expected);

    let mut without = records;
    for record in &mut without {
        record.as_object_mut().unwrap().remove("age");
    }
    let absent = values(JSON, &json!(without).to_string());
    assert_ne!(absent, expected);
    let table = csv(&without);
    assert!(!table.contains("age"));
    assert_eq!(values(CSV, &table), absent);
    let commas = semicolons.replace('.', ",");
    let answer = client.predict("diabetes", CSV, commas.as_bytes());
    let error = answer.error(422, "invalid_input");
    assert!(error.contains("decimals with a point"), "{error}");
}

#[test]
fn ten_thousand_records_are_answered_and_one_more_is_too_large() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let client = host.client();
    let many = |count: usize| {
        let records: Vec<_> = records().into_iter().cycle().take(count).collect();
        csv(&records)
    };
    let answer = client.predict("wine", CSV, many(10_000).as_bytes()).ok();
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 10_000);
    for (answer, cultivar) in answers.iter().zip([1, 2, 3].iter().cycle()) {
        assert_eq!(answer["label"], format!("cultivar {cultivar}"));
    }
    let error = client
        .predict("wine", CSV, many(10_001).as_bytes())
        .error(413, "too_large");
    assert!(error.contains("10000 records"), "{error}");
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_line_and_column() {
    let host = Glovebox::new("up").option("--from", wine()).serve();
    let good = csv(&records());
    let header = good.lines().next().unwrap();
    let mut odd = records();
    odd[0]["hue"] = json!("\u{1b}[2J");
    for (content_type, body, part) in [
        (
            CSV,
            good.replacen("\"hue\"", "\"hu\"", 1),
            "unknown column \"hu\"",
        ),
        (CSV, header.to_owned(), "holds no record"),
        (CSV, format!("{header}\r\n1,2\r\n"), "line 2: 2 cells"),
        (LINES, format!("{}{{\"hue\":", lines(&records())), "line 4"),
        (LINES, lines(&odd), "\"hue\" must be a number"),
    ] {
        let client = host.client();
        let answer = client.predict("wine", content_type, body.as_bytes());
        let error = answer.error(422, "invalid_input");
        assert!(error.contains(part), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
    let error = host
        .client()
        .predict("wine", "application/vnd.ms-excel", b"");
    let error = error.error(415, "unsupported_media");
    assert!(error.contains("text/csv"), "{error}");
}
