//! `glovebox new`: a folder with a guest of one's own, which builds and runs as it is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use crate::model;

/// The bundled model that a project begins with, and a line for it.
const MODEL: &[u8] = include_bytes!("../../../../models/wine/wine.onnx");
const LINE: &str = "11.96,1.09,2.3,21.0,101.0,3.38,2.14,0.13,1.65,3.21,0.99,3.13,886.0\n";

/// The versions of everything else, as the runtime was built with them: without it, cargo takes the newest.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The folder of the sources of `glovebox-guest` in a project, and what is in it.
const SDK: &str = "glovebox-sdk";
static SDK_FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Where the sources of this program were when it was built.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Args)]
pub(super) struct New {
    /// The folder to make; its name is the project's and the model's
    folder: PathBuf,
    /// The ONNX file to copy there [default: the bundled wine, with an example]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

impl New {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let name = check_name(&self.folder)?;
        let model = match &self.model {
            Some(file) => fs::read(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
            None => MODEL.to_vec(),
        };
        check_empty(&self.folder)?;
        let project = Project {
            name,
            has_own_model: self.model.is_some(),
            checkout: checkout(),
        };
        write(&self.folder, "model.onnx", &model)?;
        for (file, text) in project.files() {
            write(&self.folder, file, text.as_bytes())?;
        }
        if project.checkout.is_none() {
            let sdk = self.folder.join(SDK);
            for (file, bytes) in SDK_FILES {
                write(&sdk, file, bytes)?;
            }
        }
        print!("{}", project.next_steps(&self.folder));
        Ok(ExitCode::SUCCESS)
    }
}

/// A project on its way into its folder.
struct Project {
    name: String,
    has_own_model: bool,
    /// A checkout to take `glovebox-guest` from. Without it, the project gets a copy of its own.
    checkout: Option<PathBuf>,
}

/// The checkout that this program was built from, if it is one under development: if the program lies in
/// there. On another machine, anything may lie at that path.
fn checkout() -> Option<PathBuf> {
    let checkout = fs::canonicalize(SOURCES).ok()?;
    let program = env::current_exe().ok()?;
    program.starts_with(&checkout).then_some(checkout)
}

impl Project {
    /// All files but the model.
    fn files(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
            (".cargo/config.toml", include_str!("template/config.toml")),
            (".gitignore", include_str!("template/gitignore")),
            ("src/lib.rs", include_str!("template/src/lib.rs")),
            ("README.md", include_str!("template/README.md")),
            match self.has_own_model {
                true => ("model.toml", include_str!("template/model.toml")),
                false => ("model.toml", include_str!("template/wine.toml")),
            },
        ];
        let mut files: Vec<_> = texts.map(|(file, text)| (file, self.fill(text))).into();
        if !self.has_own_model {
            files.push((self.input(), LINE.into()));
        }
        files.push(("Cargo.lock", LOCK.into()));
        files
    }

    fn fill(&self, template: &str) -> String {
        let values = [
            ("name", self.name.clone()),
            ("dependency", self.dependency()),
            ("wasm", self.wasm()),
            ("input", self.input().into()),
        ];
        values
            .into_iter()
            .fold(template.to_owned(), |text, (key, value)| {
                text.replace(&format!("{{{{{key}}}}}"), &value)
            })
    }

    /// The line of `Cargo.toml` that says where the crate comes from.
    fn dependency(&self) -> String {
        let (origin, path) = match &self.checkout {
            Some(checkout) => (
                "From the sources that this glovebox was built from",
                checkout.join("guest/sdk"),
            ),
            None => (
                "From the sources that this glovebox has brought along",
                Path::new(SDK).join("guest/sdk"),
            ),
        };
        format!(
            "# {origin}: guest and packer belong together.\nglovebox-guest = {{ path = {path:?} }}"
        )
    }

    /// What cargo makes.
    fn wasm(&self) -> String {
        let file = self.name.replace('-', "_");
        format!("target/wasm32-unknown-unknown/release/{file}.wasm")
    }

    /// What the model can be asked with.
    fn input(&self) -> &'static str {
        match self.has_own_model {
            true => "line.csv",
            false => "examples/cultivar-2.csv",
        }
    }

    fn next_steps(&self, folder: &Path) -> String {
        let (folder, wasm) = (folder.display(), self.wasm());
        let run = match self.has_own_model {
            true => String::new(),
            false => format!("  glovebox run model.wasm --input {}\n", self.input()),
        };
        format!(
            "made {folder}: src/lib.rs is what stands around the model; next\n  \
             cd {folder}\n  \
             cargo build --release\n  \
             glovebox pack model.onnx --guest {wasm}\n{run}"
        )
    }
}

/// The folder's name, which becomes that of a crate and of a model.
fn check_name(folder: &Path) -> Result<String, Failure> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let is_crate = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    match is_crate && !name.contains('.') && model::is_name(&name) {
        true => Ok(name.into_owned()),
        false => Err(format!(
            "{name:?} cannot be the name of a crate: use letters, digits, '-' and '_', a letter first"
        )
        .into()),
    }
}

/// Nothing that is there is written over.
fn check_empty(folder: &Path) -> Result<(), Failure> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !folder.exists(),
    };
    match is_empty {
        true => Ok(()),
        false => Err(format!(
            "{} is there already, and not an empty folder",
            folder.display()
        )
        .into()),
    }
}

fn write(folder: &Path, file: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(file);
    let fail = |error| format!("cannot write {}: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(fail)?;
    fs::write(&path, bytes).map_err(fail)?;
    Ok(())
}
