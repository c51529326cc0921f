//! `glovebox check`: all that is wrong with what `up` would serve, without serving it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::Failure;
use super::up::budget;
use super::up::deploy::{self, Alone, Loaded, Terms};
use super::up::flags::Flags;
use super::up::manifest::Values;
use super::up::source::{Kind, Source};
use crate::config::Application;
use crate::limits::{Bytes, Limits};
use crate::model::metadata::{Example, Metadata};
use crate::model::{Deployer, Model};
use crate::sandbox::bindings::Media;
use crate::sandbox::call::Call;
use crate::text;

#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    values: Values,
    /// Memory for all requests together, such as 4GiB [default: 80 % of what is available]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Bytes>,
    /// Print a list of components as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// A component, or the file itself where it cannot be told what is in it.
#[derive(Serialize)]
struct Verdict {
    component: String,
    /// What one request may take.
    limits: Option<String>,
    /// All that is wrong; nothing if it would be served.
    problems: Vec<String>,
}

impl Check {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let file = self.source.find()?;
        let mut verdicts = match self.check(deployer, &file).await {
            Ok(verdicts) => verdicts,
            Err(error) => vec![Verdict::bad(
                &file.display().to_string(),
                vec![error.to_string()],
            )],
        };
        verdicts.sort_by(|one, other| one.component.cmp(&other.component));
        match self.json {
            true => println!("{}", json!(verdicts)),
            false => verdicts.iter().for_each(Verdict::print),
        }
        match verdicts.iter().all(|verdict| verdict.problems.is_empty()) {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(ExitCode::FAILURE),
        }
    }

    async fn check(&self, deployer: &Deployer, file: &Path) -> Result<Vec<Verdict>, Failure> {
        let (kind, flags) = (Kind::of(file), &self.flags);
        let budget = budget(self.memory_budget, None)?;
        let alone = Alone { file, flags };
        match kind {
            Kind::Onnx => verdicts(&deploy::onnx(deployer, alone, budget).await?).await,
            Kind::Component => verdicts(&deploy::component(deployer, alone, budget).await?).await,
            Kind::Manifest => {
                flags.refuse()?;
                self.manifest(deployer, self.values.read(file)?).await
            }
        }
    }

    async fn manifest(
        &self,
        deployer: &Deployer,
        application: Application,
    ) -> Result<Vec<Verdict>, Failure> {
        let terms = Terms {
            budget: budget(self.memory_budget, None)?,
            loader: None,
            keep_going: true,
        };
        let found = deploy::problems(&application);
        let loaded = deploy::application(deployer, application, terms).await?;
        let mut verdicts = verdicts(&loaded).await?;
        for broken in loaded.state.registry.broken() {
            // What stopped it may be one of those that a look at it has found.
            let mut problems = found.get(&broken.name).cloned().unwrap_or_default();
            if !problems
                .iter()
                .any(|problem| broken.reason.contains(problem))
            {
                problems.insert(0, broken.reason.clone());
            }
            verdicts.push(Verdict::bad(&broken.name, problems));
        }
        Ok(verdicts)
    }
}

/// Tells of what is loaded, and whether it answers its own example.
async fn verdicts(loaded: &Loaded) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts = Vec::new();
    for model in loaded.state.registry.iter() {
        let problem = ask(model).await.err().map(|error| error.to_string());
        verdicts.push(Verdict {
            problems: problem.into_iter().collect(),
            ..Verdict::good(&model.name, &model.limits)
        });
    }
    for function in &loaded.state.application.functions {
        verdicts.push(Verdict::good(&function.id, function.handler.limits()));
    }
    Ok(verdicts)
}

/// Asks a model for the example that its file has, within its limits.
async fn ask(model: &Model) -> Result<(), Failure> {
    let example = model.metadata.as_ref().and_then(example);
    let Some((content_type, body)) = example else {
        return Ok(());
    };
    let deadline = Instant::now() + model.limits.timeout;
    let loaded = model.loaded(deadline).await?;
    let call = Call::Predict(Media { content_type, body });
    let outcome = loaded.function.invoke(call, deadline, ()).await.outcome;
    let explain = |error| format!("it does not answer its own example: {error}");
    outcome.map(|_| ()).map_err(|error| explain(error).into())
}

fn example(metadata: &Metadata) -> Option<(String, Vec<u8>)> {
    let example: &Example = metadata.example.as_ref()?;
    Some((example.content_type.clone(), example.bytes()?))
}

impl Verdict {
    fn good(component: &str, limits: &Limits) -> Self {
        Self {
            component: component.to_owned(),
            limits: Some(format!("{limits}: {} a request", limits.footprint())),
            problems: Vec::new(),
        }
    }

    fn bad(component: &str, problems: Vec<String>) -> Self {
        Self {
            component: component.to_owned(),
            limits: None,
            problems,
        }
    }

    fn print(&self) {
        let name = text::escape(&self.component);
        match (&self.limits, self.problems.is_empty()) {
            (Some(limits), true) => println!("ok     {name}: {limits}"),
            _ => {
                for problem in &self.problems {
                    println!("wrong  {name}: {}", shown(problem));
                }
            }
        }
    }
}

/// The whole of it on one line; guests' texts in it are escaped and cut already.
fn shown(problem: &str) -> String {
    problem.split_whitespace().collect::<Vec<_>>().join(" ")
}
