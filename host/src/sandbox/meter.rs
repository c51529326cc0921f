//! The CPU time of one invocation, on the clock of the thread that runs it.
//!
//! Not wall time: on a busy machine a guest would be billed for others. Waiting between slices
//! is not billed; instantiation, lowering of inputs and lifting of outputs are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time spent in finished slices, and where the current slice began.
#[derive(Default)]
pub(crate) struct Meter {
    finished_nanos: AtomicU64,
    slice_start_nanos: AtomicU64,
}

impl Meter {
    /// Runs one slice on this thread and returns its CPU time beside its result.
    pub(crate) fn slice<R>(&self, work: impl FnOnce() -> R) -> (R, Duration) {
        let start = thread_cpu_nanos();
        self.slice_start_nanos.store(start, Relaxed);
        let result = work();
        let spent = thread_cpu_nanos().saturating_sub(start);
        self.finished_nanos.fetch_add(spent, Relaxed);
        (result, Duration::from_nanos(spent))
    }

    /// CPU time so far, asked from within a slice.
    pub(crate) fn spent_in_slice(&self) -> Duration {
        let slice = thread_cpu_nanos().saturating_sub(self.slice_start_nanos.load(Relaxed));
        self.spent() + Duration::from_nanos(slice)
    }

    /// CPU time of all finished slices.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.finished_nanos.load(Relaxed))
    }
}

fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
