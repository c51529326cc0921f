//! `docs/model.schema.json` is true: it has the keys that `model.toml` has, with their values and their
//! defaults, and `docs/model-toml.md` says the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::harness::command::{Glovebox, shared_cache};
use crate::harness::files::{model_dir, names_in, temporary, workspace};
use crate::harness::media;
use crate::harness::onnx::{self, Graph, Node};
use crate::harness::python;

fn schema_file() -> PathBuf {
    workspace().join("docs/model.schema.json")
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(schema_file()).unwrap()).unwrap()
}

/// The tables that have a kind: `input` or `output`, the kind, and the keys.
fn tables(schema: &Value) -> Vec<(&str, &str, &Map<String, Value>)> {
    let tables = schema["$defs"].as_object().unwrap().iter();
    let tables = tables.filter_map(|(name, table)| {
        let (table_name, kind) = name.split_once('_')?;
        let keys = table["properties"].as_object()?;
        assert_eq!(keys["kind"]["const"], kind);
        Some((table_name, kind, keys))
    });
    let tables: Vec<_> = tables.collect();
    assert!(tables.len() >= 9, "the schema is written otherwise");
    tables
}

/// The one line with which packing a small model is refused, `written` being its `model.toml`.
#[track_caller]
fn refused(written: &str) -> String {
    let dir = temporary();
    fs::write(dir.path().join("model.onnx"), onnx::identity().model()).unwrap();
    fs::write(dir.path().join("model.toml"), written).unwrap();
    let pack = Glovebox::new("pack").arg(dir.path().join("model.onnx"));
    let line = pack.run().refusal();
    assert!(line.contains("zzz"), "{written}: {line}");
    line
}

/// What the line of an unknown word names instead.
fn expected(line: &str) -> BTreeSet<&str> {
    let known = line.split_once("expected ").map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).collect()
}

fn names(keys: &Map<String, Value>) -> BTreeSet<&str> {
    let keys = keys.keys().map(String::as_str);
    keys.filter(|key| *key != "kind").collect()
}

#[test]
fn the_schema_has_the_keys_that_pack_knows_and_no_others() {
    let schema = schema();
    for (table, kind, keys) in tables(&schema) {
        let line = refused(&format!("[{table}]\nkind = \"{kind}\"\nzzz = 1\n"));
        assert_eq!(expected(&line), names(keys), "{line}");
    }
    let line = refused("zzz = 1\n");
    assert_eq!(
        expected(&line),
        names(schema["properties"].as_object().unwrap()),
        "{line}"
    );
    let line = refused("[[example]]\nzzz = 1\n");
    let example = schema["$defs"]["example"]["properties"]
        .as_object()
        .unwrap();
    assert_eq!(expected(&line), names(example), "{line}");
}

#[test]
fn the_schema_has_the_kinds_that_pack_knows_and_no_others() {
    let schema = schema();
    for table in ["input", "output"] {
        let line = refused(&format!("[{table}]\nkind = \"zzz\"\n"));
        let kinds = tables(&schema);
        let kinds = kinds.iter().filter(|(other, ..)| *other == table);
        assert_eq!(
            expected(&line),
            kinds.map(|(_, kind, _)| *kind).collect(),
            "{line}"
        );
        // And the schema leads to each.
        let links = schema["properties"][table]["oneOf"].as_array().unwrap();
        let links: BTreeSet<_> = links
            .iter()
            .map(|link| link["$ref"].as_str().unwrap())
            .collect();
        for kind in expected(&line) {
            assert!(
                links.contains(&*format!("#/$defs/{table}_{kind}")),
                "{kind}"
            );
        }
    }
}

#[test]
fn words_of_the_schema_are_those_that_pack_knows_and_no_others() {
    let schema = schema();
    let mut count = 0;
    for (table, kind, keys) in tables(&schema) {
        for (key, about) in keys {
            let Some(words) = about.get("enum") else {
                continue;
            };
            let line = refused(&format!("[{table}]\nkind = \"{kind}\"\n{key} = \"zzz\"\n"));
            let words = words.as_array().unwrap().iter();
            let words: BTreeSet<_> = words.map(|word| word.as_str().unwrap()).collect();
            assert_eq!(expected(&line), words, "{kind}, {key}: {line}");
            count += 1;
        }
    }
    assert!(count >= 10, "the schema is written otherwise");
}

/// A model with its `model.toml`, what it is asked, and keys whose defaults that shows.
struct Case {
    model: Vec<u8>,
    input: &'static str,
    output: &'static str,
    body: (&'static str, Vec<u8>),
    /// A table, a key, and values near the default that give another answer.
    keys: &'static [(&'static str, &'static str, &'static [&'static str])],
}

const TEXT: &str = "kind = \"text\"\ntokenizer = \"tokenizer.json\"\nmax_tokens = 24";
const TENSORS: &str = "kind = \"tensors\"";

fn picture(name: &str) -> (&'static str, Vec<u8>) {
    let file = workspace().join("tests/images/pictures").join(name);
    ("body.png", fs::read(file).unwrap())
}

/// Pictures: what is made of them is the answer.
fn pictures() -> [Case; 2] {
    let mirror = || {
        let graph = Graph::new()
            .input("x", &[1, 1, 8, 6])
            .output("y", &[1, 1, 8, 6]);
        let same = Node::new("Identity", "", &["x"], &["y"]);
        graph.node(same).model()
    };
    [
        Case {
            model: mirror(),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 6\nheight = 8",
            output: TENSORS,
            body: picture("wide.png"),
            keys: &[
                ("input", "fit", &["\"crop\"", "\"letterbox\""]),
                (
                    "input",
                    "filter",
                    &["\"nearest\"", "\"bicubic\"", "\"lanczos\""],
                ),
                ("input", "scale", &["0.00390", "0.00394"]),
                ("input", "layout", &["\"nhwc\""]),
            ],
        },
        Case {
            model: mirror(),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 6\nheight = 8\nfit = \"letterbox\"",
            output: TENSORS,
            body: picture("wide.png"),
            keys: &[("input", "padding", &["113", "115"])],
        },
    ]
}

/// Classes of digits, and of pixels of which one is just below the middle and one just above.
fn classes() -> [Case; 2] {
    let digits = model_dir("digits");
    let graph = Graph::new()
        .input("x", &[1, 1, 1, 2])
        .output("y", &[1, 1, 1, 2]);
    let same = Node::new("Identity", "", &["x"], &["y"]);
    [
        Case {
            model: fs::read(digits.join("digits.onnx")).unwrap(),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 8\nheight = 8",
            output: "kind = \"classification\"\ntensor = \"scores\"",
            body: ("body.png", fs::read(digits.join("examples/7.png")).unwrap()),
            keys: &[
                ("output", "activation", &["\"softmax\"", "\"sigmoid\""]),
                ("output", "top", &["4", "6"]),
            ],
        },
        Case {
            model: graph.node(same).model(),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 2\nheight = 1",
            output: "kind = \"segmentation\"\ntensor = \"y\"",
            body: ("body.png", media::grey_png(2, 1, &[127, 128])),
            keys: &[
                ("output", "threshold", &["0.495", "0.505"]),
                ("output", "activation", &["\"sigmoid\""]),
            ],
        },
    ]
}

/// Boxes in the rows of pictures, six levels each: left, top, width, height, and scores of two classes.
fn boxes() -> [Case; 2] {
    let model = |rows: i64| {
        let squeeze = Node::new("Squeeze", "", &["x"], &["y"]).ints("axes", &[1]);
        let graph = Graph::new()
            .input("x", &[1, 1, rows, 6])
            .output("y", &[1, rows, 6]);
        // Axes became an input in version 13.
        graph.node(squeeze).model_of_opset(11)
    };
    // Two that have 0.449 in common, two with 0.460, and scores around a quarter.
    let near = [
        [0, 0, 50, 100, 200, 0],
        [0, 38, 50, 100, 190, 0],
        [60, 0, 50, 100, 180, 0],
        [60, 37, 50, 100, 170, 0],
        [120, 0, 9, 9, 63, 0],
        [140, 0, 9, 9, 1, 64],
    ];
    [
        Case {
            model: model(6),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 6\nheight = 6",
            output: "kind = \"detection\"\ntensor = \"y\"\nformat = \"xywh\"",
            body: ("body.png", media::grey_png(6, 6, near.as_flattened())),
            keys: &[
                (
                    "output",
                    "row",
                    &["\"box objectness scores\"", "\"box score class\""],
                ),
                ("output", "transposed", &["true"]),
                ("output", "coordinates", &["\"relative\""]),
                ("output", "activation", &["\"softmax\"", "\"sigmoid\""]),
                ("output", "threshold", &["0.245", "0.255"]),
                ("output", "iou", &["0.44", "0.47"]),
            ],
        },
        Case {
            model: model(102),
            input: "kind = \"image\"\ncolour = \"grey\"\nwidth = 6\nheight = 102",
            output: "kind = \"detection\"\ntensor = \"y\"\nformat = \"xywh\"\niou = 1",
            body: (
                "body.png",
                media::grey_png(6, 102, [[0, 0, 50, 50, 200, 0]; 102].as_flattened()),
            ),
            keys: &[("output", "max", &["99", "101"])],
        },
    ]
}

fn texts() -> [Case; 3] {
    let model = |name| fs::read(workspace().join("tests/text").join(name)).unwrap();
    let body = || ("body.txt", b"The cat sat on the mat.".to_vec());
    [
        Case {
            model: model("embed.onnx"),
            input: TEXT,
            output: "kind = \"embedding\"\ntensor = \"last_hidden_state\"\npooling = \"cls\"",
            body: body(),
            keys: &[
                ("input", "input_ids", &["\"ids\""]),
                ("input", "attention_mask", &["\"mask\""]),
                ("input", "token_type_ids", &["\"types\""]),
                ("output", "normalise", &["true"]),
            ],
        },
        Case {
            model: model("embed.onnx"),
            input: TEXT,
            output: "kind = \"embedding\"\ntensor = \"last_hidden_state\"",
            body: body(),
            keys: &[("output", "pooling", &["\"mean\"", "\"cls\""])],
        },
        Case {
            model: model("tag.onnx"),
            input: TEXT,
            output: "kind = \"token_classification\"\ntensor = \"logits\"\n\
                     labels = [\"A\", \"B\", \"C\", \"D\", \"E\"]",
            body: body(),
            keys: &[("output", "activation", &["\"none\"", "\"sigmoid\""])],
        },
    ]
}

fn numbers() -> [Case; 2] {
    let mirror = |shape: &[i64]| {
        let same = Node::new("Identity", "", &["x"], &["y"]);
        let graph = Graph::new().input("x", shape).output("y", shape);
        graph.node(same).model()
    };
    [
        Case {
            model: mirror(&[1, 3, 1]),
            input: "kind = \"series\"",
            output: TENSORS,
            body: ("body.csv", b"value\n1\n2\n3\n".to_vec()),
            keys: &[
                ("input", "channels", &["[\"other\"]"]),
                ("input", "layout", &["\"channels_steps\""]),
            ],
        },
        Case {
            model: mirror(&[1, 1]),
            input: "kind = \"record\"\nfields = [\"x\"]",
            output: "kind = \"regression\"\ntensor = \"y\"",
            body: ("body.json", b"{\"x\": 2.5}".to_vec()),
            keys: &[
                ("output", "mean", &["0.01", "[-0.01]"]),
                ("output", "scale", &["1.01", "[0.99]"]),
            ],
        },
    ]
}

#[test]
fn defaults_of_fields_and_channels_are_those_of_pack() {
    let schema = schema();
    for (table, input, body) in [
        ("field", "kind = \"record\"\nfields", "{\"value\": 2.5}"),
        ("channel", "kind = \"series\"\nchannels", "[2.5]"),
    ] {
        let case = |more: &str| {
            let mut case = numbers().into_iter().last().unwrap();
            case.body = ("body.json", body.into());
            let line = format!("{input} = [{{ name = \"value\"{more} }}]");
            let dir = temporary();
            fs::write(dir.path().join("model.onnx"), &case.model).unwrap();
            fs::write(dir.path().join(case.body.0), &case.body.1).unwrap();
            (case.input, case.output) = ("", TENSORS);
            case.answer(dir.path(), "input", &line).expect("an answer")
        };
        let keys = schema["$defs"][table]["properties"].as_object().unwrap();
        let defaults = keys
            .iter()
            .filter_map(|(key, about)| Some((key, about.get("default")?)));
        let mut count = 0;
        for (key, default) in defaults {
            let with = |value: f64| case(&format!(", {key} = {value}"));
            let default = default.as_f64().unwrap();
            assert!(with(default) == case(""), "{table}, {key} = {default}");
            assert!(with(default + 0.01) != case(""), "{table}, {key}");
            count += 1;
        }
        assert_eq!(count, 2, "mean and scale");
    }
}

impl Case {
    /// What the model answers, or that it is refused.
    fn answer(&self, dir: &Path, table: &str, line: &str) -> Option<Vec<u8>> {
        let more = |other| if other == table { line } else { "" };
        let (input, output) = (more("input"), more("output"));
        let written = format!(
            "[input]\n{}\n{input}\n[output]\n{}\n{output}\n",
            self.input, self.output
        );
        fs::write(dir.join("model.toml"), written).unwrap();
        let pack = Glovebox::new("pack").arg(dir.join("model.onnx")).run();
        if pack.code != Some(0) {
            return None;
        }
        let mut run = Command::new(env!("CARGO_BIN_EXE_glovebox"));
        run.arg("run").arg(dir.join("model.wasm"));
        run.arg("--input").arg(dir.join(self.body.0));
        let answer = run
            .env("GLOVEBOX_CACHE_DIR", shared_cache())
            .output()
            .unwrap();
        answer.status.success().then_some(answer.stdout)
    }

    /// The kind of a table.
    fn kind(&self, table: &str) -> &str {
        let written = if table == "input" {
            self.input
        } else {
            self.output
        };
        written.split('"').nth(1).unwrap()
    }
}

#[test]
fn defaults_of_the_schema_are_those_of_pack() {
    let schema = schema();
    let cases = pictures()
        .into_iter()
        .chain(classes())
        .chain(boxes())
        .chain(texts())
        .chain(numbers());
    let mut shown = BTreeSet::new();
    for case in cases {
        let dir = temporary();
        fs::write(dir.path().join("model.onnx"), &case.model).unwrap();
        fs::write(dir.path().join(case.body.0), &case.body.1).unwrap();
        let tokenizer = workspace().join("tests/text/unigram.json");
        fs::copy(tokenizer, dir.path().join("tokenizer.json")).unwrap();
        let answer = case.answer(dir.path(), "", "");
        // Without pooling, a vector for each token is no embedding.
        let is_refused = case.keys.iter().any(|(_, key, _)| *key == "pooling");
        assert_eq!(answer.is_none(), is_refused, "{}", case.output);
        for (table, key, others) in case.keys {
            let name = format!("{table}_{}", case.kind(table));
            let default = &schema["$defs"][&name]["properties"][key]["default"];
            let with = |value: &str| case.answer(dir.path(), table, &format!("{key} = {value}"));
            assert!(
                with(&default.to_string()) == answer,
                "{name}, {key} = {default}"
            );
            for other in *others {
                assert!(
                    with(other) != answer,
                    "{name}, {key} = {other} shows nothing"
                );
            }
            shown.insert((name, *key));
        }
    }
    for (table, kind, keys) in tables(&schema) {
        let keys = keys
            .iter()
            .filter(|(_, about)| about.get("default").is_some());
        for (key, _) in keys {
            let key = (format!("{table}_{kind}"), key.as_str());
            assert!(shown.contains(&key), "no case shows the default of {key:?}");
        }
    }
}

#[test]
fn the_default_of_the_tolerance_is_that_of_the_schema() {
    let schema = schema();
    let default = &schema["$defs"]["example"]["properties"]["tolerance"]["default"];
    let default = default.as_f64().unwrap();
    let dir = temporary();
    let digits = model_dir("digits");
    fs::copy(digits.join("digits.onnx"), dir.path().join("model.onnx")).unwrap();
    let written = "[input]\nkind = \"image\"\n";
    fs::write(dir.path().join("model.toml"), written).unwrap();
    let pack = || {
        Glovebox::new("pack")
            .arg(dir.path().join("model.onnx"))
            .run()
    };
    pack().success();
    let picture = digits.join("examples/7.png");
    let run = Glovebox::new("run").arg(dir.path().join("model.wasm"));
    let answer = run.option("--input", &picture).run().json();
    let score = answer["score"].as_f64().unwrap();
    for (off, is_right) in [(0.9, true), (1.1, false)] {
        let score = score + default * off;
        let example = format!("[[example]]\ninput = {picture:?}\nscore = {score}\n");
        fs::write(dir.path().join("model.toml"), format!("{written}{example}")).unwrap();
        assert_eq!(pack().code == Some(0), is_right, "{off}");
    }
}

/// What a key may be set to, as the page writes it.
fn values(about: &Value) -> String {
    let list = |key: &str| about.get(key).and_then(Value::as_array);
    if let Some(words) = list("enum") {
        let words = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()));
        return words.collect::<Vec<_>>().join(", ");
    }
    if let Some(either) = list("anyOf") {
        return either.iter().map(values).collect::<Vec<_>>().join(" or ");
    }
    let bounds = match (&about["minimum"], &about["maximum"]) {
        (Value::Null, _) => String::new(),
        (least, Value::Null) => format!(" from {least}"),
        (least, most) => format!(", {least} to {most}"),
    };
    let values = match about["type"].as_str() {
        Some("string") => "text",
        Some("number") => "number",
        Some("boolean") => "`true`, `false`",
        Some("integer") => return format!("whole number{bounds}"),
        Some("array") => {
            let items = values(&about["items"]).replace(" or ", "s or ");
            return format!("list of {items}s");
        }
        Some("object") if about.get("additionalProperties").is_some() => {
            return format!("table of {}s", values(&about["additionalProperties"]));
        }
        _ => "table",
    };
    values.to_owned()
}

/// The rows of the table that says the same as the schema.
fn rows(table: &Value) -> BTreeSet<String> {
    let is_needed = |key: &str| {
        let needed = table["required"].as_array();
        needed.is_some_and(|needed| needed.iter().any(|name| name == key))
    };
    let row = |(key, about): (&String, &Value)| {
        let default = match about.get("default") {
            Some(Value::String(word)) => format!(" `{word}`"),
            Some(value) => format!(" `{value}`"),
            None if is_needed(key) => " needed".into(),
            None => String::new(),
        };
        let (values, meaning) = (values(about), about["description"].as_str().unwrap());
        format!("| `{key}` | {values} |{default} | {meaning} |")
    };
    let keys = table["properties"].as_object().unwrap().iter();
    keys.filter(|(key, _)| *key != "kind").map(row).collect()
}

#[test]
fn the_reference_page_says_what_the_schema_says() {
    let schema = schema();
    let page = fs::read_to_string(workspace().join("docs/model-toml.md")).unwrap();
    let mut tables: Vec<_> = tables(&schema)
        .into_iter()
        .map(|(table, kind, _)| {
            let title = format!("`[{table}] kind = \"{kind}\"`");
            (title, &schema["$defs"][format!("{table}_{kind}")])
        })
        .collect();
    tables.push(("`model.toml`".into(), &schema));
    for (title, table) in [
        ("`[[input.fields]]`", "field"),
        ("`[[input.channels]]`", "channel"),
        ("`[[example]]`", "example"),
    ] {
        tables.push((title.into(), &schema["$defs"][table]));
    }
    let sections: Vec<_> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), tables.len());
    for (title, table) in tables {
        let find = |section: &&&str| section.lines().next() == Some(&*title);
        let section = sections.iter().find(find);
        let section = section.unwrap_or_else(|| panic!("no section {title}"));
        let written = section.lines().filter(|line| line.starts_with("| `"));
        let written: BTreeSet<_> = written.map(str::to_owned).collect();
        assert_eq!(written, rows(table), "{title}");
        if let Some(about) = table["properties"]["kind"]["description"].as_str() {
            assert!(section.contains(about), "{title}: {about}");
        }
    }
}

/// The drafts of some models, in a folder.
fn drafts(dir: &Path) -> Vec<PathBuf> {
    let draft = |(name, model): (&str, PathBuf)| {
        let output = dir.join(format!("{name}.toml"));
        let init = Glovebox::new("init").arg(model).option("-o", &output);
        init.run().success();
        output
    };
    let root = workspace();
    let text = |model| root.join("tests/text").join(model);
    fs::copy(text("wordpiece.json"), dir.join("tokenizer.json")).unwrap();
    let models = [
        ("digits", model_dir("digits").join("digits.onnx")),
        ("wine", model_dir("wine").join("wine.onnx")),
        ("embed", text("embed.onnx")),
        ("tag", text("tag.onnx")),
        ("echo", text("echo.onnx")),
        ("iris", root.join("tests/tables/iris.onnx")),
        ("gesture", root.join("tests/tables/gesture.onnx")),
        ("types", root.join("tests/tables/types.onnx")),
    ];
    models.map(draft).into()
}

#[test]
fn files_and_pages_of_this_repository_and_drafts_are_valid() {
    let dir = temporary();
    let mut files = drafts(dir.path());
    let root = workspace();
    let of_models = names_in(&root.join("models"));
    files.extend(
        of_models
            .iter()
            .map(|model| model_dir(model).join("model.toml")),
    );
    let template = root.join("host/src/cli/new/template");
    files.extend(["model.toml", "wine.toml"].map(|file| template.join(file)));
    let tables = root.join("tests/tables");
    let of_tables = names_in(&tables);
    let of_tables = of_tables.iter().filter(|name| name.ends_with(".toml"));
    files.extend(of_tables.map(|name| tables.join(name)));
    let pages = names_in(&root.join("docs"));
    let pages = pages.iter().filter(|page| page.ends_with(".md"));
    files.extend(pages.map(|page| root.join("docs").join(page)));
    files.push(root.join("README.md"));
    let wrong = dir.path().join("wrong.toml");
    fs::write(&wrong, "[input]\nkind = \"image\"\nwidht = 8\n").unwrap();
    files.push(wrong);
    let python = python::with("schema", "schema/requirements.txt");
    let output = Command::new(python)
        .arg(root.join("tests/schema/validate.py"))
        .arg(schema_file())
        .args(&files)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    println!("{said}{log}");
    let failed: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert!(
        matches!(failed.as_slice(), [line] if line.contains("wrong.toml")),
        "{said}{log}"
    );
    assert!(said.lines().count() > 15, "{said}{log}");
}
