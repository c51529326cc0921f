//! `glovebox up`: serve.

mod announce;
mod assets;
mod attempt;
pub(super) mod build;
mod dependencies;
pub(super) mod deploy;
pub(super) mod flags;
pub(super) mod listen;
pub(super) mod manifest;
mod notify;
pub(super) mod source;
pub(super) mod stop;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::{Failure, block_on};
use crate::harden::{self, Door, Wall};
use crate::limits::{self, Bytes};
use crate::memory::Budget;
use crate::model::Deployer;
use crate::model::on_demand::Loader;
use crate::model::registry::Broken;
use crate::server::repository::Token;
use crate::server::{self, Server};
use deploy::{Alone, Loaded, Terms};
use flags::Flags;
use notify::Notifier;
use source::{Kind, Source};
use stop::Signals;

#[derive(Args)]
pub(super) struct Up {
    #[command(flatten)]
    source: Source,
    /// Where to listen: ADDRESS:PORT or NAME:PORT; PORT alone is on 127.0.0.1, :PORT on all addresses of
    /// the machine; port 0 means any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = listen::address)]
    listen: SocketAddr,
    /// One more address, for clients that expect gRPC at a port of its own; both ports speak both
    #[arg(long, value_name = "ADDRESS", value_parser = listen::address)]
    grpc_listen: Option<SocketAddr>,
    /// Serve the socket that is standard input, which `watch` listens at
    #[arg(long, hide = true)]
    listen_on_stdin: bool,
    /// Run the manifest's build commands first
    #[arg(long)]
    build: bool,
    /// Serve all components but those that cannot be loaded; these answer 502 not_loaded
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    values: manifest::Values,
    /// The wall around the serving process: no file, connection or program can be opened any more
    #[arg(long, value_name = "WALL", value_enum, default_value_t = Harden::BestEffort)]
    harden: Harden,
    /// Memory for all requests together, such as 4GiB [default: 80 % of what is available]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Bytes>,
    /// Load the packed models of a manifest when they are asked for, and keep as many loaded as fit
    /// into this memory, such as 2GiB [default: all are loaded at the start, and stay]
    #[arg(long, value_name = "SIZE")]
    model_memory: Option<Bytes>,
    /// Let clients that know the token in this file list, load and unload models over the protocol's
    /// model repository [default: nobody may]
    #[arg(long, value_name = "TOKEN-FILE")]
    repository_admin: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Harden {
    /// Refuse to serve unless every layer stands
    Require,
    /// As much of it as this kernel has
    BestEffort,
    /// None
    Off,
}

impl Up {
    pub(super) fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        harden::allow_all_files();
        let (file, token) = (self.source.find()?, self.token()?);
        let signals = Signals::wanted();
        let notifier = Notifier::from_environment()?;
        let inherited = self.listen_on_stdin.then(listen::inherited).transpose()?;
        // Loading needs what serving does not: files, processes, executable memory.
        let (Loaded { state, door }, server) = block_on(async {
            let loaded = self.load(deployer, &file).await?;
            let listener = match inherited {
                Some(listener) => listener,
                None => server::bind(self.listen)?,
            };
            let mut server = Server::new(listener, Arc::clone(&loaded.state));
            if let Some(address) = self.grpc_listen {
                server.listen_at(address)?;
            }
            Ok((loaded, server))
        })?;
        if let Some(token) = token {
            // Set once: this process serves once.
            let _ = state.repository.set(token);
        }
        let components = state.registry.iter().count() + state.application.functions.len();
        let wall = self.raise(components, &door);
        // Only threads that start now are behind the wall.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        deployer.sandbox.restart(runtime.handle())?;
        let wall = self.close(wall, &door)?;
        state.metrics.hardening(&wall);
        announce::announce(&server, &state, &wall, &door)?;
        notifier.ready();
        runtime.block_on(serve(server, signals, &notifier))
    }

    async fn load(&self, deployer: &Deployer, file: &Path) -> Result<Loaded, Failure> {
        let (kind, budget) = (Kind::of(file), self.budget()?);
        if self.model_memory.is_some() && kind != Kind::Manifest {
            return Err("--model-memory is for the models of a manifest".into());
        }
        let flags = &self.flags;
        match kind {
            Kind::Onnx => deploy::onnx(deployer, Alone { file, flags }, budget).await,
            Kind::Component => deploy::component(deployer, Alone { file, flags }, budget).await,
            Kind::Manifest => {
                flags.refuse()?;
                let application = self.values.read(file)?;
                if self.build {
                    build::run_all(&application.components)?;
                }
                let loaded = deploy::application(deployer, application, self.terms(deployer)?);
                some(loaded.await?)
            }
        }
    }

    fn terms(&self, deployer: &Deployer) -> Result<Terms, Failure> {
        let loader = |memory| Loader::new(deployer.clone(), Budget::new(memory));
        Ok(Terms {
            budget: self.budget()?,
            loader: self.model_memory.map(loader),
            keep_going: self.keep_going,
        })
    }

    fn token(&self) -> Result<Option<Token>, Failure> {
        let Some(file) = &self.repository_admin else {
            return Ok(None);
        };
        let explain = |problem: String| format!("--repository-admin {}: {problem}", file.display());
        let text = fs::read_to_string(file).map_err(|error| explain(error.to_string()))?;
        let token = Token::new(&text).map_err(|error| explain(error.to_string()))?;
        Ok(Some(token))
    }

    fn raise(&self, models: usize, door: &Door) -> Wall {
        match self.harden {
            Harden::Off => Wall::none(),
            _ => Wall::raise(&harden::serving_resources(models), door),
        }
    }

    fn close(&self, wall: Wall, door: &Door) -> Result<Wall, Failure> {
        if self.harden == Harden::Off {
            return Ok(wall);
        }
        let wall = wall.close(door);
        if let (Harden::Require, Some((layer, reason))) = (self.harden, wall.gaps().next()) {
            return Err(format!(
                "--harden=require, but there is no {} here: {reason}",
                layer.name()
            )
            .into());
        }
        Ok(wall)
    }

    fn budget(&self) -> Result<Budget, Failure> {
        budget(self.memory_budget, self.model_memory)
    }
}

/// The memory of all requests: what is given, or a part of what there is without that of models.
pub(super) fn budget(given: Option<Bytes>, models: Option<Bytes>) -> Result<Budget, Failure> {
    let available = |error| {
        format!("cannot tell how much memory is available: {error}; say it with --memory-budget")
    };
    Ok(match given {
        Some(bytes) => Budget::new(bytes),
        None => Budget::available()
            .map_err(available)?
            .without(models.unwrap_or(Bytes(0))),
    })
}

/// What is loaded, if anything is; the log has the rest.
fn some(loaded: Loaded) -> Result<Loaded, Failure> {
    let (registry, application) = (&loaded.state.registry, &loaded.state.application);
    for Broken { name, reason } in registry.broken() {
        tracing::error!(component = name, reason, "a component is not served");
    }
    let is_any = registry.iter().next().is_some() || !application.functions.is_empty();
    match is_any || registry.broken().is_empty() {
        true => Ok(loaded),
        false => Err("no component could be loaded; the log has the reason of each".into()),
    }
}

async fn serve(server: Server, signals: Signals, notifier: &Notifier) -> Result<ExitCode, Failure> {
    let signal = signals.caught()?;
    let stop = async {
        signal.await;
        notifier.stopping();
    };
    match server.serve(stop).await? {
        true => Ok(ExitCode::SUCCESS),
        false => Err(format!(
            "some requests did not finish within {:?} of draining",
            limits::DRAIN_TIME
        )
        .into()),
    }
}
