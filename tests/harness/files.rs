//! Files for tests: the bundled models, and manifests in temporary folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::command::Glovebox;
use super::packing::is_behind_front;

/// The workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the host is a member of the workspace")
}

/// The folder of a bundled model.
pub(crate) fn model_dir(model: &str) -> PathBuf {
    workspace().join("models").join(model)
}

/// What ONNX Runtime answers, and what it was asked.
pub(crate) fn expected(model: &str) -> Vec<Value> {
    let text = fs::read_to_string(model_dir(model).join("expected.json")).expect("expected.json");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["cases"].as_array().expect("cases").clone()
}

/// The bundled digits, packed once.
pub(crate) fn digits() -> &'static Path {
    static PACKED: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    packed("digits", &PACKED)
}

/// The bundled wine, packed once.
pub(crate) fn wine() -> &'static Path {
    static PACKED: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    packed("wine", &PACKED)
}

fn packed(model: &str, [plain, with_front]: &'static [OnceLock<PathBuf>; 2]) -> &'static Path {
    match is_behind_front() {
        false => plain.get_or_init(|| pack(model, model, &[])),
        true => with_front.get_or_init(|| pack(model, &format!("{model}-front"), &["--http"])),
    }
}

fn pack(model: &str, name: &str, options: &[&str]) -> PathBuf {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wasm"));
    let pack = Glovebox::new("pack").arg(model_dir(model).join(format!("{model}.onnx")));
    options
        .iter()
        .fold(pack, Glovebox::arg)
        .option("--output", &output)
        .run()
        .success();
    output
}

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The names in a folder, sorted.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("UTF-8")
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// The pages for users: README.md, and those of `docs` and of the models.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = vec![workspace().join("README.md")];
    let mut folders = ["docs", "models"]
        .map(|folder| workspace().join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for name in names_in(&folder) {
            let path = folder.join(&name);
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A copy of a bundled model's folder.
pub(crate) fn copy_model(model: &str, to: &Path) {
    copy_dir(&model_dir(model), to);
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in names_in(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_dir(&from, &to);
        } else if !name.ends_with(".wasm") {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}

/// A manifest of components: id, file, and lines of `[component.<id>.tool.glovebox]`.
pub(crate) fn manifest(components: &[(&str, &Path, &str)]) -> String {
    let mut text = String::from(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\nversion = \"1.0.0\"\n",
    );
    for (id, source, limits) in components {
        text += &format!(
            "[[trigger.http]]\nroute = \"/v2/models/{id}/...\"\ncomponent = \"{id}\"\n\
             [component.{id}]\nsource = {source:?}\n[component.{id}.tool.glovebox]\n{limits}\n"
        );
    }
    text
}

/// A `spin.toml` in a folder of its own.
pub(crate) struct Manifest {
    pub(crate) path: PathBuf,
    pub(crate) dir: TempDir,
}

impl Manifest {
    pub(crate) fn new(text: &str) -> Self {
        let dir = temporary();
        let path = dir.path().join("spin.toml");
        fs::write(&path, text).expect("a file");
        Self { path, dir }
    }

    pub(crate) fn up(&self) -> Glovebox {
        Glovebox::new("up").option("--from", &self.path)
    }
}
