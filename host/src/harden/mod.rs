//! The second wall: what this process may still ask of the kernel when code inside it is broken.
//!
//! The first wall is WebAssembly. Should a guest ever get through it, it finds a process that
//! cannot open a file, connect, start a program or make memory executable. Two halves, because a
//! landlock domain binds one thread and those that it starts later, while a seccomp filter can be
//! put on all threads:
//!
//! 1. [`Wall::raise`], on the main thread before it starts the threads that serve: no new
//!    privileges, limits of the kernel, landlock.
//! 2. [`Wall::close`], when everything is open that serving needs: seccomp, and a try whether
//!    what should be refused is refused.

mod filesystem;
mod syscalls;

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// One layer of the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// `PR_SET_NO_NEW_PRIVS`: no program that is started gains rights.
    NoNewPrivileges,
    /// Limits of the kernel on the process.
    ResourceLimits,
    /// Landlock: no file, no TCP connection, no signal to others.
    Landlock,
    /// A list of the system calls that serving needs.
    Seccomp,
}

/// Which layers stand, and why others do not.
pub struct Wall {
    layers: Vec<(Layer, Result<(), String>)>,
}

/// What a serving process may still reach, because a manifest gives it to a component.
#[derive(Debug, Default)]
pub struct Door {
    /// Folders whose files may be read.
    pub files: Vec<PathBuf>,
    /// Hosts that may be called.
    pub hosts: Hosts,
    /// Whether images of models are loaded: wasmtime has code in them that never runs.
    pub images: bool,
}

/// Whom connections may be made to. Which host it is, is checked before the kernel is asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// Nobody.
    #[default]
    None,
    /// These ports of any host, and name servers.
    Ports(Vec<u16>),
    /// Any port.
    Any,
}

impl Hosts {
    /// Lets connections to some more ports through, or to any.
    pub fn open(&mut self, ports: Option<Vec<u16>>) {
        const DNS: u16 = 53;
        let mut open = match (std::mem::take(self), ports) {
            (Self::Any, _) | (_, None) => {
                *self = Self::Any;
                return;
            }
            (Self::None, Some(ports)) => [ports, vec![DNS]].concat(),
            (Self::Ports(open), Some(ports)) => [open, ports].concat(),
        };
        open.sort_unstable();
        open.dedup();
        *self = Self::Ports(open);
    }
}

impl Layer {
    /// All of them, in the order in which they are raised.
    pub const ALL: [Self; 4] = [
        Self::NoNewPrivileges,
        Self::ResourceLimits,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// The layer's name for people and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no_new_privs",
            Self::ResourceLimits => "rlimits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl Wall {
    /// Raises the layers that later threads inherit. `resources` are limits of the kernel, each
    /// with its value.
    pub fn raise(resources: &[(Resource, u64)], door: &Door) -> Self {
        let mut wall = Self { layers: Vec::new() };
        wall.record(
            Layer::NoNewPrivileges,
            rustix::thread::set_no_new_privs(true).map_err(|error| error.to_string()),
        );
        wall.record(Layer::ResourceLimits, limit(resources));
        wall.record(Layer::Landlock, filesystem::forbid(door));
        wall
    }

    /// Puts the filter of system calls on all threads, then checks that the wall holds.
    pub fn close(mut self, door: &Door) -> Self {
        let closed = syscalls::restrict(door).and_then(|()| check(door));
        self.record(Layer::Seccomp, closed);
        self
    }

    /// No wall at all, because its owner wants none.
    pub fn none() -> Self {
        Self { layers: Vec::new() }
    }

    /// The layers that stand.
    pub fn layers(&self) -> impl Iterator<Item = Layer> {
        self.layers
            .iter()
            .filter_map(|(layer, result)| result.is_ok().then_some(*layer))
    }

    /// The layers that could not be raised, each with its reason.
    pub fn gaps(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers
            .iter()
            .filter_map(|(layer, result)| Some((*layer, result.as_ref().err()?.as_str())))
    }

    fn record(&mut self, layer: Layer, result: Result<(), String>) {
        self.layers.push((layer, result));
    }
}

/// Lets this process open as many files as it ever may: by default it is a thousand, which a
/// thousand models are too many for.
pub fn allow_all_files() {
    let limit = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where this fails, opening a file will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What a serving process may take from the kernel: no core dumps, for they hold tenants' data,
/// and no more files than `models` and all connections need.
pub fn serving_resources(models: usize) -> [(Resource, u64); 2] {
    let files =
        limits::CONNECTIONS + limits::SPARE_DESCRIPTORS + models * limits::DESCRIPTORS_PER_MODEL;
    [(Resource::Core, 0), (Resource::Nofile, files as u64)]
}

/// Lowers the soft and the hard limit: what is given up cannot be taken back.
fn limit(resources: &[(Resource, u64)]) -> Result<(), String> {
    for (resource, value) in resources {
        let most = getrlimit(*resource).maximum.unwrap_or(u64::MAX);
        let value = (*value).min(most);
        // At the soft limit of CPU time the kernel says why it kills, at the hard one it does not.
        let grace = u64::from(*resource == Resource::Cpu);
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value.saturating_add(grace).min(most)),
        };
        setrlimit(*resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}

/// Tries what must not be possible any more.
fn check(door: &Door) -> Result<(), String> {
    const DISCARD: u16 = 9;
    refused("a file can be opened", File::open("/"))?;
    let may_call = match &door.hosts {
        Hosts::None => false,
        Hosts::Ports(ports) => ports.contains(&DISCARD),
        Hosts::Any => true,
    };
    if !may_call {
        let tried = TcpStream::connect(("127.0.0.1", DISCARD));
        refused("a connection can be made", tried)?;
    }
    refused(
        "a program can be started",
        Command::new("/proc/self/exe").arg("--version").status(),
    )
}

fn refused<T>(otherwise: &str, tried: io::Result<T>) -> Result<(), String> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(format!("{otherwise} all the same")),
    }
}
