//! The files of a component, in a folder of their own that it sees as `/`.
//!
//! The folder is named by what is in it and kept in the cache: the serving process cannot clean up
//! behind itself, and the next start finds it there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::config::{Component, File};
use crate::worker::Worker;

/// Copies the files of a component; none if it has none.
pub(super) fn place(component: &Component, worker: &Worker) -> Result<Option<PathBuf>, Failure> {
    let files = component.find_files()?;
    if files.is_empty() {
        return Ok(None);
    }
    let parent = worker.cache_dir.join("files");
    let folder = parent.join(name(&files)?);
    if folder.exists() {
        return Ok(Some(folder));
    }
    let fail = |error| format!("cannot keep the files in {}: {error}", parent.display());
    fs::create_dir_all(&parent).map_err(fail)?;
    let new = tempfile::tempdir_in(&parent).map_err(fail)?;
    for file in &files {
        let copy = new.path().join(relative(&file.guest));
        fs::create_dir_all(copy.parent().unwrap_or(&copy)).map_err(fail)?;
        fs::copy(&file.host, &copy).map_err(|error| read(file, &error))?;
    }
    // Another process may have been faster; then its folder is as good.
    let new = new.keep();
    if fs::rename(&new, &folder).is_err() {
        fs::remove_dir_all(&new).map_err(fail)?;
    }
    Ok(Some(folder))
}

/// A hash over the names and contents of all files.
fn name(files: &[File]) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let content = fs::read(&file.host).map_err(|error| read(file, &error))?;
        let path = file.guest.to_string_lossy();
        for part in [path.as_bytes(), &content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn read(file: &File, error: &std::io::Error) -> Failure {
    format!("cannot read {}: {error}", file.host.display()).into()
}
