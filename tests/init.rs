//! `init` drafts a `model.toml`, and `pack` says what it takes for granted of one that leaves things out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::command::{Glovebox, Outcome};
use crate::harness::files::{expected, model_dir, names_in, temporary, workspace};
use crate::harness::onnx::{Graph, Node, OPEN};

/// A folder with these bytes as `model.onnx`.
fn folder(model: &[u8]) -> TempDir {
    let dir = temporary();
    fs::write(dir.path().join("model.onnx"), model).unwrap();
    dir
}

fn bundled(model: &str) -> TempDir {
    folder(&fs::read(model_dir(model).join(format!("{model}.onnx"))).unwrap())
}

/// A small model of texts, beside a tokenizer.
fn text(model: &str, tokenizer: &str) -> TempDir {
    let material = workspace().join("tests/text");
    let dir = folder(&fs::read(material.join(format!("{model}.onnx"))).unwrap());
    let tokenizer = material.join(format!("{tokenizer}.json"));
    fs::copy(tokenizer, dir.path().join("tokenizer.json")).unwrap();
    dir
}

fn init(dir: &TempDir) -> Glovebox {
    Glovebox::new("init").arg(dir.path().join("model.onnx"))
}

/// The file that `init` drafts for the model in a folder.
#[track_caller]
fn drafted(dir: &TempDir) -> String {
    let said = init(dir).run().success();
    assert!(!said.contains("does not pack"), "{said}");
    fs::read_to_string(dir.path().join("model.toml")).unwrap()
}

fn pack(dir: &TempDir) -> Glovebox {
    Glovebox::new("pack").arg(dir.path().join("model.onnx"))
}

/// What is written of a folder's model, with nothing guessed in it.
fn write(dir: &TempDir, written: &str) {
    fs::write(dir.path().join("model.toml"), written).unwrap();
}

fn packed(dir: &TempDir) -> PathBuf {
    dir.path().join("model.wasm")
}

fn predict(dir: &TempDir, input: &Path) -> Value {
    let run = Glovebox::new("run")
        .arg(packed(dir))
        .option("--input", input);
    run.run().json()
}

/// Table, key and value of each assumption that a report of `pack --json` has.
fn assumed(report: &Value) -> Vec<(String, Value)> {
    let assumptions = report["assumed"].as_array().unwrap().iter();
    let short = |assumption: &Value| {
        let name = |key: &str| assumption[key].as_str().unwrap().to_owned();
        (
            name("table") + "." + &name("key"),
            assumption["value"].clone(),
        )
    };
    assumptions.map(short).collect()
}

/// A drafted file with all keys that it only mentions.
fn uncommented(draft: &str) -> String {
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map(|(key, _)| key);
        key.is_some_and(|key| {
            key.chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
        })
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) || rest == "[[example]]" => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    draft.lines().map(line).collect()
}

/// The largest of some scores, with its place.
fn best(scores: &Value) -> (usize, f64) {
    let scores = scores.as_array().unwrap().iter();
    let scores = scores.map(|score| score.as_f64().unwrap()).enumerate();
    scores.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

#[test]
fn a_model_of_pictures_answers_with_its_draft() {
    let dir = bundled("digits");
    let draft = drafted(&dir);
    assert!(
        draft.contains("#   input \"image\" FP32 [any, 1, 8, 8]\n"),
        "{draft}"
    );
    assert!(
        draft.contains("#   output \"scores\" FP32 [any, 10]\n"),
        "{draft}"
    );
    pack(&dir).run().success();
    for digit in 0..10 {
        let answer = predict(
            &dir,
            &model_dir("digits").join(format!("examples/{digit}.png")),
        );
        assert_eq!(answer["label"], digit.to_string(), "{answer}");
    }
}

#[test]
fn a_model_of_columns_answers_with_its_draft_whose_fields_have_made_up_names() {
    let dir = bundled("wine");
    let draft: toml::Table = drafted(&dir).parse().unwrap();
    let fields: Vec<_> = (1..=13).map(|field| format!("field_{field}")).collect();
    assert_eq!(json!(draft["input"]["fields"]), json!(fields));
    pack(&dir).run().success();
    let case = &expected("wine")[0];
    let columns = case["data"].as_array().unwrap();
    let record: Value = fields.into_iter().zip(columns.iter().cloned()).collect();
    let file = dir.path().join("record.json");
    fs::write(&file, record.to_string()).unwrap();
    let (class, score) = best(&case["scores"]);
    let answer = predict(&dir, &file);
    assert_eq!(answer["label"], class.to_string(), "{answer}");
    let have = answer["score"].as_f64().unwrap();
    assert!((have - score).abs() < 1e-4, "{have}, expected {score}");
}

#[test]
fn a_model_of_texts_beside_its_tokenizer_is_drafted_as_one() {
    let dir = text("embed", "wordpiece");
    drafted(&dir);
    pack(&dir).run().success();
    let drafted = fs::read(packed(&dir)).unwrap();
    write(
        &dir,
        "[input]\nkind = \"text\"\ntokenizer = \"tokenizer.json\"\n\
         [output]\nkind = \"embedding\"\ntensor = \"last_hidden_state\"\npooling = \"mean\"\nnormalise = true\n",
    );
    pack(&dir).run().success();
    assert!(fs::read(packed(&dir)).unwrap() == drafted);
}

#[test]
fn a_model_that_labels_tokens_gets_made_up_labels_and_the_length_that_it_declares() {
    let dir = text("tag", "unigram");
    let draft: toml::Table = drafted(&dir).parse().unwrap();
    assert_eq!(draft["input"]["max_tokens"].as_integer(), Some(24));
    assert_eq!(
        draft["output"]["kind"].as_str(),
        Some("token_classification")
    );
    assert_eq!(draft["output"]["labels"][4].as_str(), Some("label_5"));
    pack(&dir).run().success();
    let file = dir.path().join("text.txt");
    fs::write(&file, "Clara lives in Lyon.").unwrap();
    assert!(predict(&dir, &file)["entities"].is_array());
}

#[test]
fn a_draft_that_does_not_pack_as_it_is_says_why() {
    // The model has 64 positions, the tokenizer says nothing of that.
    let dir = text("classify", "bpe");
    let said = init(&dir).run().success();
    assert!(said.contains("it does not pack as it is"), "{said}");
    assert!(said.contains("set max_tokens"), "{said}");
    let file = dir.path().join("model.toml");
    let draft = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        draft.replace("# max_tokens = 256", "max_tokens = 24"),
    )
    .unwrap();
    pack(&dir).run().success();
    let body = dir.path().join("text.txt");
    fs::write(&body, "A very good day.").unwrap();
    let answer = predict(&dir, &body);
    let top = answer["top"].as_array().unwrap().iter();
    let sum: f64 = top.map(|class| class["score"].as_f64().unwrap()).sum();
    assert!(
        (sum - 1.0).abs() < 1e-4,
        "logits go through a softmax: {answer}"
    );
}

/// A model with an input for each of two columns, which it adds.
fn sum() -> Vec<u8> {
    let graph = Graph::new()
        .input("age", &[OPEN, 1])
        .input("height", &[OPEN, 1]);
    let sum = Node::new("Add", "", &["age", "height"], &["sum"]);
    graph.output("sum", &[OPEN, 1]).node(sum).model()
}

#[test]
fn a_model_with_an_input_for_each_column_takes_records_of_these_names() {
    let dir = folder(&sum());
    let report = pack(&dir).arg("--json").run().json();
    let expected = [
        ("input.kind", json!("record")),
        ("input.fields", json!(["age", "height"])),
        ("output.kind", json!("regression")),
        ("output.tensor", json!("sum")),
    ];
    assert_eq!(
        assumed(&report),
        expected.map(|(key, value)| (key.into(), value))
    );
    let file = dir.path().join("record.json");
    fs::write(&file, "{\"age\": 40, \"height\": 1.75}").unwrap();
    assert_eq!(predict(&dir, &file), json!({ "value": 41.75 }));
    let said = init(&dir).run().success();
    assert!(!said.contains("guessed"), "{said}");
    pack(&dir).run().success();
    assert_eq!(predict(&dir, &file), json!({ "value": 41.75 }));
}

#[test]
fn models_of_tables_and_series_pack_with_their_drafts() {
    for (model, kind) in [
        ("iris", "record"),
        ("diabetes", "record"),
        ("linnerud", "record"),
        ("types", "record"),
        ("forecast", "series"),
        ("gesture", "series"),
    ] {
        let file = format!("tests/tables/{model}.onnx");
        let dir = folder(&fs::read(workspace().join(file)).unwrap());
        let draft: toml::Table = drafted(&dir).parse().unwrap();
        assert_eq!(draft["input"]["kind"].as_str(), Some(kind), "{model}");
        pack(&dir).run().success();
    }
}

#[test]
fn boxes_and_masks_are_guessed_from_the_shapes_of_outputs() {
    let squeeze = Node::new("Squeeze", "", &["x"], &["y"]).ints("axes", &[1]);
    let boxes = Graph::new()
        .input("x", &[1, 1, 9, 8])
        .output("y", &[1, 9, 8]);
    // Axes became an input in version 13.
    let boxes = boxes.node(squeeze).model_of_opset(11);
    let same = Node::new("Identity", "", &["x"], &["y"]);
    let mask = Graph::new()
        .input("x", &[1, 16, 24, 3])
        .output("y", &[1, 16, 24, 3]);
    let mask = mask.node(same).model();
    for (model, input, output) in [
        (boxes, json!(["grey", 8, 9, "nchw"]), "detection"),
        (mask, json!(["rgb", 24, 16, "nhwc"]), "segmentation"),
    ] {
        let dir = folder(&model);
        let draft: toml::Table = drafted(&dir).parse().unwrap();
        let keys = ["colour", "width", "height", "layout"];
        assert_eq!(json!(keys.map(|key| &draft["input"][key])), input);
        assert_eq!(draft["output"]["kind"].as_str(), Some(output));
        pack(&dir).run().success();
    }
}

#[test]
fn a_model_that_nothing_can_be_guessed_of_takes_tensors_only() {
    let graph = Graph::new().input("a", &[OPEN, 4]).input("b", &[OPEN, 4]);
    let sum = Node::new("Add", "", &["a", "b"], &["y"]);
    let dir = folder(&graph.output("y", &[OPEN, 4]).node(sum).model());
    let draft: toml::Table = drafted(&dir).parse().unwrap();
    assert_eq!(draft.keys().collect::<Vec<_>>(), ["name"]);
    let report = pack(&dir).arg("--json").run().json();
    assert_eq!(report["signature"]["media"], Value::Null);
}

#[test]
fn all_that_a_draft_mentions_can_be_written() {
    let dir = text("embed", "wordpiece");
    let written: toml::Table = uncommented(&drafted(&dir)).parse().unwrap();
    for key in ["name", "version", "description", "licence", "example"] {
        assert!(written.contains_key(key), "{key}");
    }
    for key in [
        "tokenizer",
        "max_tokens",
        "input_ids",
        "attention_mask",
        "token_type_ids",
    ] {
        assert!(written["input"].get(key).is_some(), "{key}");
    }
    assert_eq!(written["example"][0]["tolerance"].as_float(), Some(0.001));
}

#[test]
fn a_file_that_is_there_is_kept_unless_forced() {
    let dir = bundled("digits");
    write(&dir, "name = \"mine\"\n");
    let line = init(&dir).run().refusal();
    assert!(line.contains("model.toml is there already"), "{line}");
    assert!(line.contains("--force"), "{line}");
    let file = dir.path().join("model.toml");
    assert_eq!(fs::read_to_string(&file).unwrap(), "name = \"mine\"\n");
    init(&dir).arg("--force").run().success();
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("name = \"model\"")
    );
}

#[test]
fn the_file_can_lie_elsewhere_and_needs_a_folder_to_lie_in() {
    let dir = bundled("digits");
    let elsewhere = dir.path().join("other.toml");
    let said = init(&dir).option("-o", &elsewhere).run().success();
    assert!(said.contains("other.toml"), "{said}");
    assert_eq!(names_in(dir.path()), ["model.onnx", "other.toml"]);
    let line = init(&dir).option("-o", dir.path().join("other.toml/model.toml"));
    let line = line.run().refusal();
    assert!(line.contains("cannot write"), "{line}");
}

#[test]
fn what_does_not_pack_is_refused_in_the_same_words() {
    let unknown = Graph::new().input("x", &[1, 4]).output("y", &[1, 4]);
    let unknown = unknown
        .node(Node::new("Teleport", "beam", &["x"], &["y"]))
        .model();
    for model in [b"Dear model,\nplease run.\n".to_vec(), Vec::new(), unknown] {
        let dir = folder(&model);
        let line = init(&dir).run().refusal();
        assert_eq!(line, pack(&dir).run().refusal());
        assert_eq!(names_in(dir.path()), ["model.onnx"]);
    }
    let dir = bundled("digits");
    let slow = init(&dir).option("--cpu", "1ms").run().refusal();
    assert!(slow.contains("raise --cpu"), "{slow}");
    let nowhere = Glovebox::new("init").arg(dir.path().join("nowhere.onnx"));
    let line = nowhere.run().refusal();
    assert!(line.contains("nowhere.onnx"), "{line}");
}

/// Names that would end a comment, a string or a line, or be taken for something else.
fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "x\nname = \"evil\"\n[output]",
        "x\r\n# [input]",
        "quote \" and \"\"\" and ' and '''",
        "back\\slash \\u0041 \\",
        "# comment",
        "\u{0}\u{1}\u{1b}[31mred\u{7f}\u{85}",
        "\u{202e}txet\u{2028}\u{feff}",
        "[[example]]",
        "👩🏽\u{200d}💻 ü",
    ]
    .map(str::to_owned)
    .into();
    names.push("long ".repeat(2000));
    names.push("l\n".repeat(5000));
    names
}

#[test]
fn names_in_a_model_stay_within_their_comments_and_strings() {
    for name in hostile_names() {
        let output = format!("probability {name}");
        let graph = Graph::new()
            .input(&name, &[OPEN, 3])
            .output(&output, &[OPEN, 3]);
        let same = Node::new("Identity", "same", &[&name], &[&output]);
        let dir = folder(&graph.node(same).model());
        let said = init(&dir).run().success();
        assert!(said.lines().count() <= 6, "{said}");
        let draft = fs::read_to_string(dir.path().join("model.toml")).unwrap();
        let is_shown = |letter: char| letter == '\n' || !letter.is_control();
        assert!((said.clone() + &draft).chars().all(is_shown), "{draft:?}");
        let written: toml::Table = draft
            .parse()
            .unwrap_or_else(|error| panic!("{error}: {draft}"));
        assert_eq!(
            written.keys().collect::<Vec<_>>(),
            ["input", "name", "output"]
        );
        assert_eq!(written["name"].as_str(), Some("model"));
        assert_eq!(written["output"]["tensor"].as_str(), Some(&*output));
        assert!(!said.contains("does not pack"), "{said}");
    }
}

#[test]
fn a_draft_shows_so_many_tensors_and_not_one_more() {
    let outputs: Vec<_> = (0..70).map(|output| format!("y{output}")).collect();
    let graph = Graph::new().input("x", &[OPEN, 4]);
    let graph = outputs.iter().fold(graph, |graph, output| {
        let same = Node::new("Identity", output, &["x"], &[output]);
        graph.output(output, &[OPEN, 4]).node(same)
    });
    let draft = drafted(&folder(&graph.model()));
    assert!(
        draft.contains("#   output \"y63\" ") && !draft.contains("\"y64\" "),
        "{draft}"
    );
    assert!(draft.contains("#   and 6 more\n"), "{draft}");
}

#[test]
fn columns_that_are_too_many_to_be_named_by_a_person_are_no_record() {
    for (columns, is_record) in [(256, true), (257, false)] {
        let graph = Graph::new()
            .input("x", &[OPEN, columns])
            .output("y", &[OPEN, columns]);
        let same = Node::new("Identity", "", &["x"], &["y"]);
        let draft = drafted(&folder(&graph.node(same).model()));
        assert_eq!(
            draft.contains("\nkind = \"record\""),
            is_record,
            "{columns}"
        );
    }
}

#[test]
fn pack_takes_for_granted_what_the_shapes_say_and_prints_it() {
    let dir = bundled("digits");
    write(&dir, "[input]\nkind = \"image\"\n");
    let said = pack(&dir).run().success();
    let line = "assumed: [input] width = 8, since input \"image\" is FP32 [any, 1, 8, 8]\n";
    assert!(said.contains(line), "{said}");
    let line =
        "assumed: [output] kind = \"classification\", since output \"scores\" is FP32 [any, 10]\n";
    assert!(said.contains(line), "{said}");
    let assumed_bytes = fs::read(packed(&dir)).unwrap();
    write(
        &dir,
        "[input]\nkind = \"image\"\ncolour = \"grey\"\nwidth = 8\nheight = 8\nlayout = \"nchw\"\n\
         [output]\nkind = \"classification\"\ntensor = \"scores\"\n",
    );
    let said = pack(&dir).run().success();
    assert!(!said.contains("assumed"), "{said}");
    assert!(fs::read(packed(&dir)).unwrap() == assumed_bytes);
}

#[test]
fn pack_reports_what_it_assumed_in_json() {
    let dir = bundled("wine");
    write(
        &dir,
        "[output]\nkind = \"classification\"\nlabels = [\"a\", \"b\", \"c\"]\n",
    );
    let report = pack(&dir).arg("--json").run().json();
    assert_eq!(
        assumed(&report),
        [("output.tensor".to_owned(), json!("probabilities"))]
    );
    let since = &report["assumed"][0]["since"];
    assert_eq!(since, "output \"probabilities\" is FP32 [any, 3]");
}

#[test]
fn what_is_written_stays_and_what_is_not_certain_is_not_assumed() {
    let dir = bundled("digits");
    for written in ["", "name = \"digits\"\n", "[output]\nkind = \"tensors\"\n"] {
        write(&dir, written);
        let report = pack(&dir).arg("--json").run().json();
        assert_eq!(report["assumed"], json!([]), "{written}");
        assert_eq!(report["signature"]["media"], Value::Null, "{written}");
    }
    write(&dir, "[input]\nkind = \"image\"\nwidth = 9\n");
    let line = pack(&dir).run().refusal();
    assert!(line.contains("[1, 1, 8, 9]"), "{line}");
}

#[test]
fn bytes_of_three_channels_can_be_nothing_but_a_picture() {
    let cast = Node::new("Cast", "", &["x"], &["y"]).int("to", 1);
    let graph = Graph::new()
        .bytes("x", &[1, 16, 16, 3])
        .output("y", &[1, 16, 16, 3]);
    let dir = folder(&graph.node(cast).model());
    let report = pack(&dir).arg("--json").run().json();
    let expected = [
        ("kind", json!("image")),
        ("colour", json!("rgb")),
        ("width", json!(16)),
    ];
    for (key, value) in expected {
        let assumption = (format!("input.{key}"), value);
        assert!(assumed(&report).contains(&assumption), "{report}");
    }
    assert_eq!(report["signature"]["media"][0], "image/png");
}

#[test]
fn a_tokenizer_beside_a_model_of_tokens_makes_it_one_of_texts() {
    let dir = text("tag", "unigram");
    let report = pack(&dir).arg("--json").run().json();
    let expected = [
        ("kind", json!("text")),
        ("tokenizer", json!("tokenizer.json")),
        ("max_tokens", json!(24)),
    ];
    let expected = expected.map(|(key, value)| (format!("input.{key}"), value));
    assert_eq!(assumed(&report), expected);
    assert_eq!(
        report["signature"]["media"],
        json!(["text/plain", "application/json"])
    );
    // Another model does not care.
    let dir = bundled("digits");
    fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    let report = pack(&dir).arg("--json").run().json();
    assert_eq!(report["assumed"], json!([]));
}

/// Packs without a word about what was assumed.
#[track_caller]
fn packs_with_tensors_only(outcome: Outcome) {
    let report = outcome.json();
    assert_eq!(report["assumed"], json!([]));
    assert_eq!(report["signature"]["media"], Value::Null);
}

#[test]
fn a_model_that_does_not_load_with_what_was_assumed_is_packed_without() {
    // The model has 64 positions, its tokenizer says nothing of that.
    packs_with_tensors_only(pack(&text("classify", "bpe")).arg("--json").run());
    // A tokenizer with more tokens than the model has.
    let dir = text("tag", "unigram");
    let file = dir.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let words = tokenizer["model"]["vocab"].as_array_mut().unwrap();
    words.extend((0..5000).map(|word| json!([format!("word{word}"), -20.0])));
    fs::write(&file, tokenizer.to_string()).unwrap();
    packs_with_tensors_only(pack(&dir).arg("--json").run());
    fs::write(&file, "no tokenizer").unwrap();
    packs_with_tensors_only(pack(&dir).arg("--json").run());
}

#[test]
fn up_assumes_the_same_as_pack() {
    let dir = bundled("digits");
    write(&dir, "[input]\nkind = \"image\"\n");
    let host = Glovebox::new("up")
        .option("--from", dir.path().join("model.onnx"))
        .serve();
    let picture = fs::read(model_dir("digits").join("examples/7.png")).unwrap();
    let answer = host.client().predict("model", "image/png", &picture).ok();
    assert_eq!(answer["label"], "7");
}
