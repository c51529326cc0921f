//! The manifest, with the values that the command line and the environment give its variables.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

use super::Up;
use crate::cli::Failure;
use crate::config::{self, Application, Provider, Settings};

impl Up {
    /// Reads the manifest; what is odd about it goes to the log.
    pub(super) fn manifest(&self) -> Result<Application, Failure> {
        let variables = Provider {
            overrides: self.variables.clone(),
            environments: vec![environment(), dot_env(&self.from)?],
        };
        let settings = Settings {
            profile: self.profile.clone(),
            variables,
        };
        let application = config::read(&self.from, &settings)?;
        for warning in &application.warnings {
            tracing::warn!("{warning}");
        }
        Ok(application)
    }
}

/// Of `NAME=VALUE`.
pub(super) fn variable(argument: &str) -> Result<(String, String), String> {
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
