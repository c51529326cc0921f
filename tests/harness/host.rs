//! A running `glovebox up`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::client::Client;

/// Longer than any request may take to drain.
const EXIT_TIME: Duration = Duration::from_secs(60);

/// The process; it is killed when this is dropped.
pub(crate) struct Host {
    child: Option<Child>,
    client: Client,
    log: Option<JoinHandle<String>>,
    /// What it says of itself when it starts to serve.
    pub(crate) announcement: String,
}

impl Host {
    pub(super) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let log = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut announcement = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        while !announcement.contains("/metrics\n") {
            let read = stdout.read_line(&mut announcement).expect("UTF-8");
            if read == 0 {
                let _ = child.wait();
                panic!("up ended: {}", log.join().expect("the log is read"));
            }
            // Before it, build commands print.
            if !announcement.starts_with("serving ") {
                announcement.clear();
            }
        }
        let address = announcement
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("serving http://"))
            .expect("the first line names the address");
        Self {
            client: Client::new(address.parse().expect("an address")),
            child: Some(child),
            log: Some(log),
            announcement,
        }
    }

    /// Speaks to it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Memory that it has in RAM now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kibibytes.map_or(0, |text| text.parse().expect("a number")) << 10
    }

    /// What is mapped into it, a line each.
    pub(crate) fn mappings(&self) -> String {
        fs::read_to_string(self.proc("maps")).expect("it runs")
    }

    /// Files and sockets that it has open now.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it runs").count()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.id())
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("it was started");
        matches!(child.try_wait(), Ok(None))
    }

    /// Asks it to stop.
    pub(crate) fn signal_terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Tells it that its terminal is gone.
    pub(crate) fn signal_hangup(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let id = i32::try_from(child.id()).expect("a process id");
        let id = Pid::from_raw(id).expect("a process id");
        kill_process(id, signal).expect("the process is ours");
    }

    /// Waits for its end; its exit status and what it has logged.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().expect("it runs");
        let id = child.id();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait()));
        let Ok(status) = receiver.recv_timeout(EXIT_TIME) else {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            let _ = id.map(|id| kill_process(id, Signal::KILL));
            panic!("it did not end within {EXIT_TIME:?}");
        };
        let log = self.log.take().expect("it logs").join();
        (status.expect("its status"), log.expect("the log is read"))
    }

    /// Asks it to stop and waits for its end.
    #[track_caller]
    pub(crate) fn terminate(self) -> (ExitStatus, String) {
        self.signal_terminate();
        self.wait()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
