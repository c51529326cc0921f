//! `glovebox up`: serve.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, block_on, pack};
use crate::admission::Admission;
use crate::config::{self, Build, Component, LimitSettings};
use crate::harden::{self, Layer, Wall};
use crate::limits::{self, Bytes, Limits};
use crate::memory::Budget;
use crate::model::package::Package;
use crate::model::registry::Registry;
use crate::model::{Deployer, Model};
use crate::sandbox::compute::Tenant;
use crate::server::Server;
use crate::server::state::State;
use crate::text;

#[derive(Args)]
pub(super) struct Up {
    /// A manifest, a packed model or an ONNX file, which is packed first
    #[arg(short, long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// Where to listen; port 0 means any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Run the manifest's build commands first
    #[arg(long)]
    build: bool,
    /// The wall around the serving process: no file, connection or program can be opened any more
    #[arg(long, value_name = "WALL", value_enum, default_value_t = Harden::BestEffort)]
    harden: Harden,
    /// Memory for all requests together, such as 4GiB [default: 80 % of what is available]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Bytes>,
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
        // Loading needs what serving does not: files, processes, executable memory.
        let (server, state) = block_on(self.load(deployer))?;
        let wall = self.raise(state.registry.iter().count());
        // Only threads that start now are behind the wall.
        deployer.sandbox.restart()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let wall = self.close(wall)?;
        state.metrics.hardening(&wall);
        announce(server.address()?, &state, &wall);
        runtime.block_on(serve(server))
    }

    async fn load(&self, deployer: &Deployer) -> Result<(Server, Arc<State>), Failure> {
        let components = self.components()?;
        let admission = Admission::new(self.budget()?, tenants(&components));
        let models = self.models(deployer, &components, &admission).await?;
        let state = Arc::new(State::new(Registry::new(models), admission));
        let server = Server::bind(self.listen, Arc::clone(&state))?;
        Ok((server, state))
    }

    fn raise(&self, models: usize) -> Wall {
        match self.harden {
            Harden::Off => Wall::none(),
            _ => Wall::raise(&harden::serving_resources(models)),
        }
    }

    fn close(&self, wall: Wall) -> Result<Wall, Failure> {
        if self.harden == Harden::Off {
            return Ok(wall);
        }
        let wall = wall.close();
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

    /// What the manifest says; nothing if there is none.
    fn components(&self) -> Result<Vec<Component>, Failure> {
        match self.extension() {
            "onnx" | "wasm" => Ok(Vec::new()),
            _ => Ok(config::read(&self.from)?),
        }
    }

    fn budget(&self) -> Result<Budget, Failure> {
        let available = |error| {
            format!(
                "cannot tell how much memory is available: {error}; say it with --memory-budget"
            )
        };
        Ok(match self.memory_budget {
            Some(bytes) => Budget::new(bytes),
            None => Budget::available().map_err(available)?,
        })
    }

    async fn models(
        &self,
        deployer: &Deployer,
        components: &[Component],
        admission: &Admission,
    ) -> Result<Vec<Model>, Failure> {
        match self.extension() {
            "onnx" => Ok(vec![
                pack_and_deploy(deployer, &self.from, admission).await?,
            ]),
            "wasm" => Ok(vec![deploy_file(deployer, &self.from, admission).await?]),
            _ => self.manifest_models(deployer, components, admission).await,
        }
    }

    async fn manifest_models(
        &self,
        deployer: &Deployer,
        components: &[Component],
        admission: &Admission,
    ) -> Result<Vec<Model>, Failure> {
        let mut models = Vec::new();
        for component in components {
            if let (true, Some(build)) = (self.build, &component.build) {
                run_build(&component.id, build)?;
            }
            models.push(deploy_component(deployer, component, admission).await?);
        }
        Ok(models)
    }
}

/// Each tenant by its name; some twice.
fn tenants(components: &[Component]) -> impl Iterator<Item = &str> {
    components.iter().map(|component| component.tenant.as_str())
}

async fn deploy_component(
    deployer: &Deployer,
    component: &Component,
    admission: &Admission,
) -> Result<Model, Failure> {
    let explain = |error: Failure| -> Failure {
        let hint = match component.build.is_some() && !component.source.exists() {
            true => "; make it with `glovebox up --build`",
            false => "",
        };
        format!("component {:?}: {error}{hint}", component.id).into()
    };
    let package = Package::open(&component.source).map_err(|error| explain(error.into()))?;
    let tenant = Tenant {
        name: component.tenant.as_str().into(),
        weight: component.weight,
    };
    let share = admission.share(&component.tenant);
    let limits = component.limits.resolve(package.image, share);
    let limits = limits.map_err(|error| explain(error.into()))?;
    deployer
        .deploy(&component.id, &package, tenant, limits)
        .await
        .map_err(|error| explain(error.into()))
}

async fn deploy_file(
    deployer: &Deployer,
    file: &Path,
    admission: &Admission,
) -> Result<Model, Failure> {
    let package = Package::open(file)?;
    let stem = || {
        file.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = package
        .metadata
        .as_ref()
        .map_or_else(stem, |metadata| metadata.name.clone());
    deploy_package(deployer, &name, &package, admission).await
}

async fn pack_and_deploy(
    deployer: &Deployer,
    onnx: &Path,
    admission: &Admission,
) -> Result<Model, Failure> {
    let (name, packed) =
        pack::pack(deployer, onnx, None, Limits::generous(limits::PACK_CPU)).await?;
    deploy_package(deployer, &name, &Package::parse(packed.bytes)?, admission).await
}

async fn deploy_package(
    deployer: &Deployer,
    name: &str,
    package: &Package,
    admission: &Admission,
) -> Result<Model, Failure> {
    let tenant = Tenant {
        name: name.into(),
        weight: 1,
    };
    let limits = LimitSettings::default().resolve(package.image, admission.share(name))?;
    Ok(deployer.deploy(name, package, tenant, limits).await?)
}

/// Runs build commands as `spin build` does; `glovebox` in them means this very program.
fn run_build(id: &str, build: &Build) -> Result<(), Failure> {
    let own_dir = env::current_exe()?.parent().map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(own_dir.into_iter().chain(env::split_paths(&path)))?;
    for command in &build.commands {
        eprintln!("building {id}: {command}");
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command).env("PATH", &path);
        if !build.dir.as_os_str().is_empty() {
            shell.current_dir(&build.dir);
        }
        let status = shell.status()?;
        if !status.success() {
            return Err(format!(
                "component {id:?}: the build command `{command}` failed ({status})"
            )
            .into());
        }
    }
    Ok(())
}

async fn serve(server: Server) -> Result<ExitCode, Failure> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
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

fn announce(address: SocketAddr, state: &State, wall: &Wall) {
    println!("serving http://{address}");
    for model in state.registry.iter() {
        let path = format!("/v2/models/{}", model.name);
        println!("\n{}", model.name);
        println!("  POST {path}/infer     tensors as JSON");
        if !model.signature.media.is_empty() {
            println!(
                "  POST {path}/predict   {}",
                text::escape(&model.signature.media.join(", "))
            );
        }
        println!("  GET  {path}           signature");
        let limits = model.function.limits();
        println!("  {limits}: {} a request", limits.footprint());
    }
    println!("\nmemory budget {}", state.admission.memory().total());
    let layers: Vec<_> = wall.layers().map(Layer::name).collect();
    match layers.is_empty() {
        true => println!("not hardened"),
        false => println!("hardened: {}", layers.join(", ")),
    }
    for (layer, reason) in wall.gaps() {
        println!("not hardened by {}: {reason}", layer.name());
    }
    println!("\n  GET  /v2  /v2/health/live  /v2/health/ready  /healthz  /readyz  /metrics");
}
