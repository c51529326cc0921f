//! Which model of which server.

use std::fmt;
use std::str::FromStr;

use glovebox_protocol::rest::Endpoint;

use super::BenchError;

/// A model's URL, taken apart.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) authority: String,
    /// Up to the model's name or version.
    pub(super) path: String,
    pub(super) model: String,
    pub(super) version: Option<String>,
}

impl FromStr for Target {
    type Err = BenchError;

    fn from_str(url: &str) -> Result<Self, BenchError> {
        let wrong = || BenchError::Url(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(wrong)?);
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("/infer").unwrap_or(path);
        let Some(Endpoint::Model { name, version, .. }) = Endpoint::parse(path) else {
            return Err(wrong());
        };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        Ok(Self {
            authority: match has_port {
                true => authority.to_owned(),
                false => format!("{authority}:80"),
            },
            path: path.to_owned(),
            model: name,
            version,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}
