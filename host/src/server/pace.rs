//! Whether bytes keep moving: a body that arrives, or an answer that is taken.

use std::time::{Duration, Instant};

use crate::limits::Pace;

/// Bytes on their way, which must keep a pace on average since their start.
pub(super) struct Transfer {
    pace: Pace,
    start: Instant,
    bytes: u64,
}

impl Transfer {
    /// Starts now.
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            start: Instant::now(),
            bytes: 0,
        }
    }

    /// So many bytes more are there.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// By when more bytes must have moved.
    pub(super) fn due(&self) -> Instant {
        let earned = Duration::from_secs(self.bytes / self.pace.bytes_per_second);
        self.start + (self.pace.grace + earned).min(self.pace.whole)
    }
}
