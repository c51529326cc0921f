//! File descriptors: every connection takes one.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::limits;

/// Lets this process have as many as it may; how many connections that allows.
pub(super) fn connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let spare = allowed.saturating_sub(limits::SPARE_DESCRIPTORS);
    spare.clamp(1, limits::CONNECTIONS)
}
