//! Keeps the cache below its size: what was used longest ago goes first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::{self, Bytes};

/// A file of the cache.
struct File {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Removes entries until all together have at most `size`; never the entry `keep`. Who has mapped
/// an entry keeps what it has. What cannot be removed stays. Returns what is left.
pub(super) fn down_to(dir: &Path, size: Bytes, keep: &str) -> Bytes {
    let mut files = files(dir);
    files.sort_by_key(|file| file.used);
    let mut total: u64 = files.iter().map(|file| file.bytes).sum();
    for file in files {
        let is_entry = has_extension(&file.path, "cwasm");
        let is_kept = file.path.file_stem().is_some_and(|stem| stem == keep);
        let is_evicted = is_entry && !is_kept && total > size.0;
        if is_evicted || is_leftover(&file) {
            total = total.saturating_sub(file.bytes);
            remove(&file.path);
        }
    }
    Bytes(total)
}

fn files(dir: &Path) -> Vec<File> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let about = entry.metadata().ok()?;
        Some(File {
            path: entry.path(),
            bytes: about.len(),
            used: about.modified().ok()?,
        })
    };
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(file)
        .collect()
}

/// What a process that was killed while it wrote has left.
fn is_leftover(file: &File) -> bool {
    let stem = file.path.file_stem().map(Path::new);
    let is_temporary =
        stem.is_some_and(|stem| has_extension(stem, "cwasm") || has_extension(stem, "mac"));
    let age = file.used.elapsed().unwrap_or_default();
    is_temporary && age > limits::CACHE_LEFTOVER_TIME
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn remove(entry: &Path) {
    let removed = fs::remove_file(entry);
    for extension in ["mac", "lock"] {
        let _ = fs::remove_file(entry.with_extension(extension));
    }
    tracing::info!(entry = %entry.display(), ok = removed.is_ok(), "evicted machine code");
}
