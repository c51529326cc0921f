//! Files that people give in the place of a model: each is told what it is, and what to do about it.
//! `kinds/make.py` has made them, most with the library whose format it is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::command::{Glovebox, Outcome};
use crate::harness::files::{digits, model_dir, names_in, temporary, workspace};

/// A file of `kinds`, what it is, and what to do about it.
const KINDS: [(&str, &str, &str); 27] = [
    ("lfs-pointer.onnx", "a Git LFS pointer", "`git lfs pull`"),
    ("page.html", "an HTML page", "download the file itself"),
    ("denied.xml", "an XML document", "read what it says"),
    ("config.json", "a JSON text", "ONNX files"),
    ("notes.txt", "a text", "ONNX files"),
    ("sklearn.pkl", "a pickle of scikit-learn", "skl2onnx"),
    ("sklearn.joblib", "a pickle of scikit-learn", "skl2onnx"),
    ("sklearn-compressed.joblib", "joblib", "skl2onnx"),
    ("xgboost.json", "a model of XGBoost", "onnxmltools"),
    ("xgboost.ubj", "a model of XGBoost", "onnxmltools"),
    ("lightgbm.txt", "a model of LightGBM", "onnxmltools"),
    ("lightgbm.json", "a model of LightGBM", "onnxmltools"),
    (
        "weights.safetensors",
        "safetensors",
        "optimum-cli export onnx",
    ),
    ("model.gguf", "GGUF", "optimum-cli export onnx"),
    ("torch.pt", "a file of PyTorch", "torch.onnx.export"),
    ("torchscript.pt", "a file of PyTorch", "torch.onnx.export"),
    ("torch-legacy.pth", "a file of PyTorch", "torch.onnx.export"),
    ("model.keras", "a model of Keras", "format=\"onnx\""),
    ("keras.h5", "an HDF5 file", "tf2onnx"),
    (
        "model.tflite",
        "TensorFlow Lite",
        "tf2onnx.convert --tflite",
    ),
    ("relu.ort", "(.ort)", "take the .onnx file"),
    ("arrays.npz", "arrays of NumPy", "no graph"),
    ("array.npy", "arrays of NumPy", "no graph"),
    ("model.zip", "a zip archive", "unpack it"),
    ("model.tar", "a tar archive", "unpack it"),
    ("model.tar.gz", "a compressed file", "unpack it"),
    ("empty", "an empty file", "copy or download it again"),
];

/// One of these files, with another name.
fn sample(name: &str, dir: &Path, copy: &str) -> PathBuf {
    let file = dir.join(copy);
    let bytes = match name {
        "empty" => Vec::new(),
        name => fs::read(workspace().join("tests/kinds").join(name)).unwrap(),
    };
    fs::write(&file, bytes).unwrap();
    file
}

/// What every command says that reads a component, of a file.
fn readers(component: &Path) -> [Outcome; 4] {
    let beside = component.with_file_name("out.wasm");
    let command = |name: &str| Glovebox::new(name).arg(component);
    [
        command("inspect").run(),
        command("run").option("--input", component).run(),
        Glovebox::new("up").option("--from", component).run(),
        command("compose")
            .arg(digits())
            .option("--output", beside)
            .run(),
    ]
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
}

#[test]
fn a_file_that_is_packed_and_no_onnx_is_told_what_it_is() {
    for (name, what, advice) in KINDS {
        let dir = temporary();
        let file = sample(name, dir.path(), "model.onnx");
        let commands = [
            Glovebox::new("pack").arg(&file).run(),
            Glovebox::new("init").arg(&file).run(),
            Glovebox::new("up").option("--from", &file).run(),
        ];
        for outcome in commands {
            let line = outcome.refusal();
            println!("{line}");
            assert_says(
                &line,
                &["model.onnx: this is ", "not an ONNX model", what, advice],
            );
        }
        assert_eq!(names_in(dir.path()), ["model.onnx"]);
    }
}

#[test]
fn a_file_that_is_served_and_no_component_is_told_what_it_is() {
    let onnx = [("relu.onnx", "an ONNX model", "`glovebox pack`")];
    for (name, what, advice) in KINDS.into_iter().chain(onnx) {
        let dir = temporary();
        let file = sample(name, dir.path(), "model.wasm");
        for outcome in readers(&file) {
            let line = outcome.refusal();
            assert_says(
                &line,
                &["model.wasm: this is ", "not a wasm component", what, advice],
            );
        }
        assert_eq!(names_in(dir.path()), ["model.wasm"]);
    }
}

#[test]
fn a_file_that_is_no_manifest_is_told_what_it_is() {
    let onnx = [("relu.onnx", "an ONNX model", ".onnx")];
    for (name, what, advice) in KINDS.into_iter().chain(onnx) {
        if ["notes.txt", "empty"].contains(&name) {
            continue;
        }
        let dir = temporary();
        let file = sample(name, dir.path(), "model");
        let line = Glovebox::new("up").option("--from", &file).run().refusal();
        assert_says(&line, &["model: this is ", "not a manifest", what, advice]);
    }
}

#[test]
fn a_component_is_not_packed_again() {
    for command in ["pack", "init"] {
        let dir = temporary();
        let file = dir.path().join("model.onnx");
        fs::copy(digits(), &file).unwrap();
        let line = Glovebox::new(command).arg(&file).run().refusal();
        assert_says(
            &line,
            &["a wasm component", "not an ONNX model", "up --from"],
        );
    }
}

#[test]
fn a_guest_that_is_no_wasm_is_told_what_it_is() {
    let dir = temporary();
    let guest = sample("sklearn.pkl", dir.path(), "guest.wasm");
    let pack = Glovebox::new("pack").arg(model_dir("digits").join("digits.onnx"));
    let line = pack.option("--guest", guest).run().refusal();
    assert_says(
        &line,
        &["guest.wasm: this is a pickle of scikit-learn", "skl2onnx"],
    );
}

#[test]
fn a_model_that_was_cut_off_is_told_so() {
    let whole = fs::read(model_dir("digits").join("digits.onnx")).unwrap();
    for kept in [whole.len() / 3, whole.len() - 1] {
        let dir = temporary();
        let file = dir.path().join("model.onnx");
        fs::write(&file, &whole[..kept]).unwrap();
        let line = Glovebox::new("pack").arg(&file).run().refusal();
        assert_says(&line, &["not an ONNX model", "ends in the middle", "again"]);
    }
}

#[test]
fn a_component_that_was_cut_off_is_told_so() {
    let whole = fs::read(digits()).unwrap();
    for kept in [6, 100, 5_000, 300_000, whole.len() / 2, whole.len() - 1] {
        let dir = temporary();
        let file = dir.path().join("model.wasm");
        fs::write(&file, &whole[..kept]).unwrap();
        for outcome in readers(&file) {
            let line = outcome.refusal();
            println!("{kept}: {line}");
            assert_says(
                &line,
                &["model.wasm", "copy or download the whole of it again"],
            );
        }
    }
}

#[test]
fn a_folder_is_told_what_to_name_in_it() {
    let dir = temporary();
    let folder = dir.path().join("saved_model");
    fs::create_dir(&folder).unwrap();
    for command in ["pack", "init"] {
        let line = Glovebox::new(command).arg(&folder).run().refusal();
        assert_says(
            &line,
            &["saved_model", "a folder", "the .onnx file in it", "tf2onnx"],
        );
    }
    for outcome in readers(&folder) {
        assert_says(&outcome.refusal(), &["saved_model", "a folder"]);
    }
}

#[test]
fn a_graph_that_is_no_onnx_is_told_what_it_is() {
    let dir = temporary();
    let file = sample("lfs-pointer.onnx", dir.path(), "graph.onnx");
    let packed = dir.path().join("native.wasm");
    let pack = Glovebox::new("pack").arg(model_dir("digits").join("digits.onnx"));
    pack.arg("--native")
        .option("--output", &packed)
        .run()
        .success();
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n[[trigger.http]]\n\
         route = \"/v2/models/digits/...\"\ncomponent = \"digits\"\n[component.digits]\n\
         source = {packed:?}\n[component.digits.tool.glovebox]\nexecution = \"native\"\n\
         graphs = {{ digits = {file:?} }}\n"
    );
    let path = dir.path().join("spin.toml");
    fs::write(&path, manifest).unwrap();
    let line = Glovebox::new("up").option("--from", &path).run().refusal();
    assert_says(&line, &["graph.onnx", "a Git LFS pointer", "git lfs pull"]);
}
