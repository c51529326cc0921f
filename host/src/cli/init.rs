//! `glovebox init`: a `model.toml` for a model, drafted from what the model says of itself.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::pack::{self, Loading};
use crate::model::Deployer;
use crate::pack::assume::{self, Assumption};
use crate::pack::config::ModelConfig;
use crate::pack::draft;
use crate::pack::guest::Guest;

#[derive(Args)]
pub(super) struct Init {
    /// The ONNX file
    model: PathBuf,
    /// The file to write [default: model.toml beside the model]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    loading: Loading,
}

impl Init {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let beside = self.model.with_file_name("model.toml");
        let output = self.output.as_deref().unwrap_or(&beside);
        if !self.force && output.exists() {
            return Err(there_already(output));
        }
        let unwritten = ModelConfig::unwritten(&self.model, output)?;
        let guess = self.guess(deployer, &unwritten, output)?;
        print!("{}", report(output, &guess));
        if let Some(reason) = self.try_out(deployer, output).await? {
            println!("it does not pack as it is: {reason}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes the file; what was guessed in it.
    fn guess(
        &self,
        deployer: &Deployer,
        unwritten: &ModelConfig,
        output: &Path,
    ) -> Result<Vec<Assumption>, Failure> {
        let onnx = pack::read_onnx(&self.model)?;
        let packer = pack::packer(deployer, self.loading.limits());
        let spinner = pack::spinner(format!("loading {}", unwritten.name));
        let signature = packer.signature(&onnx, unwritten);
        spinner.finish_and_clear();
        let signature = signature.map_err(|error| format!("{}: {error}", self.model.display()))?;
        let guess = assume::guess(&signature, unwritten);
        let written = draft::model_toml(&unwritten.name, &signature, &guess)?;
        self.write(output, &written)?;
        Ok(guess)
    }

    /// What packing says to it, if that is nothing good.
    async fn try_out(&self, deployer: &Deployer, output: &Path) -> Result<Option<String>, Failure> {
        let config = ModelConfig::find(&self.model, Some(output))?;
        let guest = Guest::standard();
        let limits = self.loading.limits();
        let packed = pack::pack(deployer, &self.model, &config, &guest, limits).await;
        Ok(packed.err().map(|error| error.to_string()))
    }

    /// Whoever has put a file there in the meantime keeps it.
    fn write(&self, output: &Path, written: &str) -> Result<(), Failure> {
        let fail = |error| format!("cannot write {}: {error}", output.display());
        if self.force {
            return Ok(fs::write(output, written).map_err(fail)?);
        }
        let file = OpenOptions::new().write(true).create_new(true).open(output);
        let written = file.and_then(|mut file| file.write_all(written.as_bytes()));
        Ok(written.map_err(fail)?)
    }
}

fn there_already(output: &Path) -> Failure {
    let output = output.display();
    format!("{output} is there already; write over it with --force").into()
}

fn report(output: &Path, guess: &[Assumption]) -> String {
    let mut report = format!("wrote {}\n", output.display());
    for assumption in guess {
        let how = match assumption.certain {
            true => "found",
            false => "guessed",
        };
        report += &format!("{how}: {assumption}\n");
    }
    if guess.is_empty() {
        report += "nothing to guess: without [input] the model takes tensors only\n";
    }
    report
}
