//! Models by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_protocol::rest::Refusal;

use super::Model;
use crate::error::RequestError;

/// All models of a host. Immutable: a change makes a new one.
#[derive(Default)]
pub struct Registry {
    models: BTreeMap<String, Arc<Model>>,
}

impl Registry {
    /// A registry of models, each by its name.
    pub fn new(models: impl IntoIterator<Item = Model>) -> Self {
        let by_name = |model: Model| (model.name.clone(), Arc::new(model));
        Self {
            models: models.into_iter().map(by_name).collect(),
        }
    }

    /// The model of this name, also if it is unloaded.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<&Arc<Model>, RequestError> {
        self.models
            .get(name)
            .ok_or_else(|| Refusal::unknown_model(name).into())
    }

    /// The model of this name, if it is of this version or none is asked for, to be asked something.
    ///
    /// # Errors
    /// There is none, or it is unloaded.
    pub fn version(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>, RequestError> {
        let model = self.get(name)?;
        match version {
            Some(version) if model.version() != Some(version) => {
                Err(Refusal::unknown_version(version).into())
            }
            _ if !model.is_available() => Err(RequestError::Unloaded),
            _ => Ok(model),
        }
    }

    /// All models, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values()
    }
}
