//! `glovebox up`: serve.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, pack};
use crate::config::{self, Build, Component, LimitSettings};
use crate::limits::{self, Limits};
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
}

impl Up {
    pub(super) async fn execute(self, deployer: &Deployer) -> Result<ExitCode, Failure> {
        let models = self.models(deployer).await?;
        let state = Arc::new(State::new(Registry::new(models)));
        let server = Server::bind(self.listen, Arc::clone(&state)).await?;
        announce(server.address()?, &state.registry);
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
        match server.serve(stop).await {
            true => Ok(ExitCode::SUCCESS),
            false => Err(format!(
                "some requests did not finish within {:?} of draining",
                limits::DRAIN_TIME
            )
            .into()),
        }
    }

    async fn models(&self, deployer: &Deployer) -> Result<Vec<Model>, Failure> {
        match self
            .from
            .extension()
            .and_then(|extension| extension.to_str())
        {
            Some("onnx") => Ok(vec![pack_and_deploy(deployer, &self.from).await?]),
            Some("wasm") => Ok(vec![deploy_file(deployer, &self.from).await?]),
            _ => self.manifest_models(deployer).await,
        }
    }

    async fn manifest_models(&self, deployer: &Deployer) -> Result<Vec<Model>, Failure> {
        let components = config::read(&self.from)?;
        let mut models = Vec::new();
        for component in &components {
            if let (true, Some(build)) = (self.build, &component.build) {
                run_build(&component.id, build)?;
            }
            models.push(deploy_component(deployer, component).await?);
        }
        Ok(models)
    }
}

async fn deploy_component(deployer: &Deployer, component: &Component) -> Result<Model, Failure> {
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
    let limits = component.limits.resolve(package.image);
    deployer
        .deploy(&component.id, &package, tenant, limits)
        .await
        .map_err(|error| explain(error.into()))
}

async fn deploy_file(deployer: &Deployer, file: &Path) -> Result<Model, Failure> {
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
    deploy_package(deployer, &name, &package).await
}

async fn pack_and_deploy(deployer: &Deployer, onnx: &Path) -> Result<Model, Failure> {
    let (name, packed) =
        pack::pack(deployer, onnx, None, Limits::generous(limits::PACK_CPU)).await?;
    deploy_package(deployer, &name, &Package::parse(packed.bytes)?).await
}

async fn deploy_package(
    deployer: &Deployer,
    name: &str,
    package: &Package,
) -> Result<Model, Failure> {
    let tenant = Tenant {
        name: name.into(),
        weight: 1,
    };
    Ok(deployer
        .deploy(
            name,
            package,
            tenant,
            LimitSettings::default().resolve(package.image),
        )
        .await?)
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

fn announce(address: SocketAddr, registry: &Registry) {
    println!("serving http://{address}");
    for model in registry.iter() {
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
        println!("  {}", model.function.limits());
    }
    println!("\n  GET  /v2  /v2/health/live  /v2/health/ready  /healthz  /readyz  /metrics");
}
