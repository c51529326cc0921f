//! Build commands of a manifest, as `spin build` runs them.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::cli::Failure;
use crate::config::{Build, Component};

/// Builds all components that say how.
pub(in crate::cli) fn run_all(components: &[Component]) -> Result<(), Failure> {
    for component in components {
        if let Some(build) = &component.build {
            run(&component.id, build)?;
        }
    }
    Ok(())
}

/// Runs the commands of one component; `glovebox` in them means this very program.
pub(in crate::cli) fn run(id: &str, build: &Build) -> Result<(), Failure> {
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
