//! Processes as the kernel shows them in `/proc`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any process here takes for anything but its job.
const TIME: Duration = Duration::from_secs(60);

/// A line of a process's or a thread's `status`.
pub(crate) fn status(process: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line[key.len() + 1..].trim().to_owned())
}

/// A soft limit of the kernel on a process, by its name in `limits`.
pub(crate) fn limit(process: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/limits")).expect("it lives");
    let line = text.lines().find(|line| line.starts_with(name));
    let values = line.expect("the kernel knows it")[name.len()..].split_whitespace();
    values.into_iter().next().expect("a value").to_owned()
}

/// The threads of a process, as `status` takes them.
pub(crate) fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    let name = |task: std::io::Result<fs::DirEntry>| {
        let id = task.expect("a task").file_name();
        format!("{process}/task/{}", id.to_str().expect("a number"))
    };
    tasks.map(name).collect()
}

/// Waits for a process that this one has started and that has put on its wall.
pub(crate) fn confined_child(parent: u32) -> u32 {
    let is_confined = |child: &u32| {
        let child = child.to_string();
        status(&child, "PPid:") == Some(parent.to_string())
            && status(&child, "Seccomp:").as_deref() == Some("2")
    };
    wait_for(|| {
        let entries = fs::read_dir("/proc").expect("there is a /proc");
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.into_iter().find(is_confined)
    })
}

/// Waits until a process is gone, or waits for nobody but its parent.
pub(crate) fn wait_until_gone(process: u32) {
    wait_for(|| {
        let state = status(&process.to_string(), "State:");
        state
            .is_none_or(|state| state.starts_with('Z'))
            .then_some(())
    });
}

pub(crate) fn kill(process: u32) {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(id.expect("a process id"), Signal::KILL).expect("the process is ours");
}

pub(crate) fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < TIME, "it did not come to pass");
        thread::yield_now();
    }
}
