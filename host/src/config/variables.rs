//! Variables of an application: what is declared, where values come from, and templates that name
//! them. A value may be a secret, so none is in an error or in what `Debug` shows.

use std::collections::BTreeMap;
use std::fmt;

use super::manifest::VariableToml;
use super::name;

/// Where the values of variables come from, besides their defaults.
#[derive(Clone, Default)]
pub struct Provider {
    /// Asked first; of two values for one variable the last one counts.
    pub overrides: Vec<(String, String)>,
    /// Asked then, one after the other, for `SPIN_VARIABLE_` and the name in capitals.
    pub environments: Vec<BTreeMap<String, String>>,
}

/// What a component gets: names with their values.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, String>);

/// The variables of an application. A value is missing if it is required and not given.
pub(super) struct Variables(BTreeMap<String, Option<String>>);

impl Provider {
    fn value(&self, name: &str) -> Option<&str> {
        let mut overrides = self.overrides.iter().rev();
        if let Some((_, value)) = overrides.find(|(given, _)| given == name) {
            return Some(value);
        }
        let key = environment_key(name);
        let mut environments = self.environments.iter();
        environments
            .find_map(|environment| environment.get(&key))
            .map(String::as_str)
    }
}

impl Values {
    /// Names with values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Variables {
    pub(super) fn new(
        declared: BTreeMap<String, VariableToml>,
        provider: &Provider,
    ) -> Result<Self, String> {
        let unknown = |(name, _): &&(String, String)| !declared.contains_key(name);
        if let Some((name, _)) = provider.overrides.iter().find(unknown) {
            return Err(format!(
                "--variable {name:?}: there is no [variables.{name}]"
            ));
        }
        let mut values = BTreeMap::new();
        for (name, variable) in declared {
            name::check_snake(&name).map_err(|problem| format!("[variables]: {problem}"))?;
            if variable.required == variable.default.is_some() {
                return Err(format!(
                    "[variables.{name}]: write either required = true or a default"
                ));
            }
            let given = provider.value(&name).map(str::to_owned);
            values.insert(name, given.or(variable.default));
        }
        Ok(Self(values))
    }

    /// The variables of a component, whose templates are filled in.
    pub(super) fn of_component(&self, written: BTreeMap<String, String>) -> Result<Values, String> {
        let mut values = BTreeMap::new();
        for (name, template) in written {
            name::check_snake(&name).map_err(|problem| format!("variables: {problem}"))?;
            let filled = self.fill(&template);
            let value = filled.map_err(|problem| format!("variables.{name}: {problem}"))?;
            values.insert(name, value);
        }
        Ok(Values(values))
    }

    /// A template with each `{{ name }}` replaced by the variable's value.
    pub(super) fn fill(&self, template: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut left = template;
        while let Some((before, after)) = left.split_once("{{") {
            let (name, after) = after
                .split_once("}}")
                .ok_or("a {{ is without its }} around the name of a variable")?;
            filled += before;
            filled += self.value(name.trim())?;
            left = after;
        }
        Ok(filled + left)
    }

    fn value(&self, name: &str) -> Result<&str, String> {
        match self.0.get(name) {
            Some(Some(value)) => Ok(value),
            Some(None) => Err(format!(
                "the variable {name:?} is required: give it with --variable {name}=... or in {}",
                environment_key(name)
            )),
            None => Err(format!(
                "there is no variable {name:?}: declare [variables.{name}]"
            )),
        }
    }
}

fn environment_key(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase())
}
