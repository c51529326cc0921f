//! `glovebox watch`: serve, and build and serve anew when something changes.
//!
//! This process listens, and a child serves: `up` with the listening socket as its standard input. After a
//! change the next child is started beside the one that serves; when it serves, too, the other one drains.
//! So connections are accepted all the time, and a child that does not get that far changes nothing.

mod child;
mod inputs;

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use super::up::source::{Kind, Source};
use super::up::stop::Signals;
use super::up::{build, listen, manifest::Values};
use super::{Common, Failure};
use crate::config::Application;
use crate::{limits, server};
use child::Child;
use inputs::{Inputs, Snapshot};

#[derive(Args)]
pub(super) struct Watch {
    #[command(flatten)]
    source: Source,
    /// Where to listen, as with `up`
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = listen::address)]
    listen: SocketAddr,
    #[command(flatten)]
    values: Values,
    /// More arguments for `up`
    #[arg(last = true, value_name = "ARGUMENTS OF UP")]
    more: Vec<OsString>,
}

/// What is watched and served.
struct Watching<'a> {
    file: PathBuf,
    values: &'a Values,
    listener: TcpListener,
    /// The command line of children.
    arguments: Vec<OsString>,
    /// What the manifest said when it was read last.
    application: Option<Application>,
    inputs: Inputs,
    seen: Snapshot,
    child: Option<Child>,
}

impl Watch {
    pub(super) async fn execute(self, common: &Common) -> Result<ExitCode, Failure> {
        let file = self.source.find()?;
        let listener = server::bind(self.listen)?;
        let (sender, changes) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is no change. Nobody listens any more at the end.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.send(());
            }
        })?;
        let start = ["up".into(), file.clone().into(), "--listen-on-stdin".into()];
        let values = self.values.arguments().into_iter().map(OsString::from);
        let arguments = start.into_iter().chain(values).chain(common.arguments());
        let mut watching = Watching {
            arguments: arguments.chain(self.more).collect(),
            values: &self.values,
            application: None,
            inputs: Inputs::default(),
            seen: Snapshot::default(),
            child: None,
            listener,
            file,
        };
        watching.run(watcher, changes).await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Watching<'_> {
    /// Until somebody wants it to end.
    async fn run(
        &mut self,
        mut watcher: RecommendedWatcher,
        mut changes: UnboundedReceiver<()>,
    ) -> Result<(), Failure> {
        let mut stop = std::pin::pin!(Signals::wanted().caught()?);
        self.read()?;
        self.watch(&mut watcher);
        self.seen = self.inputs.snapshot();
        let built = self.build(|_| true);
        let served = built.and_then(|()| self.serve());
        self.report(served);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(()) = changes.recv() => {}
            }
            settle(&mut changes).await;
            let turned = self.turn();
            self.report(turned);
            self.watch(&mut watcher);
        }
        self.child.take().map_or(Ok(()), |child| Ok(child.end()?))
    }

    fn report(&self, result: Result<(), Failure>) {
        if let Err(error) = result {
            let what = match self.child {
                Some(_) => "what was served before is served on",
                None => "nothing is served until that is changed",
            };
            eprintln!("error: {error}\n{what}");
        }
    }

    /// Looks at what has changed, and serves anew if it matters.
    fn turn(&mut self) -> Result<(), Failure> {
        let now = self.inputs.snapshot();
        let changed = self.seen.differences(&now);
        let Some(first) = changed.first() else {
            return Ok(());
        };
        let first = first.display().to_string();
        // A change while something is built is one more change.
        self.seen = now;
        let start = Instant::now();
        match changed.iter().any(|path| self.is_manifest(path)) {
            true => {
                self.read()?;
                self.seen = self.inputs.snapshot();
                self.build(|_| true)?;
            }
            false => {
                let concerned = self.inputs.concerned(&changed);
                self.build(|id| concerned.contains(id))?;
            }
        }
        self.serve()?;
        eprintln!(
            "{first} has changed, served anew after {:.1?}",
            start.elapsed()
        );
        Ok(())
    }

    fn is_manifest(&self, path: &Path) -> bool {
        self.application.is_some() && self.inputs.is_common(path)
    }

    /// Reads the manifest, if it is one; else it is known already what is watched.
    fn read(&mut self) -> Result<(), Failure> {
        if Kind::of(&self.file) != Kind::Manifest {
            self.inputs = Inputs::of_file(&self.file);
            return Ok(());
        }
        let application = self.values.read(&self.file)?;
        self.inputs = Inputs::of_manifest(&self.file, &application);
        self.application = Some(application);
        Ok(())
    }

    /// Builds components. What that writes is no change.
    fn build(&mut self, is_concerned: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let components = self.application.iter();
        let components = components.flat_map(|application| &application.components);
        for component in components.filter(|component| is_concerned(&component.id)) {
            if let Some(commands) = &component.build {
                build::run(&component.id, commands)?;
            }
        }
        let now = self.inputs.snapshot();
        self.seen.take_outputs(&self.inputs, now);
        Ok(())
    }

    /// Starts the next child and ends the one before it.
    fn serve(&mut self) -> Result<(), Failure> {
        let is_first = self.child.is_none();
        let next = Child::start(&self.arguments, &self.listener, is_first)?;
        if let Some(before) = self.child.replace(next) {
            before.drain()?;
        }
        Ok(())
    }

    /// Watches the folders of all that matters; those that are watched already do not mind.
    fn watch(&self, watcher: &mut RecommendedWatcher) {
        for (folder, recursively) in self.inputs.folders() {
            let mode = match recursively {
                true => RecursiveMode::Recursive,
                false => RecursiveMode::NonRecursive,
            };
            if let Err(error) = watcher.watch(&folder, mode) {
                tracing::warn!(folder = %folder.display(), %error, "cannot watch a folder");
            }
        }
    }
}

/// Waits until nothing changes for a moment.
async fn settle(changes: &mut UnboundedReceiver<()>) {
    let end = Instant::now() + limits::UNREST_TIME;
    while Instant::now() < end {
        if timeout(limits::QUIET_TIME, changes.recv()).await.is_err() {
            break;
        }
    }
}
