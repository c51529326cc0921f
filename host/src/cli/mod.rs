//! The command line: `init`, `new`, `pack`, `compose`, `up`, `run`, `inspect`, `bench`, and `worker` for children of these.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks to its user by printing"
)]

mod bench;
mod check;
mod compose;
mod init;
mod inspect;
mod new;
mod pack;
mod run;
mod up;
mod watch;
mod worker;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::compile::{self, Compiler};
use crate::limits::Bytes;
use crate::model::Deployer;
use crate::sandbox::Sandbox;
use crate::worker::{Budget, ONNXRUNTIME, Worker};

/// What `--version` says: packed models share code only with a host of the same runtime.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nruntime sha256:",
    env!("GLOVEBOX_RUNTIME_SHA256"),
    "\nbuilt by ",
    env!("GLOVEBOX_RUSTC"),
);

/// Serverless machine-learning inference in a WebAssembly sandbox.
#[derive(Parser)]
#[command(version, long_version = VERSION, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXIT_CODES: &str = "\
Exit codes: 0 when all went well, also when a server was told to stop and has answered all that it had \
begun; 1 after an error, which is one line on standard error, and when `check` finds something wrong; \
2 for wrong usage.";

#[derive(Args)]
struct Common {
    /// Where machine code is kept [default: glovebox in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, global = true, value_name = "DIR", env = "GLOVEBOX_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// What the machine code kept there may have together; what was used longest ago goes first
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "GLOVEBOX_CACHE_SIZE",
        default_value = "16GiB"
    )]
    cache_size: Bytes,
    /// CPU time that compiling one component may use
    #[arg(long, global = true, value_name = "TIME", default_value = "180s", value_parser = humantime::parse_duration)]
    compile_cpu: Duration,
    /// Memory that compiling one component may use, beside the component itself
    #[arg(long, global = true, value_name = "SIZE", default_value = "2GiB")]
    compile_memory: Bytes,
}

impl Common {
    /// The same on another command line.
    fn arguments(&self) -> Vec<OsString> {
        let dir = self.cache_dir.iter();
        let dir = dir.flat_map(|dir| [OsString::from("--cache-dir"), dir.into()]);
        let compile_cpu = humantime::format_duration(self.compile_cpu).to_string();
        let others = [
            ("--cache-size", self.cache_size.0.to_string()),
            ("--compile-cpu", compile_cpu),
            ("--compile-memory", self.compile_memory.0.to_string()),
        ];
        let others = others.into_iter();
        let others = others.flat_map(|(name, value)| [OsString::from(name), value.into()]);
        dir.chain(others).collect()
    }
}

#[derive(Subcommand)]
enum Command {
    /// Write a model.toml for an ONNX model, with all that it can say explained
    Init(init::Init),
    /// Make a project for a guest of your own: Rust code around a model
    New(new::New),
    /// Make one sandboxed component of an ONNX model
    Pack(pack::Pack),
    /// Put a component and the model that it imports into one file
    Compose(compose::Compose),
    /// Serve models and HTTP components
    Up(up::Up),
    /// Serve, and build and serve anew when something changes
    Watch(watch::Watch),
    /// Tell what is wrong with what `up` would serve, without serving it
    Check(check::Check),
    /// Answer one request and exit
    Run(run::Run),
    /// Show what is in a packed model, without running it
    Inspect(inspect::Inspect),
    /// Measure how fast a server of the protocol answers
    Bench(bench::Bench),
    #[command(hide = true)]
    Worker(worker::Worker),
}

/// What went wrong, in one line, for the user of a command.
type Failure = Box<dyn std::error::Error>;

/// The command line as clap knows it, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

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

fn execute(Cli { command, common }: Cli) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(init) => block_on(init.execute(&waiting(&common)?)),
        Command::New(new) => new.execute(),
        Command::Pack(pack) => block_on(pack.execute(&waiting(&common)?)),
        Command::Compose(compose) => compose.execute(),
        Command::Up(up) => up.execute(&deployer(&common, sandbox()?, background(&common))?),
        Command::Watch(watch) => block_on(watch.execute(&common)),
        Command::Check(check) => block_on(check.execute(&waiting(&common)?)),
        Command::Run(run) => block_on(run.execute(&waiting(&common)?)),
        Command::Inspect(inspect) => inspect.execute(&waiting(&common)?.compiler),
        Command::Bench(bench) => bench.execute(),
        Command::Worker(worker) => worker.execute(&common),
    }
}

/// Guests run on as many threads as there are cores; a slice of a tick is all that the network
/// threads ever wait for one.
fn sandbox() -> Result<Arc<Sandbox>, Failure> {
    Ok(Sandbox::new(thread::available_parallelism()?.get())?)
}

/// For a command whose user waits until others' code is compiled.
fn waiting(common: &Common) -> Result<Deployer, Failure> {
    deployer(common, sandbox()?, compile::urgent(background(common)))
}

/// What compiling others' code may cost, where nobody else wants to run.
fn background(common: &Common) -> Budget {
    compile::budget(common.compile_cpu, common.compile_memory)
}

fn deployer(common: &Common, sandbox: Arc<Sandbox>, budget: Budget) -> Result<Deployer, Failure> {
    let worker = Worker {
        program: "/proc/self/exe".into(),
        cache_dir: cache_dir(common)?,
        onnxruntime: env::var_os(ONNXRUNTIME),
    };
    let compiler = Compiler::new(&sandbox, worker, common.cache_size, budget)?;
    Ok(Deployer {
        sandbox,
        compiler: Arc::new(compiler),
    })
}

/// Drives a future on this thread alone: others would outlive it.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
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
