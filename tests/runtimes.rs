//! Runtimes of others: models of another build and of guests of one's own are as hot as those of this
//! host, for machine code is shared by the digest of the code, whoever's it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, copy_model, manifest, model_dir, temporary, workspace};
use crate::harness::host::Host;
use crate::harness::project::Project;

/// Models of each runtime.
const MODELS: usize = 200;
/// The name in the file that all models of one runtime are made from; they differ in the digits.
const NAME: &str = "model-0000";

const COMPILES: &str = "compiling a runtime of others";
const COMPILES_WHOLE: &str = "compiling a component";
/// More than any image of these models, less than the code of any runtime.
const CODE_BYTES: u64 = 10 << 20;

/// The runtime of this host, as if somebody had built it otherwise.
fn other_build() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let project = Project::new("other-build");
        let source = fs::read_to_string(workspace().join("guest/runtime/src/lib.rs")).unwrap();
        let changed = source.replace(
            "self.0.media()",
            "[self.0.media(), vec![\"x/y\".into()]].concat()",
        );
        assert_ne!(changed, source);
        fs::write(project.dir.join("src/lib.rs"), changed).unwrap();
        project.build()
    })
}

/// A guest that has nothing to do with it.
fn own() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| Project::with_source("runtimes-own", "own/lib.rs").build())
}

/// The bundled wine with a guest, called [`NAME`].
fn packed(guest: Option<&Path>) -> Vec<u8> {
    let dir = temporary();
    copy_model("wine", dir.path());
    let config = dir.path().join("model.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("name = \"wine\"", &format!("name = \"{NAME}\""));
    // What a guest of one's own says about its examples is its own matter.
    let text = match guest {
        Some(_) => text.split("[[example]]").next().unwrap().to_owned(),
        None => text,
    };
    fs::write(&config, text).unwrap();
    let pack = Glovebox::new("pack").arg(dir.path().join("wine.onnx"));
    let pack = guest
        .into_iter()
        .fold(pack, |pack, guest| pack.option("--guest", guest));
    let output = dir.path().join("packed.wasm");
    pack.option("--output", &output).run().success();
    fs::read(output).unwrap()
}

/// So many models of one runtime in a folder, which differ in their names, in metadata and in memory.
fn models(packed: &[u8], letter: char, count: usize, dir: &Path) -> Vec<(String, PathBuf)> {
    let places: Vec<_> = (0..packed.len() - NAME.len())
        .filter(|at| packed[*at..].starts_with(NAME.as_bytes()))
        .collect();
    assert!(places.len() > 1, "the name is in metadata and image");
    let model = |number: usize| {
        let name = format!("model-{letter}{number:03}");
        let mut bytes = packed.to_vec();
        for at in &places {
            bytes[*at..*at + NAME.len()].copy_from_slice(name.as_bytes());
        }
        let file = dir.join(format!("{name}.wasm"));
        fs::write(&file, bytes).unwrap();
        (name, file)
    };
    (0..count).map(model).collect()
}

/// Models of three runtimes, and a cache.
struct Farm {
    dir: TempDir,
    models: Vec<(String, PathBuf)>,
}

impl Farm {
    fn new(count: usize) -> Self {
        let dir = temporary();
        let runtimes = [('a', None), ('b', Some(other_build())), ('c', Some(own()))];
        let models = runtimes
            .into_iter()
            .flat_map(|(letter, guest)| models(&packed(guest), letter, count, dir.path()));
        let models = models.collect();
        Self { dir, models }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// A host with the first so many models of each runtime.
    fn serve(&self, count: usize, options: &[(&str, &str)]) -> Host {
        let models = self.models.chunks(self.models.len() / 3);
        let models = models.flat_map(|models| models.iter().take(count));
        let components: Vec<_> = models
            .map(|(name, file)| {
                (
                    name.as_str(),
                    file.as_path(),
                    "memory = \"32MiB\"\nbody = \"1MiB\"\noutput = \"1MiB\"\nconcurrency = 1",
                )
            })
            .collect();
        let up = Manifest::new(&manifest(&components));
        let host = up.up().cache_dir(&self.cache()).log("info");
        let host = options
            .iter()
            .fold(host, |host, (name, value)| host.option(name, value));
        let host = host.serve();
        for (name, ..) in components {
            asks(&host, name);
        }
        host
    }

    /// How many entries of the cache are code.
    fn code_modules(&self) -> usize {
        let entries = fs::read_dir(self.cache()).unwrap();
        let is_code = |path: &PathBuf| {
            path.extension()
                .is_some_and(|extension| extension == "cwasm")
                && path.metadata().unwrap().len() > CODE_BYTES
        };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(is_code)
            .count()
    }
}

#[track_caller]
fn asks(host: &Host, model: &str) {
    // A guest of one's own may call its inputs as it likes.
    let about = host.client().get(&format!("/v2/models/{model}")).ok();
    let name = &about["inputs"][0]["name"];
    let input: Value = json!({
        "name": name, "datatype": "FP32", "shape": [1, 13], "data": vec![0.5; 13],
    });
    let answer = host
        .client()
        .infer(model, &json!({ "inputs": [input] }))
        .ok();
    assert_eq!(answer["model_name"], model);
}

fn log(host: Host) -> String {
    let (status, log) = host.terminate();
    assert!(status.success(), "{log}");
    log
}

#[test]
fn models_of_three_runtimes_are_compiled_once_for_each_and_all_are_hot() {
    let farm = Farm::new(MODELS);
    let first = log(farm.serve(1, &[]));
    assert_eq!(first.matches(COMPILES).count(), 2, "{first}");
    assert_eq!(farm.code_modules(), 3);
    for options in [
        &[][..],
        &[("--model-memory", "1GiB"), ("--harden", "require")],
    ] {
        let said = log(farm.serve(MODELS, options));
        assert!(!said.contains(COMPILES), "{said}");
        assert!(!said.contains(COMPILES_WHOLE), "{said}");
    }
    assert_eq!(farm.code_modules(), 3);
}

#[test]
fn inspect_tells_the_runtime_and_whether_this_machine_has_it_compiled() {
    let farm = Farm::new(1);
    let inspect = |(_, file): &(String, PathBuf)| {
        let about = Glovebox::new("inspect").arg(file).arg("--json");
        about.cache_dir(&farm.cache()).run().json()["runtime"].clone()
    };
    let before: Vec<_> = farm.models.iter().map(inspect).collect();
    assert!(before.iter().all(|runtime| runtime["compiled"] == false));
    let embedded: Vec<_> = before.iter().map(|runtime| &runtime["embedded"]).collect();
    assert_eq!(embedded, [true, false, false]);
    assert_ne!(before[0]["sha256"], before[1]["sha256"]);
    log(farm.serve(1, &[]));
    let after = farm.models.iter().map(inspect);
    assert!(after.into_iter().all(|runtime| runtime["compiled"] == true));
}

#[test]
fn a_runtime_that_does_not_compile_keeps_its_models_from_starting_and_says_so() {
    let farm = Farm::new(1);
    let (_, file) = &farm.models[1];
    let mut bytes = fs::read(file).unwrap();
    // Far behind the types and imports, in the body of some function.
    let at = bytes.len() - (1 << 20);
    bytes[at..at + 64].fill(0xff);
    fs::write(file, bytes).unwrap();
    let components = [("broken", file.as_path(), "")];
    let line = Manifest::new(&manifest(&components)).up().run().refusal();
    assert!(line.contains("component \"broken\""), "{line}");
    assert!(line.contains("does not compile"), "{line}");
}

#[test]
fn a_model_of_another_version_of_the_interface_is_told_so_in_one_line() {
    let dir = temporary();
    let file = dir.path().join("older.wasm");
    let component = "(component (instance $model)
        (export \"glovebox:inference/model@0.0.9\" (instance $model)))";
    fs::write(&file, wat::parse_str(component).unwrap()).unwrap();
    let line = Glovebox::new("up").option("--from", &file).run().refusal();
    assert!(line.contains("glovebox:inference/model@0.0.9"), "{line}");
    assert!(line.contains("pack it again"), "{line}");
}

#[test]
fn a_guest_of_another_contract_for_packing_is_told_so_in_one_line() {
    let dir = temporary();
    let (file, own) = (dir.path().join("older.wasm"), fs::read(own()).unwrap());
    let (name, other) = (b"pack_contract_1", b"pack_contract_0");
    let at = own
        .windows(name.len())
        .position(|part| part == name)
        .unwrap();
    let older = [&own[..at], other, &own[at + name.len()..]].concat();
    fs::write(&file, older).unwrap();
    let pack = Glovebox::new("pack").arg(model_dir("wine").join("wine.onnx"));
    let line = pack.option("--guest", &file).run().refusal();
    assert!(line.contains("contract for packing"), "{line}");
    assert!(line.contains("build it again"), "{line}");
}
