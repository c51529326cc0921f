//! What a service manager is told that has started this process: systemd's `Type=notify`.
//!
//! The protocol is a datagram to the socket that `NOTIFY_SOCKET` names. Behind the wall no socket can be
//! opened, so it is connected before.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::cli::Failure;

/// A connection to the service manager, if there is one.
pub(super) struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// Connects to whom the environment names.
    pub(super) fn from_environment() -> Result<Self, Failure> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self(None));
        };
        let socket = connect(&name)
            .map_err(|error| format!("cannot reach the service manager at {name:?}: {error}"))?;
        Ok(Self(Some(socket)))
    }

    /// Requests are served from now on.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// No new requests are served any more.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.0 else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            tracing::warn!(%error, state, "the service manager was not told");
        }
    }
}

/// A name that begins with `@` is that of an abstract socket, others are paths.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not listen must not hold up who serves.
    socket.set_nonblocking(true)?;
    Ok(socket)
}
