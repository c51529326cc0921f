//! `glovebox pack`: an ONNX file becomes a component.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use glovebox_protocol::{Signature, TensorSpec};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::Failure;
use crate::limits::{self, Bytes, Limits};
use crate::model::compose::with_front;
use crate::model::{Deployer, kind, regular};
use crate::pack::assume::Assumption;
use crate::pack::config::ModelConfig;
use crate::pack::edge::{self, EdgeReport};
use crate::pack::guest::Guest;
use crate::pack::{Packed, Packer};
use crate::text;

#[derive(Args)]
pub(super) struct Pack {
    /// The ONNX file
    model: PathBuf,
    /// What stands around the model [default: model.toml beside it, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The code around the model, built with the crate glovebox-guest [default: what model.toml asks for]
    #[arg(long, value_name = "WASM")]
    guest: Option<PathBuf>,
    /// Leave the graph out, for the host to run it outside of the sandbox; serving it needs the
    /// operator's consent, and the model's file
    #[arg(long, conflicts_with_all = ["guest", "http", "profile"])]
    native: bool,
    /// The component to write [default: the model's file with the extension .wasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    loading: Loading,
    /// Put an HTTP front before the model: one component for Spin, wasmtime serve and Glovebox
    #[arg(long)]
    http: bool,
    /// Write it only if it keeps the quotas of such a platform; implies --http
    #[arg(long, value_name = "PLATFORM", value_enum)]
    profile: Option<Profile>,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// What loading a model may use.
#[derive(Args)]
pub(super) struct Loading {
    /// Memory that loading may use
    #[arg(long, value_name = "SIZE", default_value = "4095MiB", value_parser = memory)]
    memory: Bytes,
    /// CPU time that loading may use
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = humantime::parse_duration)]
    cpu: Duration,
}

impl Loading {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory: self.memory,
            ..Limits::generous(self.cpu)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Edge platforms: a component of 50 MiB, 128 MiB of memory
    Edge,
}

impl Pack {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        let guest = match &self.guest {
            Some(file) => guest(file)?,
            None if self.native => Guest::native(),
            None => Guest::standard(),
        };
        let config = ModelConfig::find(&self.model, self.config.as_deref())?;
        let limits = self.loading.limits();
        let packed = pack(deployer, &self.model, &config, &guest, limits).await?;
        let mut made = Made::new(&self, config, packed)?;
        if self.profile == Some(Profile::Edge) {
            made.measure(deployer).await?;
        }
        write(&made.output, &made.component)?;
        match self.json {
            true => println!("{}", made.as_json()),
            false => print!("{}", made.as_text(start.elapsed())),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A packed model on its way into a file.
struct Made {
    config: ModelConfig,
    output: PathBuf,
    component: Vec<u8>,
    image: Bytes,
    signature: Signature,
    /// The file of the graph, if the component does not hold it.
    graph: Option<PathBuf>,
    assumed: Vec<Assumption>,
    left_out: Vec<TensorSpec>,
    edge: Option<EdgeReport>,
}

impl Made {
    fn new(arguments: &Pack, config: ModelConfig, packed: Packed) -> Result<Self, Failure> {
        let output = arguments.output.clone();
        let component = match arguments.http || arguments.profile.is_some() {
            true => with_front(packed.bytes)?,
            false => packed.bytes,
        };
        Ok(Self {
            config,
            output: output.unwrap_or_else(|| arguments.model.with_extension("wasm")),
            component,
            image: packed.image,
            signature: packed.signature,
            graph: arguments.native.then(|| arguments.model.clone()),
            assumed: packed.assumed,
            left_out: packed.left_out,
            edge: None,
        })
    }

    /// Fails if a quota is not kept.
    async fn measure(&mut self, deployer: &Deployer) -> Result<(), Failure> {
        deployer.sandbox.restart(&Handle::current())?;
        let ModelConfig { name, examples, .. } = &self.config;
        let measured = edge::measure(deployer, name, &self.component, &self.signature, examples);
        let report = measured.await?;
        match report.failures().as_slice() {
            [] => self.edge = Some(report),
            failures => {
                let failures = failures.join("; ");
                return Err(format!("not for the edge: {failures}; nothing was written").into());
            }
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.config.name, "output": self.output, "bytes": self.component.len(),
            "image_bytes": self.image.0, "examples": self.config.examples.len(),
            "signature": self.signature, "assumed": self.assumed, "left_out": self.left_out,
            "graph": self.graph, "edge": self.edge,
        })
    }

    fn as_text(&self, time: Duration) -> String {
        let examples = match self.config.examples.len() {
            0 => "no examples to check".into(),
            count => format!("{count} examples right"),
        };
        let packed = format!(
            "packed {} into {} ({}, of that {} model) in {:.1} s, {examples}\n",
            self.config.name,
            self.output.display(),
            Bytes(self.component.len() as u64),
            self.image,
            time.as_secs_f32()
        );
        let assumed = self.assumed.iter();
        let assumed = assumed.map(|assumption| format!("assumed: {assumption}\n"));
        let left_out = self.left_out.iter().map(left_out_text);
        let edge = self.edge.as_ref().map(edge_text);
        let graph = self.graph.as_ref();
        let graph = graph.map(|file| graph_text(&self.config.name, file));
        let notes: String = assumed.chain(left_out).collect();
        notes + &packed + &edge.or(graph).unwrap_or_default()
    }
}

fn left_out_text(output: &TensorSpec) -> String {
    let (name, datatype) = (text::quoted(&output.name), output.datatype);
    format!("left out: output {name}, for it is {datatype}, of which wasi:nn has none\n")
}

/// What an operator writes to let the host run a graph.
fn graph_text(name: &str, file: &Path) -> String {
    // Texts are written alike in JSON and TOML.
    let (name, file) = (json!(name), json!(file.to_string_lossy()));
    format!(
        "its graph runs outside of the sandbox, if spin.toml says so (paths are relative to it):\n\n\
         [component.<id>.tool.glovebox]\nexecution = \"native\"\ngraphs = {{ {name} = {file} }}\n"
    )
}

fn edge_text(report: &EdgeReport) -> String {
    let millis = |micros: u64| micros as f64 / 1000.0;
    let requests = match report.has_examples {
        true => format!("over {} examples", report.requests),
        false => "on zeros; [[example]] in model.toml would say more".to_owned(),
    };
    format!(
        "edge: component {} of {}, memory {} of {}, CPU {:.1} ms a request, {:.1} ms at most, {requests}\n",
        Bytes(report.component_bytes),
        limits::EDGE_COMPONENT,
        Bytes(report.memory_bytes),
        limits::EDGE_MEMORY,
        millis(report.cpu_median_us),
        millis(report.cpu_most_us),
    )
}

/// Packs a file; shows on a terminal that something is going on.
pub(super) async fn pack(
    deployer: &Deployer,
    model: &Path,
    config: &ModelConfig,
    guest: &Guest,
    limits: Limits,
) -> Result<Packed, Failure> {
    let onnx = read_onnx(model)?;
    let packer = packer(deployer, limits);
    let spinner = spinner(format!("packing {}", config.name));
    let packed = packer.pack(&onnx, config, guest).await;
    spinner.finish_and_clear();
    Ok(packed.map_err(|error| format!("{}: {error}", model.display()))?)
}

/// What loads models within these limits.
pub(super) fn packer(deployer: &Deployer, limits: Limits) -> Packer {
    Packer {
        sandbox: Arc::clone(&deployer.sandbox),
        compiler: Arc::clone(&deployer.compiler),
        limits,
    }
}

fn guest(file: &Path) -> Result<Guest, Failure> {
    let bytes = read(file)?;
    if let Some(problem) = kind::not_wasm(&bytes) {
        return Err(format!("{}: {problem}", file.display()).into());
    }
    let guest = Guest::split(&bytes);
    Ok(guest
        .map_err(|error| format!("{}: {}", file.display(), text::escape(&error.to_string())))?)
}

/// Reads a file that is to be packed.
pub(super) fn read_onnx(model: &Path) -> Result<Vec<u8>, Failure> {
    if model.is_dir() {
        return Err(format!("{}: {FOLDER}", model.display()).into());
    }
    let bytes = read(model)?;
    match kind::not_onnx(&bytes) {
        Some(problem) => Err(format!("{}: {problem}", model.display()).into()),
        None => Ok(bytes),
    }
}

/// What is said of a folder: libraries save models in one.
const FOLDER: &str = "this is a folder, not an ONNX model: name the .onnx file in it; without one, export it \
    (`optimum-cli export onnx --model <folder> <new folder>` for Hugging Face, `python -m \
    tf2onnx.convert --saved-model <folder> --output model.onnx` for TensorFlow)";

fn read(model: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |error| {
        format!(
            "cannot read {}: {}",
            model.display(),
            text::unreadable(&error)
        )
    };
    let mut file = regular::open(model).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    if size > limits::ARTIFACT_BYTES {
        return Err(format!(
            "{} has {}, more than the {} of a packed model",
            model.display(),
            Bytes(size),
            Bytes(limits::ARTIFACT_BYTES)
        )
        .into());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Writes under another name first: nobody sees half a model.
pub(super) fn write(output: &Path, bytes: &[u8]) -> Result<(), Failure> {
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
    let size: Bytes = text.parse()?;
    match size.0 > limits::PACK_MEMORY_BYTES {
        true => Err("a 32-bit guest has at most 4095MiB".into()),
        false => Ok(size),
    }
}
