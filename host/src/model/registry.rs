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
    /// The names in models' metadata where their manifest gives them others.
    aliases: BTreeMap<String, Option<Arc<Model>>>,
    by_component: BTreeMap<String, Arc<Model>>,
    broken: Vec<Broken>,
}

/// A component that could not be loaded at the start.
pub struct Broken {
    /// Its name.
    pub name: String,
    /// Why, for whoever runs the host.
    pub reason: String,
}

impl Registry {
    /// A registry of models, each by its name, and by the name in its metadata if no other model has
    /// that.
    pub fn new(models: impl IntoIterator<Item = Arc<Model>>) -> Self {
        let mut registry = Self::default();
        for model in models {
            let metadata = model.metadata.as_ref();
            if let Some(own) = metadata.map(|metadata| &metadata.name) {
                let alias = registry.aliases.entry(own.clone());
                alias
                    .and_modify(|alias| *alias = None)
                    .or_insert_with(|| Some(Arc::clone(&model)));
            }
            let component = model.component.clone();
            registry.by_component.insert(component, Arc::clone(&model));
            registry.models.insert(model.name.clone(), model);
        }
        registry
    }

    /// The model of a component of the manifest.
    pub fn of_component(&self, id: &str) -> Option<&Arc<Model>> {
        self.by_component.get(id)
    }

    /// The same beside components that could not be loaded.
    #[must_use]
    pub fn with_broken(self, broken: Vec<Broken>) -> Self {
        Self { broken, ..self }
    }

    /// Those components.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// The model of this name, also if it is unloaded.
    ///
    /// # Errors
    /// There is none, or it could not be loaded.
    pub fn get(&self, name: &str) -> Result<&Arc<Model>, RequestError> {
        let alias = || self.aliases.get(name)?.as_ref();
        let is_broken = || self.broken.iter().any(|broken| broken.name == name);
        match self.models.get(name).or_else(alias) {
            Some(model) => Ok(model),
            None if is_broken() => Err(RequestError::NotLoaded),
            None => Err(Refusal::unknown_model(name).into()),
        }
    }

    /// The model of this name, if it is of this version or none is asked for, to be asked something.
    ///
    /// # Errors
    /// There is none, or it is unloaded.
    pub fn version(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>, RequestError> {
        let model = self.get(name)?;
        match version {
            Some(version) if model.version() != version => {
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
