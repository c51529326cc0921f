//! `files` and `exclude_files`: what a component may read of the folder of its manifest.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Component as Part, Path, PathBuf};
use std::{fs, io};

use glob::Pattern as Glob;

use super::Component;
use super::manifest::MountToml;
use super::shape::TextOr;

/// Files that a component may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A file, a folder or a glob; files have the same paths in the guest, from its root.
    Pattern(String),
    /// A file or a folder that is somewhere else in the guest.
    Placed {
        /// Where it is, in the folder of the manifest.
        source: PathBuf,
        /// Where the guest finds it, without the `/` at the start; empty for the root itself.
        destination: PathBuf,
    },
}

/// One file that a component may read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Where the guest finds it, without the `/` at the start.
    pub guest: PathBuf,
    /// Where it is.
    pub host: PathBuf,
}

/// Checks what is written, without a look at any file.
pub(super) fn mounts(written: Vec<TextOr<MountToml>>) -> Result<Vec<Mount>, String> {
    written.into_iter().map(mount).collect()
}

/// Globs of files that a component may not read.
pub(super) fn excluded(written: &[String]) -> Result<Vec<Glob>, String> {
    let glob = |text: &String| {
        Glob::new(text).map_err(|error| format!("exclude_files {text:?}: {}", error.msg))
    };
    written.iter().map(glob).collect()
}

fn mount(written: TextOr<MountToml>) -> Result<Mount, String> {
    match written {
        TextOr::Text(pattern) => {
            let explain = |problem| format!("files {pattern:?}: {problem}");
            stay_inside(&pattern).map_err(explain)?;
            check_pattern(&pattern).map_err(explain)?;
            Ok(Mount::Pattern(pattern))
        }
        TextOr::Table(toml) => {
            let MountToml {
                source,
                destination,
            } = *toml;
            stay_inside(&source).map_err(|problem| format!("files {source:?}: {problem}"))?;
            Ok(Mount::Placed {
                destination: in_guest(&destination)?,
                source: source.into(),
            })
        }
    }
}

fn stay_inside(path: &str) -> Result<(), &'static str> {
    let is_inside = |part| matches!(part, Part::Normal(_) | Part::CurDir);
    if path.is_empty() || path.contains('\0') {
        return Err("it is no path");
    }
    match Path::new(path).components().all(is_inside) {
        true => Ok(()),
        false => Err("it must be in the folder of the manifest: write a relative path without .."),
    }
}

fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    if pattern == "." || pattern.ends_with("/.") {
        return Err("a pattern cannot end with . ; write { source, destination }, or **/*");
    }
    Glob::new(pattern).map(|_| ()).map_err(|error| error.msg)
}

/// A path in the guest, from its root.
fn in_guest(destination: &str) -> Result<PathBuf, String> {
    let explain = |problem| format!("files: destination {destination:?} {problem}");
    let inside = destination
        .strip_prefix('/')
        .ok_or_else(|| explain("must start with /"))?;
    let mut path = PathBuf::new();
    for part in Path::new(inside).components() {
        match part {
            Part::Normal(name) => path.push(name),
            _ => return Err(explain("must be a plain path, without . and ..")),
        }
    }
    match inside.contains('\0') {
        true => Err(explain("is no path")),
        false => Ok(path),
    }
}

impl Component {
    /// The files that this component may read, sorted by their paths in the guest; of two with the
    /// same path the one that the manifest names last. Links that lead out of the folder of the
    /// manifest are refused.
    ///
    /// # Errors
    /// One of them does not exist, is somewhere else, or cannot be looked at: a line that names it.
    pub fn find_files(&self) -> Result<Vec<File>, String> {
        let mut found = BTreeMap::new();
        for mount in &self.files {
            for file in self.mounted(mount)? {
                found.insert(file.guest, file.host);
            }
        }
        let file = |(guest, host)| File { guest, host };
        Ok(found.into_iter().map(file).collect())
    }

    fn mounted(&self, mount: &Mount) -> Result<Vec<File>, String> {
        let (source, destination) = match mount {
            Mount::Pattern(pattern) => (Path::new(pattern), Path::new(pattern)),
            Mount::Placed {
                source,
                destination,
            } => (source.as_path(), destination.as_path()),
        };
        let path = self.dir.join(source);
        if path.is_dir() {
            self.globbed("**/*", &path, destination)
        } else if path.exists() && destination.as_os_str().is_empty() {
            Err(format!(
                "files {source:?}: it is a file, so its destination needs a name"
            ))
        } else if path.exists() {
            Ok(vec![self.file(&path, destination)?])
        } else {
            match mount {
                Mount::Pattern(glob) if glob.contains(['*', '?', '[']) => {
                    self.globbed(glob, &self.dir, Path::new(""))
                }
                _ => Err(format!("files {source:?}: there is no such file")),
            }
        }
    }

    /// Files below `base` that match, without those that are excluded.
    fn globbed(&self, glob: &str, base: &Path, destination: &Path) -> Result<Vec<File>, String> {
        let explain = |error: &dyn Display| format!("files {glob:?}: {error}");
        let text = base
            .to_str()
            .ok_or_else(|| explain(&"its path is no text"))?;
        let place = match text {
            "" => String::new(),
            _ => format!("{}/", Glob::escape(text)),
        };
        let mut files = Vec::new();
        let paths = glob::glob(&format!("{place}{glob}")).map_err(|error| explain(&error.msg))?;
        for path in paths {
            let path = path.map_err(|error| explain(&error))?;
            let local = path.strip_prefix(&self.dir).unwrap_or(&path);
            let is_excluded = self
                .exclude_files
                .iter()
                .any(|glob| glob.matches_path(local));
            if path.is_file() && !is_excluded {
                let inside = path.strip_prefix(base).unwrap_or(&path);
                files.push(self.file(&path, &destination.join(inside))?);
            }
        }
        Ok(files)
    }

    fn file(&self, path: &Path, guest: &Path) -> Result<File, String> {
        let explain = |error: io::Error| format!("files {path:?}: {error}");
        let dir = match self.dir.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.dir,
        };
        let host = fs::canonicalize(path).map_err(explain)?;
        match host.starts_with(fs::canonicalize(dir).map_err(explain)?) {
            true => Ok(File {
                guest: guest
                    .components()
                    .filter(|part| *part != Part::CurDir)
                    .collect(),
                host,
            }),
            false => Err(format!(
                "files {path:?}: it is a link that leads out of the folder of the manifest"
            )),
        }
    }
}
