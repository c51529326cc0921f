//! The memory limit: all memories and tables of an instance together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use wasmtime::{ResourceLimiter, Result};

use crate::limits::{self, Bytes};

/// What a table element costs the host.
const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// Counts what one instance has and refuses to grow past the limit.
///
/// Wasmtime's own `StoreLimits` looks at each memory by itself, so that two memories would get
/// twice the limit.
pub(crate) struct Limiter {
    limit: Bytes,
    used: u64,
    gauge: Arc<MemoryGauge>,
}

/// What others may know of an instance's memory, also after it is gone.
#[derive(Default)]
pub(crate) struct MemoryGauge {
    high_water: AtomicU64,
    refused: AtomicBool,
}

impl MemoryGauge {
    /// The most that was ever in use.
    pub(crate) fn high_water(&self) -> Bytes {
        Bytes(self.high_water.load(Relaxed))
    }

    /// Whether the limit was in the way.
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Relaxed)
    }
}

impl Limiter {
    pub(crate) fn new(limit: Bytes, gauge: Arc<MemoryGauge>) -> Self {
        Self {
            limit,
            used: 0,
            gauge,
        }
    }

    /// Grows by the difference of two sizes, if the limit and the maximum allow it.
    fn grow(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let used = self.used + desired.saturating_sub(current);
        let within_own_maximum = maximum.is_none_or(|maximum| desired <= maximum);
        if used > self.limit.0 {
            self.gauge.refused.store(true, Relaxed);
            return false;
        }
        if within_own_maximum {
            self.used = used;
            self.gauge.high_water.fetch_max(used, Relaxed);
        }
        within_own_maximum
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.grow(
            current as u64,
            desired as u64,
            maximum.map(|maximum| maximum as u64),
        ))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let bytes = |elements: usize| elements as u64 * ELEMENT_BYTES;
        Ok(self.grow(bytes(current), bytes(desired), maximum.map(bytes)))
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES as usize
    }
}
