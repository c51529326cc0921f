//! `allowed_outbound_hosts`: whom a component may call. The names of hosts are checked before they
//! are looked up, and the addresses that they turn out to have after that. It must not know where
//! entries come from, nor how calls are made.

mod network;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;

use crate::limits;

/// Whom a component may call. It shows itself as it was written, without the values of variables.
#[derive(Clone, Default)]
pub struct AllowedHosts {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    written: String,
    scheme: Scheme,
    host: Host,
    ports: Range<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Any,
    Http,
    Https,
}

#[derive(Clone)]
enum Host {
    Any,
    /// What the host's name ends with, from the dot on.
    Below(String),
    Name(String),
    Network(IpNet),
    /// A component of the same application, or any of them.
    Component(Option<String>),
}

/// Why an entry cannot be allowed. It quotes nothing of the entry: that can hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No `://`.
    #[error("write it as scheme://host:port, such as https://example.com")]
    NoScheme,
    /// A scheme that is not HTTP.
    #[error("only the schemes http, https and * are supported, for components have no sockets")]
    Scheme,
    /// What names no host.
    #[error("it has a user, a path, a query or a fragment; write scheme://host:port only")]
    MoreThanHost,
    /// The application as a whole, or a component by another scheme than http.
    #[error(
        "within the application only components can be called: write http://<component>.spin.internal"
    )]
    Internal,
    /// A host that is none.
    #[error("its host is neither *, *.domain, a name, an address nor a network such as 10.0.0.0/8")]
    Host,
    /// An IPv6 address whose end is not clear.
    #[error("write an IPv6 address in brackets, such as [::1]")]
    Brackets,
    /// A port that is none.
    #[error(
        "its port is neither a number from 1 to 65535, a range such as 8000..9000 (without 9000) nor *"
    )]
    Port,
    /// No port, and none that follows from the scheme.
    #[error("the scheme * has no port of its own; write one, or :* for all")]
    NoPort,
}

/// What the names of components end with.
const INTERNAL: &str = ".spin.internal";
const ALL_PORTS: Range<u32> = 1..0x1_0000;

impl AllowedHosts {
    /// Adds an entry, which was written as a template.
    ///
    /// # Errors
    /// It is none, or one that is not supported.
    pub fn allow(&mut self, written: &str, entry: &str) -> Result<(), EntryError> {
        self.entries.push(Entry::parse(written, entry.trim())?);
        Ok(())
    }

    /// Whether nobody may be called.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether anybody outside of the application may be called.
    pub fn leads_out(&self) -> bool {
        self.entries.iter().any(Entry::leads_out)
    }

    /// The components of the same application that entries name.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match &entry.host {
            Host::Component(Some(id)) => Some(id.as_str()),
            _ => None,
        })
    }

    /// Whether this may be called; the host is a name, or an address with or without brackets.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = Called::new(host);
        self.entries.iter().any(|entry| {
            entry.scheme.allows(scheme) && entry.has_port(port) && entry.host.allows(&host)
        })
    }

    /// Whether a connection may go to this address, whatever name has led there: it is public, or
    /// an entry with this port names the very address, a network that it is in, or for a loopback
    /// address `localhost`.
    pub fn allows_address(&self, address: SocketAddr) -> bool {
        let named =
            |entry: &Entry| entry.has_port(address.port()) && entry.host.names(address.ip());
        network::is_public(address.ip()) || self.entries.iter().any(named)
    }

    /// The ports that may be called, if they are only a few.
    pub fn ports(&self) -> Option<Vec<u16>> {
        let mut ports = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.leads_out()) {
            if entry.ports.len() > limits::NAMED_PORTS {
                return None;
            }
            ports.extend(
                entry
                    .ports
                    .clone()
                    .filter_map(|port| u16::try_from(port).ok()),
            );
        }
        ports.sort_unstable();
        ports.dedup();
        (ports.len() <= limits::NAMED_PORTS).then_some(ports)
    }
}

impl fmt::Debug for AllowedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.entries.iter().map(|entry| &entry.written);
        f.debug_list().entries(written).finish()
    }
}

impl Entry {
    fn parse(written: &str, entry: &str) -> Result<Self, EntryError> {
        let (scheme, rest) = entry.split_once("://").ok_or(EntryError::NoScheme)?;
        let scheme = Scheme::parse(scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '?', '#', '\\']) {
            return Err(EntryError::MoreThanHost);
        }
        let (host, port) = host_and_port(rest)?;
        let host = Host::parse(host)?;
        if matches!(host, Host::Component(_)) && (scheme != Scheme::Http || port.is_some()) {
            return Err(EntryError::Internal);
        }
        Ok(Self {
            written: written.to_owned(),
            scheme,
            host,
            ports: ports(port, scheme)?,
        })
    }

    fn leads_out(&self) -> bool {
        !matches!(self.host, Host::Component(_))
    }

    fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&u32::from(port))
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, EntryError> {
        match text.to_ascii_lowercase().as_str() {
            "*" => Ok(Self::Any),
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err(EntryError::Scheme),
        }
    }

    fn allows(self, scheme: &str) -> bool {
        match Self::parse(scheme) {
            Ok(Self::Any) | Err(_) => false,
            Ok(called) => self == Self::Any || self == called,
        }
    }
}

/// A host as it is called: its address, or its name in small letters without a dot at the end.
enum Called {
    Address(IpAddr),
    Name(String),
    /// A component of the same application.
    Component(String),
}

/// The component of the same application that a host's name stands for, as Spin names them.
pub fn component(host: &str) -> Option<String> {
    match Called::new(host) {
        Called::Component(id) => Some(id),
        _ => None,
    }
}

impl Called {
    fn new(host: &str) -> Self {
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = inner.unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::named(host.to_ascii_lowercase()),
        }
    }

    fn named(host: String) -> Self {
        match host.strip_suffix(INTERNAL) {
            Some(component) => Self::Component(component.to_owned()),
            None => Self::Name(host),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, EntryError> {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let bare = bare.unwrap_or(text);
        if let Ok(network) = bare.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Called::Address(address) = Called::new(text) {
            return Ok(Self::Network(address.into()));
        }
        if text.contains('/') {
            return Err(EntryError::MoreThanHost);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Some(component) = name.strip_suffix(INTERNAL) {
            return Self::component(component);
        }
        if matches!(name.as_str(), "self" | "self.alt" | "spin.internal") {
            return Err(EntryError::Internal);
        }
        match name.strip_prefix("*.") {
            _ if name == "*" => Ok(Self::Any),
            Some(domain) if is_name(domain) => Ok(Self::Below(format!(".{domain}"))),
            None if is_name(&name) => Ok(Self::Name(name)),
            _ => Err(EntryError::Host),
        }
    }

    fn component(id: &str) -> Result<Self, EntryError> {
        match id {
            "*" => Ok(Self::Component(None)),
            _ if is_name(id) && !id.contains('.') => Ok(Self::Component(Some(id.to_owned()))),
            _ => Err(EntryError::Internal),
        }
    }

    fn allows(&self, host: &Called) -> bool {
        match (self, host) {
            (Self::Component(None), Called::Component(_)) => true,
            (Self::Component(Some(id)), Called::Component(called)) => id == called,
            (Self::Component(_), _) | (_, Called::Component(_)) => false,
            (Self::Any, _) => true,
            (Self::Below(end), Called::Name(name)) => name
                .strip_suffix(end.as_str())
                .is_some_and(|host| !host.is_empty()),
            (Self::Name(name), Called::Name(called)) => name == called,
            (Self::Network(_), Called::Address(address)) => self.names(*address),
            _ => false,
        }
    }

    /// Whether it means this very address, which is more than a name that leads there.
    fn names(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => {
                network.contains(&address) || network.contains(&address.to_canonical())
            }
            Self::Name(name) => name == "localhost" && address.to_canonical().is_loopback(),
            Self::Any | Self::Below(_) | Self::Component(_) => false,
        }
    }
}

fn is_name(name: &str) -> bool {
    let in_label = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let is_label = |label: &str| !label.is_empty() && label.chars().all(in_label);
    // What ends with a number is a way to write an address, not a name.
    let is_number = |label: &str| match label.strip_prefix("0x") {
        Some(digits) => digits.chars().all(|digit| digit.is_ascii_hexdigit()),
        None => label.chars().all(|digit| digit.is_ascii_digit()),
    };
    name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// A host and its port, which may be missing. Colons within a host stand in brackets, or before
/// the length of a network.
fn host_and_port(text: &str) -> Result<(&str, Option<&str>), EntryError> {
    let (host, port) = match text.split_once(']') {
        Some((_, "")) => (text, None),
        Some((inner, after)) => {
            let port = after.strip_prefix(':').ok_or(EntryError::MoreThanHost)?;
            (text.get(..=inner.len()).unwrap_or(text), Some(port))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match host.contains(':') && !host.starts_with('[') && host.parse::<IpNet>().is_err() {
        true => Err(EntryError::Brackets),
        false => Ok((host, port)),
    }
}

fn ports(written: Option<&str>, scheme: Scheme) -> Result<Range<u32>, EntryError> {
    let Some(written) = written else {
        return match scheme {
            Scheme::Http => Ok(80..81),
            Scheme::Https => Ok(443..444),
            Scheme::Any => Err(EntryError::NoPort),
        };
    };
    if written == "*" {
        return Ok(ALL_PORTS);
    }
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if number > 0 && !text.starts_with('+') => Ok(u32::from(number)),
        _ => Err(EntryError::Port),
    };
    let range = match written.split_once("..") {
        Some((start, end)) => number(start)?..number(end)?,
        None => number(written)?..number(written)? + 1,
    };
    match range.is_empty() {
        true => Err(EntryError::Port),
        false => Ok(range),
    }
}
