//! Addresses as people write them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;

use crate::cli::Failure;

/// Reads `127.0.0.1:3000`, `[::1]:3000`, `localhost:3000`, `:3000` (all addresses of the machine) or
/// `3000` (only this machine); names are looked up now.
pub(in crate::cli) fn address(written: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = written.parse() {
        return Ok(address);
    }
    if written.parse::<IpAddr>().is_ok() {
        return Err(format!("the port is missing; write {}", with_port(written)));
    }
    let (host, port) = match written.rsplit_once(':') {
        None => (None, written),
        Some((host, port)) => (Some(host), port),
    };
    let port: u16 = port.parse().map_err(|_| {
        "write it as ADDRESS:PORT, NAME:PORT, :PORT or PORT, such as 127.0.0.1:3000".to_owned()
    })?;
    match host {
        None => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Some("" | "*") => Ok((everywhere(), port).into()),
        Some(host) => find(host, port),
    }
}

fn with_port(address: &str) -> String {
    match address.contains(':') {
        true => format!("[{address}]:3000"),
        false => format!("{address}:3000"),
    }
}

/// The address that stands for all; that of IPv6 stands for those of IPv4, too.
fn everywhere() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The address of a name; if it has several, one of IPv4, which every client speaks.
fn find(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = (host, port).to_socket_addrs();
    let found: Vec<_> = found
        .map_err(|error| format!("cannot find {host:?}: {error}"))?
        .collect();
    let first = found.iter().find(|address| address.is_ipv4());
    let first = first.or(found.first()).copied();
    first.ok_or_else(|| format!("{host:?} has no address"))
}

/// The socket that whoever started this process listens at, too.
pub(super) fn inherited() -> Result<TcpListener, Failure> {
    // A parent that is killed cannot stop the child.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener
        .local_addr()
        .map_err(|_| "standard input is no socket; leave out --listen-on-stdin")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
