//! Files that matter to what is served, and what has changed of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{Application, Component};

/// What matters, by what it is for.
#[derive(Default)]
pub(super) struct Inputs {
    /// The manifest, or the one file with what stands beside it.
    common: Vec<Pattern>,
    /// What components are made of.
    made_of: BTreeMap<String, Vec<Pattern>>,
    /// What they are: files that builds write, or others.
    outputs: Vec<Pattern>,
}

/// Files by their path, or by a glob.
struct Pattern {
    /// The folder below which they are.
    folder: PathBuf,
    /// The rest, which may have wildcards.
    rest: String,
}

/// When files were written, and how long they are.
#[derive(Default)]
pub(super) struct Snapshot(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Inputs {
    /// A model's file with what may stand beside it.
    pub(super) fn of_file(file: &Path) -> Self {
        let beside = ["*.toml", "*.json", "*.txt"];
        let folder = file.parent().unwrap_or(Path::new(""));
        let beside = beside.map(|glob| Pattern::glob(folder, glob));
        Self {
            common: [Pattern::file(file)].into_iter().chain(beside).collect(),
            ..Self::default()
        }
    }

    /// A manifest with all that it names.
    pub(super) fn of_manifest(manifest: &Path, application: &Application) -> Self {
        let own = [manifest.to_path_buf(), manifest.with_file_name(".env")];
        let components = &application.components;
        let made_of = components.iter().map(|component| {
            let patterns = component.build.iter().flat_map(|build| {
                let globs = build.watch.iter();
                globs.map(|glob| Pattern::glob(&build.dir, glob))
            });
            (component.id.clone(), patterns.collect())
        });
        Self {
            common: own.iter().map(|path| Pattern::file(path)).collect(),
            made_of: made_of.collect(),
            outputs: components.iter().flat_map(outputs).collect(),
        }
    }

    /// How all of it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let paths = self.all().flat_map(Pattern::paths);
        let about = paths.filter_map(|path| {
            let about = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some((path, (about.modified().ok()?, about.len())))
        });
        Snapshot(about.collect())
    }

    /// Folders to watch, and whether with all that is below.
    pub(super) fn folders(&self) -> BTreeSet<(PathBuf, bool)> {
        self.all().map(Pattern::watched).collect()
    }

    /// The components that are made of one of these files.
    pub(super) fn concerned(&self, changed: &[PathBuf]) -> BTreeSet<String> {
        let made_of = self.made_of.iter();
        let concerned = made_of.filter(|(_, patterns)| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| changed.iter().any(|path| pattern.matches(path)))
        });
        concerned.map(|(id, _)| id.clone()).collect()
    }

    /// Whether a file belongs to no single component.
    pub(super) fn is_common(&self, path: &Path) -> bool {
        self.common.iter().any(|pattern| pattern.matches(path))
    }

    fn is_output(&self, path: &Path) -> bool {
        self.outputs.iter().any(|pattern| pattern.matches(path))
    }

    fn all(&self) -> impl Iterator<Item = &Pattern> {
        let made_of = self.made_of.values().flatten();
        self.common.iter().chain(made_of).chain(&self.outputs)
    }
}

fn outputs(component: &Component) -> Vec<Pattern> {
    let dependencies = component.dependencies.iter();
    let dependencies = dependencies.map(|dependency| &dependency.path);
    let files = component.find_files().unwrap_or_default();
    let paths = [&component.source].into_iter().chain(dependencies);
    let paths = paths.chain(component.graphs.paths.values());
    let paths = paths.chain(files.iter().map(|file| &file.host));
    paths.map(|path| Pattern::file(path)).collect()
}

impl Pattern {
    fn file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            folder: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            rest: glob::Pattern::escape(&name),
        }
    }

    /// Folders before the first wildcard are no glob, and need not be looked through.
    fn glob(folder: &Path, glob: &str) -> Self {
        let parts: Vec<_> = glob.split('/').collect();
        let is_plain = |part: &&&str| !part.contains(['*', '?', '[']);
        let plain = parts.iter().take_while(is_plain).count();
        let plain = plain.min(parts.len().saturating_sub(1));
        let (before, rest) = parts.split_at_checked(plain).unwrap_or_default();
        Self {
            folder: folder.join(before.join("/")),
            rest: rest.join("/"),
        }
    }

    fn text(&self) -> String {
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        match folder.is_empty() {
            true => self.rest.clone(),
            false => format!("{}/{}", folder.trim_end_matches('/'), self.rest),
        }
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        glob::glob(&self.text()).into_iter().flatten().flatten()
    }

    fn matches(&self, path: &Path) -> bool {
        glob::Pattern::new(&self.text()).is_ok_and(|glob| glob.matches_path(path))
    }

    fn watched(&self) -> (PathBuf, bool) {
        let folder = match self.folder.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => self.folder.clone(),
        };
        (folder, self.rest.contains('/') || self.rest.contains("**"))
    }
}

impl Snapshot {
    /// What was written, made or removed until `later`.
    pub(super) fn differences(&self, later: &Self) -> Vec<PathBuf> {
        let all: BTreeSet<_> = self.0.keys().chain(later.0.keys()).collect();
        let changed = all.into_iter();
        let changed = changed.filter(|path| self.0.get(*path) != later.0.get(*path));
        changed.cloned().collect()
    }

    /// Of what components are, what it is now; of the rest what it was.
    pub(super) fn take_outputs(&mut self, inputs: &Inputs, now: Self) {
        self.0.retain(|path, _| !inputs.is_output(path));
        let outputs = now.0.into_iter().filter(|(path, _)| inputs.is_output(path));
        self.0.extend(outputs);
    }
}
