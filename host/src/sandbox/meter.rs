//! The CPU time of one invocation, on the clocks of the threads that run it.
//!
//! Not wall time: on a busy machine a guest would be billed for others. Waiting between slices
//! is not billed; instantiation, lowering of inputs and lifting of outputs are.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// Where on this thread's clock the part of its slice began that no meter has yet.
    static SINCE: Cell<u64> = const { Cell::new(0) };
}

/// The CPU time that was spent so far, but for the slice that runs.
#[derive(Default)]
pub(crate) struct Meter {
    spent_nanos: AtomicU64,
    /// What this is a part of.
    whole: Option<Arc<Meter>>,
}

impl Meter {
    /// Counts a part of what another counts.
    pub(crate) fn part_of(whole: &Arc<Meter>) -> Self {
        Self {
            spent_nanos: AtomicU64::default(),
            whole: Some(Arc::clone(whole)),
        }
    }

    /// Runs one slice on this thread and returns its CPU time beside its result.
    pub(crate) fn slice<R>(&self, work: impl FnOnce() -> R) -> (R, Duration) {
        let start = thread_cpu_nanos();
        SINCE.set(start);
        let result = work();
        let end = self.book();
        (result, Duration::from_nanos(end.saturating_sub(start)))
    }

    /// Counts what the slice that runs on this thread has taken, so that other threads know.
    pub(crate) fn book(&self) -> u64 {
        let now = thread_cpu_nanos();
        let since = SINCE.replace(now);
        self.add(now.saturating_sub(since));
        now
    }

    fn add(&self, nanos: u64) {
        self.spent_nanos.fetch_add(nanos, Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(nanos);
        }
    }

    /// CPU time so far, asked from within a slice.
    pub(crate) fn spent_in_slice(&self) -> Duration {
        let slice = thread_cpu_nanos().saturating_sub(SINCE.get());
        self.spent() + Duration::from_nanos(slice)
    }

    /// CPU time of all finished slices.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_nanos.load(Relaxed))
    }
}

fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
