//! The manifest, with the values that the command line and the environment give its variables.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

use clap::Args;

use crate::cli::Failure;
use crate::config::{self, Application, Provider, Settings};

/// What the command line adds to a manifest.
#[derive(Args)]
pub(in crate::cli) struct Values {
    /// Which [component.<id>.profile.<name>] of the manifest to use
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// A value for a variable of the manifest; also SPIN_VARIABLE_<NAME> in the environment or in
    /// the file .env beside the manifest
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
}

impl Values {
    /// Reads the manifest; what is odd about it goes to the log.
    pub(in crate::cli) fn read(&self, manifest: &Path) -> Result<Application, Failure> {
        let variables = Provider {
            overrides: self.variables.clone(),
            environments: vec![environment(), dot_env(manifest)?],
        };
        let settings = Settings {
            profile: self.profile.clone(),
            variables,
        };
        let application = config::read(manifest, &settings)?;
        for warning in &application.warnings {
            tracing::warn!("{warning}");
        }
        Ok(application)
    }

    /// The same on another command line.
    pub(in crate::cli) fn arguments(&self) -> Vec<String> {
        let profile = self.profile.iter();
        let profile = profile.flat_map(|profile| ["--profile".to_owned(), profile.clone()]);
        let variables = self.variables.iter();
        let variables = variables
            .flat_map(|(name, value)| ["--variable".to_owned(), format!("{name}={value}")]);
        profile.chain(variables).collect()
    }
}

/// Of `NAME=VALUE`.
fn variable(argument: &str) -> Result<(String, String), String> {
    let (name, value) = argument.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn environment() -> BTreeMap<String, String> {
    let texts = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.collect()
}

/// The file `.env` beside the manifest, if there is one.
fn dot_env(manifest: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let path = manifest.with_file_name(".env");
    match fs::read_to_string(&path) {
        Ok(text) => {
            Ok(config::env_file(&text)
                .map_err(|problem| format!("{}:{problem}", path.display()))?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
    }
}
