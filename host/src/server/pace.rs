//! Whether bytes keep moving: a body that arrives, or an answer that is taken.

use std::time::{Duration, Instant};

use crate::limits::Pace;

/// Bytes on their way. Each earns its sender some time, but never more than the grace: who was fast
/// may not stop for long.
pub(super) struct Transfer {
    pace: Pace,
    start: Instant,
    due: Instant,
}

impl Transfer {
    /// Starts now.
    pub(super) fn new(pace: Pace) -> Self {
        let start = Instant::now();
        Self {
            pace,
            start,
            due: start + pace.grace,
        }
    }

    /// So many bytes more have moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.pace.bytes_per_second;
        let earned = self.due + Duration::from_nanos(nanos);
        self.due = earned.min(Instant::now() + self.pace.grace);
    }

    /// By when more bytes must have moved.
    pub(super) fn due(&self) -> Instant {
        self.due.min(self.start + self.pace.whole)
    }
}
