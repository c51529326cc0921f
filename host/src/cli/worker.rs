//! `glovebox worker`: what the other commands start for hostile bytes. Nobody types it.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Common, Failure, background, deployer};
use crate::compile::{Job, Kind};
use crate::limits::Bytes;
use crate::model::graphs;
use crate::native::{self, Engine};
use crate::pack::job::{self, Load};
use crate::sandbox::Sandbox;
use crate::sandbox::engine::Metering;
use crate::worker::{Budget, child};

#[derive(Args)]
pub(super) struct Worker {
    #[command(subcommand)]
    job: JobName,
    /// CPU time of all threads
    #[arg(long, global = true, default_value_t = 0)]
    cpu_seconds: u64,
    /// Memory that may be written to
    #[arg(long, global = true, default_value_t = 0)]
    memory_bytes: u64,
    /// Size of the result
    #[arg(long, global = true, default_value_t = 0)]
    output_bytes: u64,
    /// Run only where nobody else wants to
    #[arg(long, global = true)]
    background: bool,
}

#[derive(Subcommand)]
enum JobName {
    #[command(name = Job::NAME)]
    Compile { kind: Kind, metering: Metering },
    #[command(name = job::NAME)]
    LoadModel,
    #[command(name = graphs::JOB)]
    LoadGraph { engine: Engine },
}

impl Worker {
    pub(super) fn execute(&self, common: &Common) -> Result<ExitCode, Failure> {
        match self.job {
            JobName::Compile { kind, metering } => self.compile(Job { kind, metering }),
            JobName::LoadModel => self.load(common),
            JobName::LoadGraph { engine } => self.try_graph(engine),
        }
    }

    fn compile(&self, job: Job) -> Result<ExitCode, Failure> {
        let sandbox = Sandbox::without_compute()?;
        let engine = sandbox.engine(job.metering)?;
        child::confine(&self.budget())?;
        let result = job.run(engine, &child::input()?);
        let answer = match &result {
            Ok(code) => Ok(vec![code.as_slice()]),
            Err(reason) => Err(reason.as_bytes()),
        };
        Ok(child::answer(answer)?)
    }

    /// Machine code is taken from the cache before the process may open files no more; which, the
    /// input says.
    fn load(&self, common: &Common) -> Result<ExitCode, Failure> {
        let deployer = deployer(common, Sandbox::without_compute()?, background(common))?;
        let input = child::input()?;
        let load = Load::new(&deployer.sandbox, &deployer.compiler, &input)?;
        child::confine(&self.budget())?;
        let result = load.run();
        let answer = match &result {
            Ok((front, memory)) => Ok(vec![front.as_slice(), memory.as_slice()]),
            Err(reason) => Err(reason.as_slice()),
        };
        Ok(child::answer(answer)?)
    }

    /// Whether a graph can be loaded: who asks then does it again.
    fn try_graph(&self, engine: Engine) -> Result<ExitCode, Failure> {
        native::prepare(engine)?;
        let input = child::input()?;
        child::confine(&self.budget())?;
        let reason = native::load(engine, &input).map_err(|error| error.to_string());
        Ok(child::answer(match &reason {
            Ok(_) => Ok(Vec::new()),
            Err(reason) => Err(reason.as_bytes()),
        })?)
    }

    fn budget(&self) -> Budget {
        Budget {
            cpu: Duration::from_secs(self.cpu_seconds),
            memory: Bytes(self.memory_bytes),
            output: Bytes(self.output_bytes),
            threads: 1,
            background: self.background,
        }
    }
}
