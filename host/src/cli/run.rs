//! `glovebox run`: one inference in the sandbox, its answer on standard output.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use glovebox_protocol::{InferRequest, InferResponse};
use tokio::runtime::Handle;

use super::Failure;
use crate::limits::{self, Limits};
use crate::media;
use crate::model::package::{Package, World};
use crate::model::{Deployer, Model};
use crate::sandbox::bindings::Media;
use crate::sandbox::call::{Answer, Call};
use crate::sandbox::compute::Tenant;
use crate::sandbox::invoke::Fault;
use crate::sandbox::wasi::Post;
use crate::text;

#[derive(Args)]
pub(super) struct Run {
    /// The component
    model: PathBuf,
    #[command(flatten)]
    input: Input,
    /// How to read the input [default: by its extension]
    #[arg(long, value_name = "TYPE", requires = "input")]
    content_type: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// A picture, a table, a series or a text for `predict`
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// A request of Open Inference Protocol for `infer`, as JSON
    #[arg(long, value_name = "FILE")]
    tensors: Option<PathBuf>,
}

impl Run {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let package = Package::open(&self.model)?;
        let answer = match package.world()? {
            World::ModelFunction => self.ask(deployer, &package).await?,
            World::Http => self.post(deployer, &package).await?,
        };
        let mut stdout = io::stdout().lock();
        let text = std::str::from_utf8(&answer);
        if text.is_err() && stdout.is_terminal() {
            return Err("the answer is no text; add `> file` to keep it".into());
        }
        stdout.write_all(&answer)?;
        if text.is_ok_and(|text| !text.is_empty() && !text.ends_with('\n')) {
            stdout.write_all(b"\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Calls a model function.
    async fn ask(&self, deployer: &Deployer, package: &Package) -> Result<Vec<u8>, Failure> {
        let metadata = package.metadata.as_ref();
        let name = metadata.map_or("model", |metadata| metadata.name.as_str());
        let limits = Limits::generous(limits::RUN_CPU);
        let model = deployer
            .deploy(name, package, Arc::default(), tenant(), limits)
            .await?;
        match (&self.input.input, &self.input.tensors) {
            (Some(file), _) => predict(&model, file, self.content_type.as_deref()).await,
            (None, Some(file)) => infer(&model, file).await,
            (None, None) => Err("give --input or --tensors".into()),
        }
    }

    /// Posts to the front of a model.
    async fn post(&self, deployer: &Deployer, package: &Package) -> Result<Vec<u8>, Failure> {
        let Some(metadata) = &package.metadata else {
            return Err(
                "the component speaks HTTP and names no model; serve it with `glovebox up --from`"
                    .into(),
            );
        };
        let (file, call) = match (&self.input.input, &self.input.tensors) {
            (Some(file), _) => (file, "predict"),
            (None, Some(file)) => (file, "infer"),
            (None, None) => return Err("give --input or --tensors".into()),
        };
        let content_type = self.content_type.as_deref();
        let post = Post {
            path: format!("/v2/models/{}/{call}", metadata.name),
            content_type: content_type
                .unwrap_or_else(|| media::content_type(file))
                .to_owned(),
            body: read(file)?,
        };
        deployer.sandbox.restart(&Handle::current())?;
        let (limits, world) = (Limits::generous(limits::RUN_CPU), Default::default());
        let function = deployer.deploy_http(&metadata.name, package, world, tenant(), limits)?;
        let (status, body) = function.handler.post(post).await.outcome.map_err(explain)?;
        match status {
            200 => Ok(body.into()),
            _ => Err(format!(
                "{status}: {}",
                text::escape(&String::from_utf8_lossy(&body))
            )
            .into()),
        }
    }
}

fn tenant() -> Tenant {
    Tenant {
        name: "run".into(),
        weight: 1,
    }
}

fn explain(fault: Fault) -> Failure {
    text::escape(&fault.to_string()).into()
}

async fn predict(
    model: &Model,
    file: &Path,
    content_type: Option<&str>,
) -> Result<Vec<u8>, Failure> {
    let content_type = content_type
        .unwrap_or_else(|| media::content_type(file))
        .to_owned();
    match call(
        model,
        Call::Predict(Media {
            content_type,
            body: read(file)?,
        }),
    )
    .await?
    {
        Answer::Media(media) => Ok(media.body),
        _ => Err("the answer is of another call".into()),
    }
}

async fn infer(model: &Model, file: &Path) -> Result<Vec<u8>, Failure> {
    let request = InferRequest::from_json(&read(file)?)?;
    model.signature.check(&request)?;
    let id = request.id;
    match call(model, Call::Infer(request.inputs, request.outputs)).await? {
        Answer::Tensors(outputs) => {
            let model_version = Some(model.version().to_owned());
            Ok(InferResponse {
                model_name: model.name.clone(),
                model_version,
                id,
                outputs,
            }
            .to_json()?)
        }
        _ => Err("the answer is of another call".into()),
    }
}

async fn call(model: &Model, call: Call) -> Result<Answer, Failure> {
    let deadline = Instant::now() + model.limits.timeout;
    let loaded = model.loaded(deadline).await?;
    let finished = loaded.function.invoke(call, deadline, ()).await;
    finished.outcome.map_err(explain)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    Ok(fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?)
}
