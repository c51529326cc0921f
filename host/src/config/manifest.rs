//! A manifest as it is written: each key that is known, and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::dependency::Capability;
use super::limits::LimitSettings;
use super::shape::{Commands, SwitchOr, TextOr, Triggers};

/// The version alone.
#[derive(Deserialize)]
pub(super) struct Probe {
    pub(super) spin_manifest_version: Option<Version>,
    pub(super) spin_version: Option<Version>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Version {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    _version: IgnoredAny,
    pub(super) application: ApplicationToml,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, VariableToml>,
    #[serde(default)]
    pub(super) trigger: Triggers,
    #[serde(default)]
    pub(super) component: BTreeMap<String, ComponentToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ApplicationToml {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    /// Only `spin build` looks at them.
    #[serde(default, rename = "targets")]
    _targets: Vec<IgnoredAny>,
    #[serde(default)]
    pub(super) trigger: TriggerSettings,
    #[serde(default, rename = "tool")]
    _tool: BTreeMap<String, IgnoredAny>,
}

/// What all triggers of a type share.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerSettings {
    pub(super) http: Option<HttpSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSettings {
    pub(super) base: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct VariableToml {
    #[serde(rename = "description")]
    _description: Option<String>,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
    /// All values are kept secret here.
    #[serde(default, rename = "secret")]
    _secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct TriggerToml {
    pub(super) id: Option<String>,
    pub(super) route: TextOr<PrivateToml>,
    pub(super) component: Option<TextOr<ComponentToml>>,
    pub(super) static_response: Option<StaticResponseToml>,
    pub(super) executor: Option<ExecutorToml>,
    pub(super) components: Option<IgnoredAny>,
    pub(super) dependencies: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateToml {
    pub(super) private: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecutorToml {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) argv: Option<IgnoredAny>,
    pub(super) entrypoint: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticResponseToml {
    pub(super) status_code: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ComponentToml {
    #[serde(rename = "description")]
    _description: Option<String>,
    pub(super) source: TextOr<SourceToml>,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files: Vec<TextOr<MountToml>>,
    #[serde(default)]
    pub(super) exclude_files: Vec<String>,
    #[serde(default)]
    pub(super) allowed_outbound_hosts: Vec<String>,
    pub(super) allowed_http_hosts: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) key_value_stores: Vec<String>,
    #[serde(default)]
    pub(super) sqlite_databases: Vec<String>,
    #[serde(default)]
    pub(super) ai_models: Vec<String>,
    /// Only `spin build` looks at them.
    #[serde(default, rename = "targets")]
    _targets: Vec<IgnoredAny>,
    pub(super) build: Option<BuildToml>,
    #[serde(default)]
    pub(super) tool: Tools,
    pub(super) dependencies_inherit_configuration: Option<bool>,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<String, TextOr<DependencyToml>>,
    #[serde(default)]
    pub(super) profile: BTreeMap<String, ProfileToml>,
}

/// A component's file that is somewhere else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceToml {
    pub(super) url: Option<IgnoredAny>,
    #[serde(rename = "digest")]
    _digest: Option<IgnoredAny>,
    #[serde(rename = "registry")]
    _registry: Option<IgnoredAny>,
    #[serde(rename = "package")]
    _package: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MountToml {
    pub(super) source: String,
    pub(super) destination: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct BuildToml {
    pub(super) command: Commands,
    pub(super) workdir: Option<PathBuf>,
    #[serde(default)]
    pub(super) watch: Vec<String>,
}

/// The table that Spin leaves to other tools; ours is one of them.
#[derive(Default, Deserialize)]
#[serde(expecting = "a table")]
pub(super) struct Tools {
    #[serde(default)]
    pub(super) glovebox: LimitSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct DependencyToml {
    pub(super) path: Option<PathBuf>,
    pub(super) export: Option<String>,
    pub(super) inherit_configuration: Option<SwitchOr<Capability>>,
    pub(super) version: Option<IgnoredAny>,
    pub(super) registry: Option<IgnoredAny>,
    pub(super) package: Option<IgnoredAny>,
    pub(super) url: Option<IgnoredAny>,
    pub(super) digest: Option<IgnoredAny>,
    pub(super) component: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ProfileToml {
    pub(super) source: Option<TextOr<SourceToml>>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<String, TextOr<DependencyToml>>,
    pub(super) build: Option<ProfileBuildToml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileBuildToml {
    pub(super) command: Commands,
}

impl BuildToml {
    /// Where only a profile says how to build.
    pub(super) fn new(command: Commands) -> Self {
        Self {
            command,
            workdir: None,
            watch: Vec::new(),
        }
    }
}

impl Version {
    /// What to do about a version that is not supported.
    pub(super) fn advice(&self) -> &'static str {
        let first = match self {
            Self::Number(number) => *number == 1,
            Self::Text(text) => text == "1",
            Self::Other(_) => false,
        };
        match (first, self) {
            (true, _) => "; `spin doctor` turns a manifest of version 1 into one of version 2",
            (false, Self::Text(text)) if text == "2" => "; write it without quotes",
            (false, _) => "",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other(_) => write!(f, "no number"),
        }
    }
}
