//! Defaults of `docs/model.schema.json` are those of `pack`: with a key left out a model answers as with its
//! default, and otherwise with a value near it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::command::{Glovebox, shared_cache};
use crate::harness::files::{model_dir, temporary, workspace};
use crate::harness::media;
use crate::harness::onnx::{Graph, Node};
use crate::schema::{schema, tables};

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
