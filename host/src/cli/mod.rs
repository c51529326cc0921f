//! The command line: `pack`, `up`, `run`, `inspect`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks to its user by printing"
)]

mod inspect;
mod pack;
mod run;
mod up;

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::compile::Compiler;
use crate::model::Deployer;
use crate::sandbox::Sandbox;

/// Serverless machine-learning inference in a WebAssembly sandbox.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Where machine code is kept [default: glovebox in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, global = true, value_name = "DIR", env = "GLOVEBOX_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make one sandboxed component of an ONNX model
    Pack(pack::Pack),
    /// Serve models over HTTP
    Up(up::Up),
    /// Answer one request and exit
    Run(run::Run),
    /// Show what is in a packed model, without running it
    Inspect(inspect::Inspect),
}

/// What went wrong, in one line, for the user of a command.
type Failure = Box<dyn std::error::Error>;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(&cli.command);
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Inspect(inspect) = cli.command {
        return inspect.execute();
    }
    let deployer = deployer(&cli.common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Pack(pack) => pack.execute(&deployer).await,
            Command::Up(up) => up.execute(&deployer).await,
            Command::Run(run) => run.execute(&deployer).await,
            Command::Inspect(inspect) => inspect.execute(),
        }
    })
}

/// Guests run on as many threads as there are cores; a slice of a tick is all that the network
/// threads ever wait for one.
fn deployer(common: &Common) -> Result<Deployer, Failure> {
    let sandbox = Sandbox::new(thread::available_parallelism()?.get())?;
    let compiler = Compiler::new(sandbox.engine(), &cache_dir(common)?)?;
    Ok(Deployer {
        sandbox,
        compiler: Arc::new(compiler),
    })
}

fn cache_dir(common: &Common) -> Result<PathBuf, Failure> {
    if let Some(dir) = &common.cache_dir {
        return Ok(dir.clone());
    }
    let home = || Some(env::home_dir()?.join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(home);
    Ok(base
        .ok_or("there is no home directory for the cache; name one with --cache-dir")?
        .join("glovebox"))
}

/// `RUST_LOG` chooses what is logged. A server that nobody watches writes JSON lines.
fn log_to_stderr(command: &Command) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,glovebox=info"));
    let is_watched = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match command {
        Command::Up(_) if !is_watched => log.json().init(),
        _ => log
            .with_ansi(is_watched)
            .with_target(false)
            .without_time()
            .init(),
    }
}
