//! The binary as a user calls it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::host::Host;

/// A call of `glovebox`, not yet made.
pub(crate) struct Glovebox(Command);

/// A call that was made and has not ended.
pub(crate) struct Running(Child);

/// How a call ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The cache that all tests share, so that the runtime is compiled once.
pub(crate) fn shared_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

impl Glovebox {
    /// A command; only errors are logged. The cache is named in the environment, so that the
    /// commands of `up --build` use it too.
    pub(crate) fn new(command: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_glovebox"));
        process
            .arg(command)
            .env("GLOVEBOX_CACHE_DIR", shared_cache())
            .env("RUST_LOG", "error");
        Self(process)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    /// An option with its value.
    pub(crate) fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    pub(crate) fn cache_dir(self, dir: &Path) -> Self {
        self.option("--cache-dir", dir)
    }

    /// What is logged, as in `RUST_LOG`.
    pub(crate) fn log(mut self, filter: &str) -> Self {
        self.0.env("RUST_LOG", filter);
        self
    }

    /// With a variable in its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// As `nohup` starts it.
    pub(crate) fn without_hangup(self) -> Self {
        let mut process = Command::new("nohup");
        process.arg(self.0.get_program()).args(self.0.get_args());
        self.with_environment(process)
    }

    /// On the first core only, as `taskset` of util-linux does it.
    pub(crate) fn on_one_core(self) -> Self {
        let mut process = Command::new("taskset");
        process.args(["-c", "0"]).arg(self.0.get_program());
        process.args(self.0.get_args());
        self.with_environment(process)
    }

    fn with_environment(self, mut process: Command) -> Self {
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                process.env(name, value);
            }
        }
        Self(process)
    }

    pub(crate) fn in_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Outcome {
        Outcome::new(self.0.output().expect("the binary starts"))
    }

    /// Starts it and goes on.
    pub(crate) fn start(mut self) -> Running {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(self.0.spawn().expect("the binary starts"))
    }

    /// Starts `glovebox up` on a free port and waits until it serves.
    pub(crate) fn serve(self) -> Host {
        self.serve_at("127.0.0.1:0")
    }

    /// The same at another address.
    pub(crate) fn serve_at(self, address: &str) -> Host {
        Host::start(self.option("--listen", address).0)
    }
}

impl Running {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Outcome {
        Outcome::new(self.0.wait_with_output().expect("it ends"))
    }
}

impl Outcome {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Standard output of a command that has succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "stderr: {}", self.stderr);
        self.stdout
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let stdout = self.success();
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// The one line on standard error of a command that has failed.
    #[track_caller]
    pub(crate) fn refusal(self) -> String {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        assert_eq!(code, Some(1), "stdout: {stdout}\nstderr: {stderr}");
        assert_eq!(stdout, "");
        let lines: Vec<_> = stderr.lines().collect();
        assert!(
            matches!(lines.as_slice(), [line] if line.starts_with("error: ")),
            "not one line of error:\n{stderr}"
        );
        stderr.trim_end().to_owned()
    }
}
