//! `glovebox pack`: an ONNX file becomes a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Failure;
use crate::limits::{self, Bytes, Limits};
use crate::model::Deployer;
use crate::pack::config::ModelConfig;
use crate::pack::{Packed, Packer};

#[derive(Args)]
pub(super) struct Pack {
    /// The ONNX file
    model: PathBuf,
    /// What stands around the model [default: model.toml beside it, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The component to write [default: the model's file with the extension .wasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Memory that loading may use
    #[arg(long, value_name = "SIZE", default_value = "4095MiB", value_parser = memory)]
    memory: Bytes,
    /// CPU time that loading may use
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = humantime::parse_duration)]
    cpu: Duration,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let limits = Limits {
            memory: self.memory,
            ..Limits::generous(self.cpu)
        };
        let start = Instant::now();
        let (name, packed) = pack(deployer, &self.model, self.config.as_deref(), limits).await?;
        let output = self
            .output
            .clone()
            .unwrap_or_else(|| self.model.with_extension("wasm"));
        write(&output, &packed.bytes)?;
        let size = Bytes(packed.bytes.len() as u64);
        if self.json {
            let report = json!({
                "name": name, "output": output, "bytes": size.0, "image_bytes": packed.image.0,
                "examples": packed.examples, "signature": packed.signature,
            });
            println!("{report}");
        } else {
            let seconds = start.elapsed().as_secs_f32();
            let examples = match packed.examples {
                0 => "no examples to check".into(),
                count => format!("{count} examples right"),
            };
            println!(
                "packed {name} into {} ({size}, of that {} model) in {seconds:.1} s, {examples}",
                output.display(),
                packed.image
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Packs a file; shows on a terminal that something is going on.
pub(super) async fn pack(
    deployer: &Deployer,
    model: &Path,
    config: Option<&Path>,
    limits: Limits,
) -> Result<(String, Packed), Failure> {
    let config = ModelConfig::find(model, config)?;
    let onnx = read(model)?;
    let packer = Packer {
        sandbox: Arc::clone(&deployer.sandbox),
        compiler: Arc::clone(&deployer.compiler),
        limits,
    };
    let spinner = spinner(format!("packing {}", config.name));
    let packed = packer.pack(&onnx, &config).await;
    spinner.finish_and_clear();
    let packed = packed.map_err(|error| format!("{}: {error}", model.display()))?;
    Ok((config.name, packed))
}

fn read(model: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |error| format!("cannot read {}: {error}", model.display());
    let size = fs::metadata(model).map_err(fail)?.len();
    if size > limits::ARTIFACT_BYTES {
        return Err(format!(
            "{} has {}, more than the {} of a packed model",
            model.display(),
            Bytes(size),
            Bytes(limits::ARTIFACT_BYTES)
        )
        .into());
    }
    Ok(fs::read(model).map_err(fail)?)
}

/// Writes under another name first: nobody sees half a model.
fn write(output: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |error| format!("cannot write {}: {error}", output.display());
    if let Some(dir) = output.parent() {
        fs::create_dir_all(dir).map_err(fail)?;
    }
    let temporary = output.with_extension(format!("wasm.{}", std::process::id()));
    fs::write(&temporary, bytes).map_err(fail)?;
    fs::rename(&temporary, output).map_err(fail)?;
    Ok(())
}

/// Hidden when standard error is no terminal.
pub(super) fn spinner(message: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn memory(text: &str) -> Result<Bytes, String> {
    let size = text.parse::<Bytes>()?;
    match size.0 > limits::PACK_MEMORY_BYTES {
        true => Err("a 32-bit guest has at most 4095MiB".into()),
        false => Ok(size),
    }
}
