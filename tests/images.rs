//! Pictures become the tensors that Pillow makes of them, and answers are about their places.
//! `images/reference.py` makes the pictures and what is expected.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::harness::client::Client;
use crate::harness::command::{Glovebox, shared_cache};
use crate::harness::files::{Manifest, manifest, temporary, workspace};
use crate::harness::host::Host;
use crate::harness::media;
use crate::harness::onnx::{Graph, Node};
use crate::harness::python;

/// Pillow's decoders and ours round WebP's colours the same way, but not always.
const MOST_LEVELS_APART: u8 = 1;

fn folder() -> PathBuf {
    workspace().join("tests/images")
}

fn picture(name: &str) -> Vec<u8> {
    fs::read(folder().join("pictures").join(name)).expect("a picture")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').expect("an extension").1 {
        "png" => "image/png",
        "jpg" => "image/jpeg",
        _ => "image/webp",
    }
}

fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let text = fs::read_to_string(folder().join("expected.json")).expect("expected.json");
        serde_json::from_str(&text).expect("JSON")
    })
}

/// A table of TOML.
fn table(name: &str, keys: &Map<String, Value>) -> String {
    let lines = keys.iter().map(|(key, value)| format!("{key} = {value}\n"));
    format!("[{name}]\n{}", lines.collect::<String>())
}

fn pack(dir: &Path, name: &str, model: &[u8], tables: &str) -> PathBuf {
    let onnx = dir.join(format!("{name}.onnx"));
    let (toml, packed) = (onnx.with_extension("toml"), onnx.with_extension("wasm"));
    fs::write(&onnx, model).expect("a file");
    fs::write(&toml, tables).expect("a file");
    Glovebox::new("pack")
        .arg(&onnx)
        .option("--config", &toml)
        .option("-o", &packed)
        .run()
        .success();
    packed
}

/// A model that answers with the tensor that was made of a picture.
fn mirror(dir: &Path, name: &str, input: &Value) -> PathBuf {
    let mut keys = input.as_object().expect("keys").clone();
    let side = |key: &str| input[key].as_i64().expect("a length");
    let channels = if input["colour"] == "grey" { 1 } else { 3 };
    let shape = match input.get("layout") {
        Some(layout) if layout == "nhwc" => [1, side("height"), side("width"), channels],
        _ => [1, channels, side("height"), side("width")],
    };
    keys.insert("kind".into(), "image".into());
    keys.entry("scale").or_insert(1.into());
    pack(dir, name, &identity(&shape), &table("input", &keys))
}

fn identity(shape: &[i64]) -> Vec<u8> {
    let node = Node::new("Identity", "same", &["x"], &["y"]);
    let graph = Graph::new().input("x", shape).output("y", shape);
    graph.node(node).model()
}

/// The models of `expected.json`, and one with three more keys: packed once.
fn models() -> &'static [(String, PathBuf)] {
    static MODELS: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        fs::create_dir_all(&dir).expect("a folder");
        let mut models = expected()["models"].as_object().expect("models").clone();
        let mut normalised = models["stretch"].clone();
        normalised["scale"] = (1.0 / 255.0).into();
        normalised["mean"] = vec![0.485, 0.456, 0.406].into();
        normalised["std"] = vec![0.229, 0.224, 0.225].into();
        models.insert("normalised".into(), normalised);
        let packed = |(name, input): (String, Value)| {
            let path = mirror(&dir, &name, &input);
            (name, path)
        };
        models.into_iter().map(packed).collect()
    })
}

/// A host that serves them.
fn mirrors() -> Host {
    let limits = "memory = \"256MiB\"\ncpu = \"30s\"\ntimeout = \"30s\"";
    let component =
        |(name, path): &'static (String, PathBuf)| (name.as_str(), path.as_path(), limits);
    let components: Vec<_> = models().iter().map(component).collect();
    Manifest::new(&manifest(&components)).up().serve()
}

/// The tensor that a model of [`mirrors`] makes of a picture, and its shape.
#[track_caller]
fn tensor(client: &Client, model: &str, name: &str) -> (Vec<f64>, Value) {
    let answer = client
        .predict(model, content_type(name), &picture(name))
        .ok();
    let output = &answer["outputs"][0];
    let numbers = output["data"].as_array().expect("numbers").iter();
    let numbers = numbers.map(|number| number.as_f64().expect("a number"));
    (numbers.collect(), output["shape"].clone())
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

#[test]
fn pictures_become_the_tensors_that_pillow_makes() {
    let host = mirrors();
    let client = host.client();
    let cases = expected()["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    let mut apart: HashMap<&str, u8> = HashMap::new();
    for case in cases {
        let (model, name) = (
            case["model"].as_str().unwrap(),
            case["picture"].as_str().unwrap(),
        );
        let (numbers, shape) = tensor(&client, model, name);
        assert_eq!(shape, case["shape"], "{model}, {name}");
        let levels = bytes(case["levels"].as_str().unwrap());
        assert_eq!(numbers.len(), levels.len());
        let differences = numbers.iter().zip(&levels);
        let most = differences
            .map(|(have, want)| (have - f64::from(*want)).abs() as u8)
            .max();
        let most = most.unwrap();
        assert!(
            most <= MOST_LEVELS_APART,
            "{model}, {name}: {most} levels apart"
        );
        let kind = apart.entry(content_type(name)).or_default();
        *kind = most.max(*kind);
    }
    // Of PNG and JPEG it is each level.
    assert_eq!(
        (apart["image/png"], apart["image/jpeg"]),
        (0, 0),
        "{apart:?}"
    );
}

#[test]
fn levels_are_scaled_then_centred_then_divided() {
    let host = mirrors();
    let client = host.client();
    let (levels, _) = tensor(&client, "stretch", "wide.png");
    let (numbers, _) = tensor(&client, "normalised", "wide.png");
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let plane = levels.len() / 3;
    for (at, (level, number)) in levels.iter().zip(numbers).enumerate() {
        let expected = (level / 255.0 - mean[at / plane]) / std[at / plane];
        assert!(
            (number - expected).abs() < 1e-5,
            "{number}, expected {expected}"
        );
    }
}

#[test]
fn photos_of_any_size_become_the_tensors_that_pillow_makes() {
    let host = mirrors();
    let python = python::with("images", "images/requirements.txt");
    let output = Command::new(python)
        .arg(folder().join("compare.py"))
        .arg(host.client().address.to_string())
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{log}");
}

/// A model whose answer is about places: a picture's rows of six levels are its boxes.
fn boxes() -> Vec<u8> {
    let squeeze = Node::new("Squeeze", "boxes", &["x"], &["boxes"]).ints("axes", &[1]);
    let graph = Graph::new().input("x", &[1, 1, 4, 6]);
    let graph = graph.output("boxes", &[1, 4, 6]).node(squeeze);
    // Axes became an input in version 13.
    graph.model_of_opset(11)
}

const BOXES: &str = r#"
[input]
kind = "image"
colour = "grey"
width = 6
height = 4
[output]
kind = "detection"
tensor = "boxes"
row = "box score class"
format = "xyxy"
coordinates = "relative"
labels = ["cat", "dog"]
"#;

#[test]
fn a_packed_model_answers_with_boxes_on_the_picture() {
    let dir = temporary();
    let packed = pack(dir.path(), "boxes", &boxes(), BOXES);
    let host = Glovebox::new("up").option("--from", &packed).serve();
    // Left, top, right, bottom, score, class: in 255ths of the picture, which is 6 by 4 pixels.
    let levels = [
        [0, 0, 255, 255, 204, 0],
        [0, 0, 255, 250, 255, 0],
        [51, 0, 102, 255, 153, 255],
        [0, 0, 255, 255, 51, 0],
    ];
    let png = media::grey_png(6, 4, levels.as_flattened());
    let answer = host.client().predict("boxes", "image/png", &png).ok();
    let found: Vec<_> = answer["detections"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&answer["width"], &answer["height"]),
        (&6.into(), &4.into())
    );
    let labels: Vec<_> = found.iter().map(|found| found["label"].clone()).collect();
    assert_eq!(labels, ["cat", "dog"], "{answer}");
    let sides = |found: &Value| {
        ["x", "y", "width", "height"]
            .map(|side| (found["box"][side].as_f64().unwrap() * 1e4).round())
    };
    assert_eq!(sides(found[0]), [0.0, 0.0, 60_000.0, 39_216.0]);
    assert_eq!(sides(found[1]), [12_000.0, 0.0, 12_000.0, 40_000.0]);
    let example = "[[example]]\ninput = \"four.png\"\nlabel = \"cat\"\nscore = 1.0\n";
    fs::write(dir.path().join("four.png"), &png).unwrap();
    pack(dir.path(), "boxes", &boxes(), &format!("{BOXES}{example}"));
}

#[test]
fn a_packed_model_answers_with_a_mask_over_every_road() {
    let dir = temporary();
    let tables = "[input]\nkind = \"image\"\ncolour = \"rgb\"\nwidth = 8\nheight = 8\n\
                  filter = \"nearest\"\n[output]\nkind = \"segmentation\"\ntensor = \"y\"\n\
                  labels = [\"red\", \"green\", \"blue\"]\n";
    let packed = pack(dir.path(), "mask", &identity(&[1, 3, 8, 8]), tables);
    let host = Glovebox::new("up").option("--from", &packed).serve();
    let answer = host
        .client()
        .predict("mask", "image/png", &picture("wide.png"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "image/png");
    // The size in the header of the PNG.
    assert_eq!(answer.body[16..24], [0, 0, 0, 61, 0, 0, 0, 43]);
    // The same bytes from the command line, with nothing behind them.
    let mut run = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    run.arg("run").arg(&packed).arg("--input");
    run.arg(folder().join("pictures/wide.png"));
    let output = run.env("GLOVEBOX_CACHE_DIR", shared_cache()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{:?}", output.stderr);
    assert!(output.stdout == answer.body);
}

#[test]
fn a_picture_that_is_cut_off_anywhere_is_refused() {
    let host = mirrors();
    let client = host.client();
    for name in [
        "420.jpg",
        "progressive.jpg",
        "wide.png",
        "lossy.webp",
        "lossless.webp",
    ] {
        let whole = picture(name);
        for share in [0, 1, 2, 10, 50, 90] {
            let body = &whole[..whole.len() * share / 100];
            let answer = client.predict("stretch", content_type(name), body);
            answer.error(422, "invalid_input");
        }
    }
}

#[test]
fn a_picture_of_another_type_than_it_says_is_refused() {
    let host = mirrors();
    let client = host.client();
    let names = ["444.jpg", "wide.png", "lossy.webp"];
    for name in names {
        for other in names.iter().filter(|other| **other != name) {
            let answer = client.predict("stretch", content_type(other), &picture(name));
            let error = answer.error(422, "invalid_input");
            assert!(error.contains(content_type(other)), "{error}");
        }
    }
}
