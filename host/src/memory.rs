//! The memory that requests may take together: how much there is, and who has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{self, Bytes};

/// Memory that is reserved before it is taken, so that requests cannot take more together. Clones
/// share it. Who waits is served in order: a small request does not overtake a large one.
#[derive(Clone)]
pub struct Budget {
    steps: u32,
    free: Arc<Semaphore>,
}

/// A part of a budget, given back by dropping.
pub struct Reservation(OwnedSemaphorePermit);

impl Budget {
    /// A budget of so many bytes, rounded down to whole steps.
    pub fn new(bytes: Bytes) -> Self {
        let steps = steps(bytes.0 / limits::MEMORY_STEP.0);
        Self {
            steps,
            free: Arc::new(Semaphore::new(steps as usize)),
        }
    }

    /// The default: a part of what is available on this machine and in this control group now.
    ///
    /// # Errors
    /// The system does not say what is available.
    pub fn available() -> io::Result<Self> {
        let available = available()?;
        Ok(Self::new(Bytes(available.0 / 100 * limits::MEMORY_PERCENT)))
    }

    /// The same, with a part less; nobody has reserved anything yet.
    #[must_use]
    pub fn without(self, part: Bytes) -> Self {
        Self::new(Bytes(self.total().0.saturating_sub(part.0)))
    }

    /// All of it.
    pub fn total(&self) -> Bytes {
        bytes(self.steps as usize)
    }

    /// What is reserved now.
    pub fn reserved(&self) -> Bytes {
        bytes((self.steps as usize).saturating_sub(self.free.available_permits()))
    }

    /// Waits for a part; forever if it is larger than the budget, or if nothing is given back.
    pub async fn reserve(&self, part: Bytes) -> Option<Reservation> {
        let permit = Arc::clone(&self.free).acquire_many_owned(in_steps(part));
        // Nothing closes the semaphore.
        Some(Reservation(permit.await.ok()?))
    }
}

impl Reservation {
    /// What is reserved.
    pub fn size(&self) -> Bytes {
        bytes(self.0.num_permits())
    }

    /// Gives back all but so many bytes.
    pub fn keep(&mut self, part: Bytes) {
        let rest = self.0.num_permits().saturating_sub(in_steps(part) as usize);
        drop(self.0.split(rest));
    }
}

fn in_steps(part: Bytes) -> u32 {
    steps(part.0.div_ceil(limits::MEMORY_STEP.0))
}

fn steps(steps: u64) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

fn bytes(steps: usize) -> Bytes {
    Bytes((steps as u64).saturating_mul(limits::MEMORY_STEP.0))
}

/// What this process could take without anything being swapped or killed: the least of what the
/// machine has and what the control groups around the process leave.
fn available() -> io::Result<Bytes> {
    let machine = of_machine(&fs::read_to_string("/proc/meminfo")?)
        .ok_or_else(|| io::Error::other("/proc/meminfo has no line MemAvailable"))?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups_around(&groups);
    let left = groups.iter().filter_map(|group| left_in_group(group));
    Ok(Bytes(left.fold(machine, u64::min)))
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let kib: u64 = value(meminfo, "MemAvailable:")?;
    kib.checked_mul(1 << 10)
}

/// The folders of the process's control group (version 2) and of all groups around it.
fn groups_around(cgroup: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = own.map(|path| root.join(path));
    let around = own.iter().flat_map(|own| own.ancestors());
    around
        .take_while(|path| path.starts_with(root))
        .map(Path::to_path_buf)
        .collect()
}

/// A group without a limit says `max`, which is no number. Files that nobody has used for a while
/// count as the group's memory, but they make room.
fn left_in_group(group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let reclaimable = value(&read("memory.stat").unwrap_or_default(), "inactive_file");
    let used = used.saturating_sub(reclaimable.unwrap_or(0));
    Some(limit.saturating_sub(used))
}

/// The number behind a name at the beginning of a line.
fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
