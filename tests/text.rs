//! Texts: tokens are those of the Python package tokenizers, embeddings, classes and entities those of
//! ONNX Runtime. `text/make.py` made the models, the tokenizers and what to expect.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::command::Glovebox;
use crate::harness::files::{temporary, workspace};
use crate::harness::host::Host;

const TOLERANCE: f64 = 1e-4;

pub(crate) const EMBED: &str = "[input]\nkind = \"text\"\ntokenizer = \"wordpiece.json\"\n\
    [output]\nkind = \"embedding\"\ntensor = \"last_hidden_state\"\npooling = \"mean\"\nnormalise = true\n";
pub(crate) const CLASSIFY: &str = "[input]\nkind = \"text\"\ntokenizer = \"bpe.json\"\nmax_tokens = 24\n\
    [output]\nkind = \"classification\"\ntensor = \"logits\"\nactivation = \"softmax\"\n\
    labels = [\"negative\", \"neutral\", \"positive\"]\n";
pub(crate) const TAG: &str = "[input]\nkind = \"text\"\ntokenizer = \"unigram.json\"\nmax_tokens = 24\n\
    [output]\nkind = \"token_classification\"\ntensor = \"logits\"\n\
    labels = [\"O\", \"B-PER\", \"I-PER\", \"B-LOC\", \"I-LOC\"]\n";

fn material(file: &str) -> PathBuf {
    workspace().join("tests/text").join(file)
}

pub(crate) fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let text = fs::read_to_string(material("expected.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

fn cases(what: &Value) -> &[Value] {
    let cases = what.as_array().unwrap();
    assert!(cases.len() >= 30, "a few cases prove nothing");
    cases
}

/// A folder of the model, its tokenizers and this configuration.
pub(crate) fn folder(model: &str, config: &str) -> tempfile::TempDir {
    let dir = temporary();
    let file = format!("{model}.onnx");
    for name in [&*file, "wordpiece.json", "bpe.json", "unigram.json"] {
        fs::copy(material(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("model.toml"), config).unwrap();
    dir
}

fn up(model: &str, config: &str) -> Host {
    let dir = folder(model, config);
    let file = dir.path().join(format!("{model}.onnx"));
    Glovebox::new("up").option("--from", file).serve()
}

/// The one line of error of packing.
#[track_caller]
fn refused(dir: &Path, model: &str) -> String {
    let file = dir.join(format!("{model}.onnx"));
    let line = Glovebox::new("pack").arg(file).run().refusal();
    println!("{line}");
    line
}

fn ask(host: &Host, model: &str, body: &Value) -> Value {
    let body = body.to_string();
    let client = host.client();
    client
        .predict(model, "application/json", body.as_bytes())
        .ok()
}

/// A text as a body has it: alone, or with its pair.
pub(crate) fn passage(case: &Value) -> Value {
    match &case["pair"] {
        Value::Null => case["text"].clone(),
        pair => json!({ "text": case["text"], "pair": pair }),
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().expect("a list");
    list.iter().map(|n| n.as_f64().expect("a number")).collect()
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], about: &Value) {
    assert_eq!(got.len(), expected.len(), "{about}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(
            (got - expected).abs() <= TOLERANCE,
            "{about}: {got} ≠ {expected}"
        );
    }
}

fn output(answer: &Value, name: &str) -> Vec<Value> {
    let outputs = answer["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["name"] == name);
    output.unwrap()["data"].as_array().unwrap().clone()
}

fn tokens_are_those_of_python(tokenizer: &str) {
    let config =
        format!("[input]\nkind = \"text\"\ntokenizer = \"{tokenizer}.json\"\nmax_tokens = 24\n");
    let host = up("echo", &config);
    for case in cases(&expected()["tokens"][tokenizer]) {
        let answer = ask(&host, "echo", &passage(case));
        // A model cannot run on no tokens at all: there is one then, of padding.
        let ids = case["ids"].as_array().unwrap();
        assert_eq!(&output(&answer, "ids"), ids, "{case}");
        assert_eq!(json!(output(&answer, "types")), case["types"], "{case}");
        assert_eq!(output(&answer, "mask"), vec![json!(1); ids.len()], "{case}");
    }
}

#[test]
fn tokens_of_word_pieces_are_those_of_python() {
    tokens_are_those_of_python("wordpiece");
}

#[test]
fn tokens_of_byte_pairs_are_those_of_python() {
    tokens_are_those_of_python("bpe");
}

#[test]
fn tokens_of_a_unigram_model_are_those_of_python() {
    tokens_are_those_of_python("unigram");
}

#[test]
fn a_list_is_padded_to_its_longest_text_on_the_side_that_the_tokenizer_says() {
    let texts = json!(["ok", "The cat sat on the mat."]);
    for (tokenizer, pad, is_left) in [
        ("wordpiece", 0, false),
        ("bpe", 1, false),
        ("unigram", 1, true),
    ] {
        let config = format!("[input]\nkind = \"text\"\ntokenizer = \"{tokenizer}.json\"\n");
        let host = up("echo", &config);
        let together = ask(&host, "echo", &texts);
        let (ids, mask) = (output(&together, "ids"), output(&together, "mask"));
        let length = ids.len() / 2;
        let alone = output(&ask(&host, "echo", &texts[0]), "ids");
        let padding = length - alone.len();
        assert!(padding > 0);
        let pads = vec![json!(pad); padding];
        let (row, marks) = if is_left {
            (
                [pads, alone].concat(),
                [vec![json!(0); padding], vec![json!(1); length - padding]],
            )
        } else {
            (
                [alone, pads].concat(),
                [vec![json!(1); length - padding], vec![json!(0); padding]],
            )
        };
        assert_eq!(ids[..length], row, "{tokenizer}");
        assert_eq!(mask[..length], marks.concat(), "{tokenizer}");
        assert_eq!(mask[length..], vec![json!(1); length], "{tokenizer}");
    }
}

#[test]
fn embeddings_are_those_of_onnx_runtime() {
    let host = up("embed", EMBED);
    for case in cases(&expected()["embed"]) {
        let text = case["text"].as_str().unwrap();
        let answer = host
            .client()
            .predict("embed", "text/plain; charset=utf-8", text.as_bytes());
        let embedding = numbers(&answer.ok()["embedding"]);
        assert_close(&embedding, &numbers(&case["mean"]), case);
    }
}

#[test]
fn embeddings_do_not_depend_on_who_is_in_the_same_list() {
    let host = up("embed", EMBED);
    let cases = cases(&expected()["embed"]);
    let texts: Value = cases.iter().map(|case| case["text"].clone()).collect();
    let answer = ask(&host, "embed", &texts);
    assert_eq!(answer.as_array().unwrap().len(), cases.len());
    for (answer, case) in answer.as_array().unwrap().iter().zip(cases) {
        assert_close(
            &numbers(&answer["embedding"]),
            &numbers(&case["mean"]),
            case,
        );
    }
}

#[test]
fn an_embedding_can_be_the_vector_of_the_first_token() {
    let config = EMBED
        .replace("mean", "cls")
        .replace("normalise = true\n", "");
    let host = up("embed", &config);
    for case in cases(&expected()["embed"]) {
        let answer = ask(&host, "embed", &case["text"]);
        assert_close(&numbers(&answer["embedding"]), &numbers(&case["cls"]), case);
    }
}

#[test]
fn classes_of_texts_and_pairs_are_those_of_onnx_runtime() {
    let host = up("classify", CLASSIFY);
    let classes = expected()["classes"].as_array().unwrap();
    let cases = cases(&expected()["classify"]);
    let bodies: Value = cases.iter().map(passage).collect();
    let together = ask(&host, "classify", &bodies);
    for (case, in_list) in cases.iter().zip(together.as_array().unwrap()) {
        for answer in [&ask(&host, "classify", &passage(case)), in_list] {
            let score = |class: &Value| {
                let top = answer["top"].as_array().unwrap();
                let found = top.iter().find(|scored| scored["label"] == *class);
                found.unwrap()["score"].as_f64().unwrap()
            };
            let scores: Vec<_> = classes.iter().map(score).collect();
            assert_close(&scores, &numbers(&case["scores"]), case);
            assert_eq!(answer["label"], answer["top"][0]["label"]);
        }
    }
}

#[test]
fn entities_are_those_of_onnx_runtime_with_their_places_in_the_text() {
    let host = up("tag", TAG);
    let cases = cases(&expected()["tag"]);
    let texts: Value = cases.iter().map(|case| case["text"].clone()).collect();
    let together = ask(&host, "tag", &texts);
    let mut found = 0;
    for (case, in_list) in cases.iter().zip(together.as_array().unwrap()) {
        for answer in [&ask(&host, "tag", &case["text"]), in_list] {
            let (got, expected) = (&answer["entities"], &case["entities"]);
            let (got, expected) = (got.as_array().unwrap(), expected.as_array().unwrap());
            assert_eq!(got.len(), expected.len(), "{answer} for {case}");
            for (got, expected) in got.iter().zip(expected) {
                for key in ["label", "start", "end", "text"] {
                    assert_eq!(got[key], expected[key], "{answer} for {case}");
                }
                let score = |entity: &Value| entity["score"].as_f64().unwrap();
                assert_close(&[score(got)], &[score(expected)], case);
            }
            found += got.len();
        }
    }
    assert!(found > 100, "{found} entities prove nothing");
}

#[test]
fn an_answer_is_a_list_if_the_texts_were_one() {
    let host = up("embed", EMBED);
    assert!(ask(&host, "embed", &json!("ok")).is_object());
    assert!(ask(&host, "embed", &json!({ "text": "ok" })).is_object());
    assert_eq!(
        ask(&host, "embed", &json!(["ok"]))
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn run_takes_a_text_file() {
    let dir = folder("embed", EMBED);
    let (packed, text) = (dir.path().join("embed.wasm"), dir.path().join("x.txt"));
    let onnx = dir.path().join("embed.onnx");
    Glovebox::new("pack").arg(&onnx).run().success();
    let case = &expected()["embed"][20];
    fs::write(&text, case["text"].as_str().unwrap()).unwrap();
    let run = Glovebox::new("run").arg(&packed).option("--input", &text);
    let embedding = numbers(&run.run().json()["embedding"]);
    assert_close(&embedding, &numbers(&case["mean"]), case);
    let inspect = Glovebox::new("inspect")
        .arg(&packed)
        .arg("--json")
        .run()
        .json();
    let media = &inspect["model"]["signature"]["media"];
    assert_eq!(*media, json!(["text/plain", "application/json"]));
}

#[test]
fn packing_a_tokenizer_twice_gives_the_same_bytes() {
    for (model, config) in [("embed", EMBED), ("classify", CLASSIFY), ("tag", TAG)] {
        let dir = folder(model, config);
        let pack = |name: &str| {
            let output = dir.path().join(name);
            let onnx = dir.path().join(format!("{model}.onnx"));
            let pack = Glovebox::new("pack").arg(onnx).option("-o", &output);
            pack.run().success();
            fs::read(output).unwrap()
        };
        assert!(pack("one.wasm") == pack("two.wasm"), "{model}");
    }
}

#[test]
fn a_body_that_is_no_text_is_invalid_and_says_why() {
    let host = up("embed", EMBED);
    let deep = "[".repeat(100_000);
    for (content_type, body, why) in [
        (
            "text/plain",
            b"caf\xe9".as_slice(),
            "not UTF-8 from byte 3 on",
        ),
        ("text/plain", b"\xff\xfeh\0i\0", "not UTF-8 from byte 0 on"),
        ("application/json", b"\"caf\xe9\"", "not JSON"),
        ("application/json", b"hello", "not JSON"),
        ("application/json", deep.as_bytes(), "not JSON"),
        ("application/json", b"\"\\ud800\"", "not JSON"),
        ("application/json", b"[]", "no text"),
        ("application/json", b"7", "text 0: expected a string"),
        (
            "application/json",
            b"[\"a\", null]",
            "text 1: expected a string",
        ),
        (
            "application/json",
            b"[\"a\", [\"b\"]]",
            "text 1: expected a string",
        ),
        (
            "application/json",
            b"{\"pair\": \"a\"}",
            "expected a string",
        ),
        (
            "application/json",
            b"{\"text\": \"a\", \"pair\": 1}",
            "expected a string",
        ),
        (
            "application/json",
            b"{\"text\": \"a\", \"more\": 1}",
            "expected a string",
        ),
    ] {
        let answer = host.client().predict("embed", content_type, body);
        let error = answer.error(422, "invalid_input");
        assert!(error.contains(why), "{error}");
    }
    let answer = host.client().predict("embed", "text/html", b"<p>");
    let error = answer.error(415, "unsupported_media");
    assert!(error.contains("text/plain or application/json"), "{error}");
}

#[test]
fn texts_beyond_a_bound_are_too_large_and_below_it_are_answered() {
    let host = up("embed", EMBED);
    let texts = |count: usize| json!(vec!["ok"; count]).to_string().into_bytes();
    let text = |bytes: usize| "The mat. ".repeat(bytes / 9 + 1).as_bytes()[..bytes].to_vec();
    let client = host.client();
    for (content_type, body, why) in [
        (
            "application/json",
            texts(100_000),
            "100000 texts; at most 1024",
        ),
        ("application/json", texts(1025), "1025 texts; at most 1024"),
        ("text/plain", text(262_145), "262145 bytes; at most 262144"),
        ("text/plain", text(5 << 20), "at most 4194304"),
        (
            "application/json",
            json!(vec![text_of(24); 700]).to_string().into_bytes(),
            "at most 16384 tokens at once",
        ),
    ] {
        let error = client
            .predict("embed", content_type, &body)
            .error(413, "too_large");
        assert!(error.contains(why), "{error}");
    }
    let answer = client
        .predict("embed", "application/json", &texts(1024))
        .ok();
    assert_eq!(answer.as_array().unwrap().len(), 1024);
    client.predict("embed", "text/plain", &text(262_144)).ok();
}

/// A text of more tokens than that.
fn text_of(tokens: usize) -> String {
    "mat ".repeat(tokens)
}

#[test]
fn a_pair_has_no_entities() {
    let host = up("tag", TAG);
    let body = br#"{ "text": "ok", "pair": "ok" }"#;
    let answer = host.client().predict("tag", "application/json", body);
    let error = answer.error(422, "invalid_input");
    assert!(error.contains("not in a pair"), "{error}");
}

#[test]
fn a_tokenizer_that_is_none_is_refused_with_its_reason() {
    for (text, why) in [
        ("", "no tokenizer.json"),
        ("{}", "no tokenizer.json"),
        ("[1, 2", "no tokenizer.json"),
        ("{\"version\": \"9.0\"}", "Unknown tokenizer version '9.0'"),
        (
            "{\"version\":\"1.0\",\"model\":{\"type\":\"Magic\"}}",
            "no tokenizer.json",
        ),
    ] {
        let dir = folder("embed", EMBED);
        fs::write(dir.path().join("wordpiece.json"), text).unwrap();
        let line = refused(dir.path(), "embed");
        assert!(line.contains("model.toml does not fit the model"), "{line}");
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn a_tokenizer_that_is_missing_or_no_text_is_named() {
    let dir = folder("embed", EMBED);
    fs::write(dir.path().join("wordpiece.json"), b"\xff\xfe").unwrap();
    let line = refused(dir.path(), "embed");
    assert!(
        line.contains("cannot read") && line.contains("wordpiece.json"),
        "{line}"
    );
    fs::remove_file(dir.path().join("wordpiece.json")).unwrap();
    let line = refused(dir.path(), "embed");
    assert!(
        line.contains("cannot read") && line.contains("wordpiece.json"),
        "{line}"
    );
}

#[test]
fn a_tokenizer_of_more_tokens_than_the_model_has_is_refused() {
    let dir = folder("embed", EMBED);
    let file = dir.path().join("wordpiece.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    tokenizer["model"]["vocab"]["zebra"] = json!(5000);
    fs::write(&file, tokenizer.to_string()).unwrap();
    let line = refused(dir.path(), "embed");
    assert!(
        line.contains("the largest number of its tokenizer, 5000"),
        "{line}"
    );
}

#[test]
fn rows_that_are_longer_than_the_model_was_made_for_are_refused() {
    // The model has 64 positions.
    let config = EMBED.replace("kind = \"text\"", "kind = \"text\"\nmax_tokens = 65");
    let line = refused(folder("embed", &config).path(), "embed");
    assert!(
        line.contains("the model fails on a row of 65 tokens"),
        "{line}"
    );
    let config = EMBED.replace("kind = \"text\"", "kind = \"text\"\nmax_tokens = 64");
    up("embed", &config);
}

#[test]
fn a_configuration_that_does_not_fit_says_what_would() {
    let text = |more: &str| format!("[input]\nkind = \"text\"\n{more}\n");
    let wordpiece = "tokenizer = \"wordpiece.json\"";
    for (model, config, why) in [
        ("embed", text(""), "missing field `tokenizer`"),
        (
            "embed",
            text("tokenizer = \"wordpiece.json\"\nlanguage = \"en\""),
            "unknown field `language`",
        ),
        (
            "embed",
            text("tokenizer = \"wordpiece.json\"\nmax_tokens = 3"),
            "two more than the 3 special tokens",
        ),
        (
            "embed",
            text("tokenizer = \"wordpiece.json\"\nmax_tokens = 9000"),
            "at most 8192",
        ),
        (
            "embed",
            text("tokenizer = \"wordpiece.json\"\ninput_ids = \"ids\""),
            "its inputs are input_ids, attention_mask, token_type_ids",
        ),
        (
            "embed",
            text("tokenizer = \"wordpiece.json\"\ntoken_type_ids = \"kinds\""),
            "nothing for input \"token_type_ids\"",
        ),
        (
            "tag",
            TAG.replace("max_tokens = 24", "max_tokens = 25"),
            "set max_tokens = 24",
        ),
        (
            "tag",
            TAG.replace("\"B-PER\", ", ""),
            "4 labels for the 5 scores",
        ),
        (
            "embed",
            EMBED.replace("pooling = \"mean\"\n", ""),
            "pooling = \"mean\" or \"cls\"",
        ),
        (
            "embed",
            EMBED.replace("\"last_hidden_state\"", "\"pooler_output\""),
            "the outputs are last_hidden_state",
        ),
        (
            "classify",
            format!(
                "{}[output]\nkind = \"token_classification\"\ntensor = \"logits\"\nlabels = [\"O\"]\n",
                text("tokenizer = \"bpe.json\"\nmax_tokens = 24")
            ),
            "not [texts, tokens, labels]",
        ),
        (
            "tag",
            TAG.split_once("[output]")
                .map_or(String::new(), |(_, output)| format!("[output]{output}")),
            "needs [input] kind = \"text\"",
        ),
        (
            "echo",
            format!(
                "{}[output]\nkind = \"embedding\"\ntensor = \"ids\"\n",
                text(wordpiece)
            ),
            "is INT64",
        ),
    ] {
        let line = refused(folder(model, &config).path(), model);
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn inputs_of_other_names_are_told_by_the_configuration() {
    let config = "[input]\nkind = \"text\"\ntokenizer = \"wordpiece.json\"\n\
        input_ids = \"attention_mask\"\nattention_mask = \"input_ids\"\n";
    let host = up("echo", config);
    let answer = ask(&host, "echo", &json!("ok"));
    let (ids, mask) = (output(&answer, "ids"), output(&answer, "mask"));
    assert_eq!(ids, vec![json!(1); mask.len()]);
    assert_eq!(mask[0], json!(2), "the number of [CLS]");
}

#[test]
fn tensors_of_any_rows_and_tokens_are_answered_as_by_onnx_runtime() {
    let host = up("embed", EMBED);
    for case in &expected()["rows"].as_array().unwrap()[..] {
        let tensor = |name: &str| json!({ "name": name, "datatype": "INT64", "shape": case["shape"], "data": case[name] });
        let inputs = ["input_ids", "attention_mask", "token_type_ids"].map(tensor);
        let answer = host
            .client()
            .infer("embed", &json!({ "inputs": inputs }))
            .ok();
        assert_eq!(answer["outputs"][0]["shape"][1], case["shape"][1]);
        let hidden = numbers(&answer["outputs"][0]["data"]);
        assert_close(&hidden, &numbers(&case["hidden"]), &case["shape"]);
    }
}

#[test]
fn tensors_that_are_no_rows_of_tokens_are_refused() {
    let host = up("embed", EMBED);
    let refused = |shapes: [[u64; 2]; 3], why: &str| {
        let names = ["input_ids", "attention_mask", "token_type_ids"];
        let inputs: Value = names
            .iter()
            .zip(shapes)
            .map(|(name, shape)| {
                let data = vec![1; (shape[0] * shape[1]) as usize];
                json!({ "name": name, "datatype": "INT64", "shape": shape, "data": data })
            })
            .collect();
        let answer = host.client().infer("embed", &json!({ "inputs": inputs }));
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!((400..500).contains(&answer.status), "{error}");
        assert!(error.contains(why), "{error}");
    };
    refused([[1, 25]; 3], "25 tokens; this model takes up to 24");
    refused([[2, 4], [2, 4], [2, 5]], "must have the same shape");
    refused([[0, 4]; 3], "a row and a token or more");
    refused([[1, 0]; 3], "a row and a token or more");
}
