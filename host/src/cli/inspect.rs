//! `glovebox inspect`: what a component says about itself, without running it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use glovebox_protocol::TensorSpec;
use serde::Serialize;
use serde_json::json;

use super::Failure;
use crate::compile::Compiler;
use crate::limits::Bytes;
use crate::model::graphs;
use crate::model::metadata::Metadata;
use crate::model::package::{Code, Package};
use crate::model::runtime;
use crate::text;

#[derive(Args)]
pub(super) struct Inspect {
    /// The component
    model: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn execute(self, compiler: &Compiler) -> Result<ExitCode, Failure> {
        let package = Package::open(&self.model)?;
        let bytes = fs::read(&self.model)?;
        let file = File {
            digest: format!("sha256:{}", runtime::sha256(&bytes)),
            size: bytes.len() as u64,
            runtime: Runtime::of(&package, compiler)?,
        };
        match self.json {
            true => println!("{}", as_json(&package, &file)),
            false => print!("{}", as_text(&package, &file)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The file as a whole.
struct File {
    digest: String,
    size: u64,
    runtime: Option<Runtime>,
}

/// The code that a component shares with others.
#[derive(Serialize)]
struct Runtime {
    sha256: String,
    /// True if this host was built with the runtime.
    embedded: bool,
    /// True if this machine has the machine code of the runtime.
    compiled: bool,
}

impl Runtime {
    fn of(package: &Package, compiler: &Compiler) -> Result<Option<Self>, Failure> {
        let (Code::Shared(shared) | Code::SharedAndOwn(shared)) = &package.code else {
            return Ok(None);
        };
        let parts = shared.parts()?;
        Ok(Some(Self {
            sha256: runtime::sha256(&parts.code),
            embedded: shared.is_embedded() || *parts.code == *runtime::NATIVE_CODE,
            compiled: compiler.is_compiled(shared)?,
        }))
    }

    fn describe(&self) -> String {
        let whose = match self.embedded {
            true => "this host's own",
            false => "not of this host",
        };
        let compiled = match self.compiled {
            true => "compiled on this machine",
            false => "not compiled on this machine yet",
        };
        format!("sha256:{}, {whose}, {compiled}", self.sha256)
    }
}

fn as_json(package: &Package, file: &File) -> serde_json::Value {
    json!({
        "digest": file.digest,
        "bytes": file.size,
        "image_bytes": package.image.0,
        "core_module_bytes": package.modules.iter().map(|module| module.0).collect::<Vec<_>>(),
        "execution": execution(&package.imports),
        "runtime": file.runtime,
        "shares_runtime": file.runtime.is_some(),
        "behind_front": package.front.is_some(),
        "imports": imports(package),
        "exports": exports(package),
        "model": package.metadata,
    })
}

fn as_text(package: &Package, file: &File) -> String {
    let mut lines = Vec::new();
    let mut line =
        |key: &str, value: String| lines.push(format!("{key:<12} {}\n", text::escape(&value)));
    if let Some(metadata) = &package.metadata {
        describe(metadata, &mut line);
    }
    let names = |names: &[String]| {
        if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        }
    };
    line("imports", names(imports(package)));
    line("exports", names(exports(package)));
    if package.front.is_some() {
        let front = "the HTTP front of Glovebox; Glovebox itself serves the model behind it";
        line("front", front.into());
    }
    line(
        "code",
        match package.code {
            Code::Shared(_) => "shared by all models with this runtime",
            Code::SharedAndOwn(_) => {
                "shared by all models with this runtime, and its own, compiled before it is served"
            }
            Code::Own => "its own, compiled before it is served",
        }
        .into(),
    );
    if let Some(runtime) = &file.runtime {
        line("runtime", runtime.describe());
    }
    line(
        "execution",
        match graphs::run_natively(&package.imports) {
            true => {
                "native, outside of the sandbox, where the manifest says so and names the graphs"
            }
            false => "in the sandbox",
        }
        .into(),
    );
    line("memory", format!("{} before a request", package.image));
    line("file", Bytes(file.size).to_string());
    line("digest", file.digest.clone());
    lines.concat()
}

/// The imports of the whole file.
fn imports(package: &Package) -> &[String] {
    let front = package.front.as_ref();
    front.map_or(&package.imports, |front| &front.imports)
}

/// The exports of the whole file.
fn exports(package: &Package) -> &[String] {
    let front = package.front.as_ref();
    front.map_or(&package.exports, |front| &front.exports)
}

fn execution(imports: &[String]) -> &'static str {
    match graphs::run_natively(imports) {
        true => "native",
        false => "sandbox",
    }
}

fn describe(metadata: &Metadata, line: &mut impl FnMut(&str, String)) {
    line("model", format!("{} {}", metadata.name, metadata.version));
    let optional = [
        ("description", &metadata.description),
        ("licence", &metadata.licence),
    ];
    optional.into_iter().for_each(|(key, value)| {
        if let Some(value) = value {
            line(key, value.clone())
        }
    });
    metadata
        .signature
        .inputs
        .iter()
        .for_each(|spec| line("input", tensor(spec)));
    metadata
        .signature
        .outputs
        .iter()
        .for_each(|spec| line("output", tensor(spec)));
    if !metadata.signature.media.is_empty() {
        line("predict", metadata.signature.media.join(", "));
    }
    if !metadata.labels.is_empty() {
        line("labels", metadata.labels.join(", "));
    }
    if let Some(graph) = &metadata.graph {
        let asked = format!(
            "{} (sha256:{}), which the host runs",
            graph.name, graph.sha256
        );
        line("graph", asked);
    }
    line("source", format!("sha256:{}", metadata.source_sha256));
    line("packed by", metadata.tool.clone());
}

fn tensor(spec: &TensorSpec) -> String {
    format!("{} {}", spec.name, text::tensor(spec))
}
