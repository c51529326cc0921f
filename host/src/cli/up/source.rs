//! What is served: one file, or what a manifest names.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Failure;
use crate::model::regular;

/// The file that every manifest is called.
const MANIFEST: &str = "spin.toml";

#[derive(Args)]
pub(in crate::cli) struct Source {
    /// A manifest, or a folder with a spin.toml; a packed model, an HTTP component, or an ONNX file,
    /// which is packed first [default: spin.toml]
    #[arg(value_name = "FILE|FOLDER", conflicts_with = "from")]
    path: Option<PathBuf>,
    /// The same, as Spin writes it
    #[arg(short, long, value_name = "FILE|FOLDER")]
    from: Option<PathBuf>,
}

/// What kind of file is served, by its extension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    Onnx,
    Component,
    Manifest,
}

impl Source {
    /// The file that is meant. One that does not exist is named by whoever reads it.
    pub(in crate::cli) fn find(&self) -> Result<PathBuf, Failure> {
        let given = self.path.as_ref().or(self.from.as_ref());
        let path = given.map_or(Path::new(MANIFEST), PathBuf::as_path);
        let Ok(about) = fs::metadata(path) else {
            return Ok(path.to_path_buf());
        };
        if !about.is_dir() {
            regular::check(&about)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            return Ok(path.to_path_buf());
        }
        let manifest = path.join(MANIFEST);
        match manifest.exists() {
            true => Ok(manifest),
            false => Err(format!(
                "{} is a folder without a {MANIFEST}; name a folder with one, a manifest, a .wasm or an \
                 .onnx file",
                path.display()
            )
            .into()),
        }
    }
}

impl Kind {
    pub(in crate::cli) fn of(file: &Path) -> Self {
        let extension = file.extension();
        match extension.and_then(|extension| extension.to_str()) {
            Some("onnx") => Self::Onnx,
            Some("wasm") => Self::Component,
            _ => Self::Manifest,
        }
    }
}
