//! A child that serves.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{self, ChildStdout, Command, Stdio};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Failure;

/// How the announcement of `up` ends.
const LAST_LINE: &str = "/metrics";

/// One that was started, and has said that it serves.
pub(super) struct Child(process::Child);

impl Child {
    /// Starts `up` at this socket and waits until it serves. What it says of itself is shown if wanted.
    pub(super) fn start(
        arguments: &[OsString],
        listener: &TcpListener,
        is_shown: bool,
    ) -> Result<Self, Failure> {
        let socket = OwnedFd::from(listener.try_clone()?);
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("a child has no output")?;
        let mut stdout = BufReader::new(stdout);
        if wait(&mut stdout, is_shown)? {
            drain(stdout);
            return Ok(Self(child));
        }
        let status = child.wait()?;
        Err(format!("`glovebox up` ended before it served ({status})").into())
    }

    /// Lets it answer what it has begun, while others serve.
    pub(super) fn drain(self) -> io::Result<()> {
        self.terminate()?;
        // It is waited for, so that it does not stay behind as a zombie.
        thread::spawn(move || {
            let mut child = self.0;
            child.wait()
        });
        Ok(())
    }

    /// The same, and waits for its end.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.terminate()?;
        self.0.wait().map(|_| ())
    }

    fn terminate(&self) -> io::Result<()> {
        match kill_process(Pid::from_child(&self.0), Signal::TERM) {
            // It has ended by itself.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads to the end of the announcement; false if there is none.
fn wait(stdout: &mut BufReader<ChildStdout>, is_shown: bool) -> io::Result<bool> {
    let mut line = String::new();
    while stdout.read_line(&mut line)? > 0 {
        if is_shown {
            print!("{line}");
        }
        if line.trim_end().ends_with(LAST_LINE) {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}

/// Takes what else it may write, so that it never waits for that.
fn drain(stdout: BufReader<ChildStdout>) {
    thread::spawn(move || {
        let mut rest = stdout.into_inner();
        let mut bytes = [0; 256];
        while rest.read(&mut bytes).is_ok_and(|length| length > 0) {}
    });
}
