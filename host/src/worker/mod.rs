//! Work on hostile bytes in a child process that can do nothing else.
//!
//! Compilers and loaders are large programs that promise nothing about the time and the memory
//! that hostile input costs them. A child does one job and ends. It reads standard input, writes
//! standard output, both files in memory, and has limits of the kernel on CPU time, memory and
//! output; its parent adds one on wall time. When it dies, nothing is left of it.
//!
//! ```text
//! parent  run()  ── input ──►  glovebox worker <job>
//!                              child::confine: limits of the kernel, the wall of `harden`
//!                              the job
//!                ◄── output ── exit code 0: the result; REFUSED: why the input is no good
//! ```

pub mod child;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;

use crate::limits::{self, Bytes};
use crate::text;

/// The exit code of a child whose output says what is wrong with its input.
const REFUSED: u8 = 3;

/// The variable that names the library of ONNX Runtime.
pub const ONNXRUNTIME: &str = "ORT_DYLIB_PATH";

/// How workers are started.
#[derive(Clone, Debug)]
pub struct Worker {
    /// This program.
    pub program: PathBuf,
    /// Where the child finds machine code that it may load.
    pub cache_dir: PathBuf,
    /// Where the library of ONNX Runtime is, if anybody says so: `ORT_DYLIB_PATH`.
    pub onnxruntime: Option<OsString>,
}

/// What one job may use.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// Memory that it writes to.
    pub memory: Bytes,
    /// What it returns.
    pub output: Bytes,
    /// Threads that it may use at once.
    pub threads: usize,
    /// Whether it only runs where nobody else wants to.
    pub background: bool,
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The child says what is wrong with the input, in the form of its job.
    #[error("the input was refused")]
    Refused(Vec<u8>),
    /// It was stopped at its CPU limit.
    #[error("it takes more than the {0:?} of CPU time that there are for it")]
    Cpu(Duration),
    /// It was stopped at its limit of wall time.
    #[error("it takes longer than the {0:?} that there are for it")]
    Time(Duration),
    /// It was refused more memory.
    #[error("it takes more than the {0} of memory that there are for it")]
    Memory(Bytes),
    /// It returned too much.
    #[error("its result is larger than {0}")]
    Output(Bytes),
    /// It died otherwise.
    #[error("the process for it died: {0}")]
    Died(String),
    /// It could not be started.
    #[error("cannot start a process for it: {0}")]
    Start(#[from] io::Error),
}

impl Worker {
    /// Runs one job on `input`, whose parts are joined; its result, to be read from the start.
    ///
    /// # Errors
    /// The job refused its input, needed more than its budget, or its process died.
    pub fn run(&self, job: &[&str], budget: &Budget, input: &[&[u8]]) -> Result<File, WorkerError> {
        let mut output = in_memory("result")?;
        let child = self.start(job, budget, input_file(input)?, output.try_clone()?)?;
        let ended = wait(child, budget.wall())?;
        output.rewind()?;
        match ended {
            None => Err(WorkerError::Time(budget.wall())),
            Some((status, _)) if status.success() => Ok(output),
            Some((status, _)) if status.code() == Some(REFUSED.into()) => {
                let mut reason = Vec::new();
                output.read_to_end(&mut reason)?;
                Err(WorkerError::Refused(reason))
            }
            Some((status, log)) => Err(explain(status, &log, budget)),
        }
    }

    fn start(
        &self,
        job: &[&str],
        budget: &Budget,
        input: File,
        output: File,
    ) -> Result<Child, WorkerError> {
        let child = Command::new(&self.program)
            .arg("worker")
            .args(job)
            .args(["--cpu-seconds", &budget.cpu_seconds().to_string()])
            .args(["--memory-bytes", &budget.memory.0.to_string()])
            .args(["--output-bytes", &budget.output.0.to_string()])
            .arg("--cache-dir")
            .arg(&self.cache_dir)
            .args(budget.background.then_some("--background"))
            .env_clear()
            .env("RAYON_NUM_THREADS", budget.threads.to_string())
            .envs(self.onnxruntime.iter().map(|path| (ONNXRUNTIME, path)))
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(child)
    }
}

impl Budget {
    /// The kernel counts whole seconds.
    fn cpu_seconds(&self) -> u64 {
        self.cpu.as_secs() + u64::from(self.cpu.subsec_nanos() > 0)
    }

    /// A job that waits for a busy machine is not stopped soon, one that sleeps is at last.
    fn wall(&self) -> Duration {
        let wall = self.cpu.saturating_mul(4);
        wall.saturating_add(limits::WORKER_WAIT)
            .min(limits::Limits::LONGEST)
    }
}

/// A file that is nowhere on disk.
///
/// # Errors
/// There is no memory or no descriptor for it.
pub(crate) fn in_memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC)?.into())
}

fn input_file(parts: &[&[u8]]) -> io::Result<File> {
    let mut file = in_memory("input")?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.rewind()?;
    Ok(file)
}

/// Waits for a child's end; kills it when the time is over, which is `None`.
fn wait(mut child: Child, wall: Duration) -> io::Result<Option<(ExitStatus, String)>> {
    let stderr = child.stderr.take();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(stderr.map_or_else(String::new, read_log)));
    // Standard error ends when the process does.
    match receiver.recv_timeout(wall) {
        Ok(log) => Ok(Some((child.wait()?, log))),
        Err(_) => {
            child.kill()?;
            child.wait()?;
            Ok(None)
        }
    }
}

/// The beginning of what a child says; the rest is read and dropped, so that it does not block.
fn read_log(mut stderr: ChildStderr) -> String {
    let mut log = Vec::new();
    let _ = stderr
        .by_ref()
        .take(limits::WORKER_LOG_BYTES)
        .read_to_end(&mut log);
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&log).into_owned()
}

fn explain(status: ExitStatus, log: &str, budget: &Budget) -> WorkerError {
    let signal = status.signal();
    if signal == Some(Signal::XCPU.as_raw()) {
        return WorkerError::Cpu(budget.cpu);
    }
    if signal == Some(Signal::XFSZ.as_raw()) {
        return WorkerError::Output(budget.output);
    }
    // What Rust prints when the kernel refuses memory.
    let refusals = [
        "memory allocation of",
        "out of memory",
        "Cannot allocate memory",
    ];
    if refusals.iter().any(|refusal| log.contains(refusal)) {
        return WorkerError::Memory(budget.memory);
    }
    let is_said = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    let said: Vec<_> = log.lines().filter(is_said).collect();
    match said.is_empty() {
        true => WorkerError::Died(status.to_string()),
        false => WorkerError::Died(format!("{status}: {}", text::escape(&said.join(" ")))),
    }
}
