//! HTTP in front of the models: bind, accept, drain.
//!
//! The path of a request: connection permit ([`Server::serve`]) → header limits ([`connection`])
//! → route ([`routes`]) → model → permit → body → codec ([`rest`]) → sandbox ([`inference`]), or
//! component → permit → body → sandbox ([`function`]) → answer, which its client must take
//! ([`delivery`]).

mod activity;
mod answer;
pub mod application;
mod body;
mod coding;
mod connection;
mod delivery;
mod descriptors;
mod docs;
mod function;
mod grpc;
mod inference;
mod pace;
pub mod repository;
mod rest;
pub mod routes;
mod siblings;
mod spin;
pub mod state;
mod streaming;

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits;
use connection::Connection;
use state::State;

/// A bound socket with what answers on it.
pub struct Server {
    /// Of no runtime yet: the one that serves starts behind the wall.
    listeners: Vec<StdListener>,
    state: Arc<State>,
    connections: Arc<Semaphore>,
}

/// The address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else is there.
    #[error(
        "{0} is in use by another process; choose another address with --listen, or port 0 for any free one"
    )]
    InUse(SocketAddr),
    /// Another reason.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Server {
    /// Serves this at a bound address.
    pub fn new(listener: StdListener, state: Arc<State>) -> Self {
        Self {
            listeners: vec![listener],
            state,
            connections: Arc::new(Semaphore::new(descriptors::connections())),
        }
    }

    /// Listens at one more address; the same is served there.
    ///
    /// # Errors
    /// The address is in use, or not ours.
    pub fn listen_at(&mut self, address: SocketAddr) -> Result<(), BindError> {
        self.listeners.push(bind(address)?);
        Ok(())
    }

    /// Where the server listens, first of all.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let first = self.listeners.first();
        first.ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// Where it listens beside that.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn other_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let others = self.listeners.iter().skip(1);
        others.map(StdListener::local_addr).collect()
    }

    /// Serves until `stop`, then drains: takes the connections that the system has accepted
    /// already, closes the listener, lets clients finish what they are doing, and answers every
    /// request in flight. Returns whether all of that was done in time.
    ///
    /// # Errors
    /// The runtime has no place for the listener.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<bool> {
        let Self {
            listeners,
            state,
            connections,
        } = self;
        let listeners = listeners.into_iter().map(TcpListener::from_std);
        let listeners: Vec<_> = listeners.collect::<io::Result<_>>()?;
        let open = GracefulShutdown::new();
        let router = routes::router(Arc::clone(&state));
        let connection = Connection::new(router, Arc::clone(&connections));
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                (stream, permit) = accept(&listeners, &connections) => connection.spawn(stream, permit, &open),
            }
        }
        // From here on each answer asks its client to close the connection: to close one that
        // seems idle could lose a request that is on its way.
        state.readiness.stop();
        let moment = Duration::from_millis(1);
        while let Ok((stream, permit)) = timeout(moment, accept(&listeners, &connections)).await {
            connection.spawn(stream, permit, &open);
        }
        drop(listeners);
        let lingering = Instant::now() + limits::LINGER_TIME;
        while open.count() > 0 && Instant::now() < lingering {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(timeout(limits::DRAIN_TIME, open.shutdown()).await.is_ok())
    }
}

/// The next connection, once there is a permit for it.
async fn accept(
    listeners: &[TcpListener],
    connections: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        match next(listeners).await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => back_off(&error).await,
        }
    }
}

/// The next connection of any listener. Dropping the future loses none.
async fn next(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let mut polled = listeners
            .iter()
            .map(|listener| listener.poll_accept(context));
        // Those behind it are not asked: what they accepted would be lost.
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Binds an address.
///
/// # Errors
/// The address is in use, or not ours.
pub fn bind(address: SocketAddr) -> Result<StdListener, BindError> {
    let listener = listen(address).and_then(TcpListener::into_std);
    listener.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        _ => BindError::Other { address, source },
    })
}

/// As `TcpListener::bind` does, but clients that connect all at once are not turned away.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// A connection that broke before it was accepted is no reason to wait; having no file
/// descriptor left is one.
async fn back_off(error: &io::Error) {
    let is_the_clients = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !is_the_clients {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
