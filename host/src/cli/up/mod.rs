//! `glovebox up`: serve.

mod announce;
mod assets;
mod build;
mod dependencies;
mod deploy;
mod manifest;
mod notify;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, block_on};
use crate::harden::{self, Door, Wall};
use crate::limits::{self, Bytes};
use crate::memory::Budget;
use crate::model::Deployer;
use crate::model::on_demand::Loader;
use crate::server::Server;
use crate::server::repository::Token;
use deploy::Loaded;
use notify::Notifier;

#[derive(Args)]
pub(super) struct Up {
    /// A manifest, a packed model, an HTTP component, or an ONNX file, which is packed first
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// Where to listen; port 0 means any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// One more address, for clients that expect gRPC at a port of its own; both ports speak both
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Run the manifest's build commands first
    #[arg(long)]
    build: bool,
    /// Which [component.<id>.profile.<name>] of the manifest to use
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// A value for a variable of the manifest; also SPIN_VARIABLE_<NAME> in the environment or in
    /// the file .env beside the manifest
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = manifest::variable)]
    variables: Vec<(String, String)>,
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
        let token = self.token()?;
        let notifier = Notifier::from_environment()?;
        // Loading needs what serving does not: files, processes, executable memory.
        let (Loaded { state, door }, server) = block_on(async {
            let loaded = self.load(deployer).await?;
            let mut server = Server::bind(self.listen, Arc::clone(&loaded.state))?;
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
        runtime.block_on(serve(server, &notifier))
    }

    async fn load(&self, deployer: &Deployer) -> Result<Loaded, Failure> {
        let extension = self.extension();
        if self.model_memory.is_some() && ["onnx", "wasm"].contains(&extension) {
            return Err("--model-memory is for the models of a manifest".into());
        }
        match extension {
            "onnx" => deploy::onnx(deployer, &self.from, self.budget()?).await,
            "wasm" => deploy::component(deployer, &self.from, self.budget()?).await,
            _ => {
                let application = self.manifest()?;
                if self.build {
                    build::run_all(&application.components)?;
                }
                let loader = self
                    .model_memory
                    .map(|memory| Loader::new(deployer.clone(), Budget::new(memory)));
                deploy::application(deployer, application, self.budget()?, loader).await
            }
        }
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

    fn extension(&self) -> &str {
        let extension = self.from.extension();
        extension
            .and_then(|extension| extension.to_str())
            .unwrap_or_default()
    }

    fn budget(&self) -> Result<Budget, Failure> {
        let available = |error| {
            format!(
                "cannot tell how much memory is available: {error}; say it with --memory-budget"
            )
        };
        Ok(match self.memory_budget {
            Some(bytes) => Budget::new(bytes),
            None => Budget::available()
                .map_err(available)?
                .without(self.model_memory.unwrap_or(Bytes(0))),
        })
    }
}

async fn serve(server: Server, notifier: &Notifier) -> Result<ExitCode, Failure> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notifier.stopping();
        tracing::info!("draining");
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
