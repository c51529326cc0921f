//! The child's side: confine, read, work, answer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Signal, nice, set_parent_process_death_signal};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use super::{Budget, REFUSED};
use crate::harden::{Door, Layer, Wall};
use crate::limits;

/// Gives up everything that the job does not need. The kernel's limits are a must; the rest of the
/// wall stands as far as the kernel has it.
///
/// # Errors
/// The kernel refuses the limits.
pub fn confine(budget: &Budget) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    match budget.background {
        true => yield_to_all().map_err(|error| format!("{error:?}"))?,
        // As guests do: it is our code or runs in the sandbox, and somebody waits for it.
        false => {
            nice(limits::COMPUTE_NICE).map_err(|error| error.to_string())?;
        }
    }
    let resources = [
        (Resource::Core, 0),
        (Resource::Cpu, budget.cpu_seconds()),
        // Not the address space: an engine reserves much and uses little.
        (Resource::Data, budget.memory.0),
        (Resource::Fsize, budget.output.0),
    ];
    let door = Door::default();
    match Wall::raise(&resources, &door)
        .close(&door)
        .gaps()
        .find(|(layer, _)| *layer == Layer::ResourceLimits)
    {
        Some((_, reason)) => Err(reason.to_owned()),
        None => Ok(()),
    }
}

/// This thread and those that it starts run where nobody else wants to.
fn yield_to_all() -> Result<(), thread_priority::Error> {
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
    )
}

/// The whole input.
///
/// # Errors
/// It cannot be read.
pub fn input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes what came of the job and makes its exit code.
///
/// # Errors
/// It cannot be written.
pub fn answer(result: Result<Vec<&[u8]>, &[u8]>) -> io::Result<ExitCode> {
    // Not through `io::stdout`, which looks for ends of lines.
    let mut output = File::from(fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    let (parts, code) = match result {
        Ok(parts) => (parts, ExitCode::SUCCESS),
        Err(reason) => (vec![reason], ExitCode::from(REFUSED)),
    };
    parts.iter().try_for_each(|part| output.write_all(part))?;
    Ok(code)
}
