//! The memory limit: all memories and tables of an instance, and what the host has for it beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use wasmtime::{ResourceLimiter, Result};

use crate::limits::{self, Bytes};

/// What a table element costs the host.
const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// The memory of one request: what it may have, what it has, and the most that it had. It is read
/// also when the instance is gone, and written also by those who work for it elsewhere.
pub(crate) struct Account {
    limit: u64,
    used: AtomicU64,
    high_water: AtomicU64,
    refused: AtomicBool,
}

impl Account {
    /// Nothing is used yet.
    pub(crate) fn new(limit: Bytes) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.0,
            used: AtomicU64::default(),
            high_water: AtomicU64::default(),
            refused: AtomicBool::default(),
        })
    }

    /// The most that was ever in use.
    pub(crate) fn high_water(&self) -> Bytes {
        Bytes(self.high_water.load(Relaxed))
    }

    /// Whether the limit was in the way.
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Takes so much more, if the limit allows it.
    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        let taken = self.used.fetch_update(Relaxed, Relaxed, more).is_ok();
        if !taken {
            self.refused.store(true, Relaxed);
        }
        taken
    }

    /// What is used now is used indeed.
    fn keep(&self) {
        let used = self.used.load(Relaxed);
        self.high_water.fetch_max(used, Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// A part of an account, given back when this is dropped.
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Charge {
    /// Nothing of it, for now.
    pub(crate) fn new(account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            bytes: 0,
        }
    }

    /// Holds so much instead. False if the limit is in the way: then it holds what it held.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            if !self.account.take(more) {
                return false;
            }
            self.account.keep();
        }
        self.account.give_back(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.bytes);
    }
}

/// Counts what one instance has and refuses to grow past the limit.
///
/// Wasmtime's own `StoreLimits` looks at each memory by itself, so that two memories would get
/// twice the limit.
pub(crate) struct Limiter {
    account: Arc<Account>,
}

impl Limiter {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account }
    }

    /// Grows by the difference of two sizes, if the limit and the maximum allow it.
    fn grow(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        let more = desired.saturating_sub(current);
        if !self.account.take(more) {
            return false;
        }
        let is_within_own_maximum = maximum.is_none_or(|maximum| desired <= maximum);
        match is_within_own_maximum {
            true => self.account.keep(),
            false => self.account.give_back(more),
        }
        is_within_own_maximum
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
