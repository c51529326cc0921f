//! `glovebox compose`: a component and what it imports become one file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Failure, pack};
use crate::limits::Bytes;
use crate::model::compose::{Part, compose};
use crate::model::package::{Package, check_kind};
use crate::text;

#[derive(Args)]
pub(super) struct Compose {
    /// A component that imports a model, such as an HTTP front
    front: PathBuf,
    /// The model, as `glovebox pack` writes it
    model: PathBuf,
    /// The component to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// The bytes of a file that is a component by its beginning.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = Package::read(file)?;
    let checked = check_kind(&bytes);
    checked.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(bytes)
}

impl Compose {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let (front, model) = (read(&self.front)?, read(&self.model)?);
        let (front_name, model_name) = (
            self.front.display().to_string(),
            self.model.display().to_string(),
        );
        let front = Part {
            name: &front_name,
            component: front,
        };
        let model = Part {
            name: &model_name,
            component: model,
        };
        let component = compose(front, vec![model])?;
        pack::write(&self.output, &component)?;
        let size = Bytes(component.len() as u64);
        let about = Package::parse(component)?;
        if self.json {
            let report = json!({
                "output": self.output, "bytes": size.0,
                "imports": about.imports, "exports": about.exports,
            });
            println!("{report}");
        } else {
            println!(
                "composed {front_name} with {model_name} into {} ({size}), which exports {}",
                self.output.display(),
                text::escape(&about.exports.join(", "))
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
