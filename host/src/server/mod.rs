//! HTTP in front of the models: bind, accept, drain.
//!
//! The path of a request: connection permit ([`Server::serve`]) → header limits ([`connection`])
//! → route ([`routes`]) → model → permit → body → codec → sandbox ([`inference`]) → answer, which
//! its client must take ([`delivery`]).

mod activity;
mod answer;
mod body;
mod connection;
mod delivery;
mod descriptors;
mod inference;
mod pace;
mod routes;
pub mod state;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits;
use connection::Connection;
use state::State;

/// A bound socket with what answers on it.
pub struct Server {
    listener: TcpListener,
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
    /// Binds an address.
    ///
    /// # Errors
    /// The address is in use, or not ours.
    pub async fn bind(address: SocketAddr, state: Arc<State>) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(address),
                _ => BindError::Other { address, source },
            })?;
        let connections = Arc::new(Semaphore::new(descriptors::connections()));
        Ok(Self {
            listener,
            state,
            connections,
        })
    }

    /// Where the server listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then drains: takes the connections that the system has accepted
    /// already, closes the listener, lets clients finish what they are doing, and answers every
    /// request in flight. Returns whether all of that was done in time.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let open = GracefulShutdown::new();
        let router = routes::router(Arc::clone(&self.state));
        let connection = Connection::new(router, Arc::clone(&self.connections));
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                (stream, permit) = self.accept() => connection.spawn(stream, permit, &open),
            }
        }
        // From here on each answer asks its client to close the connection: to close one that
        // seems idle could lose a request that is on its way.
        self.state.readiness.stop();
        while let Ok((stream, permit)) = timeout(Duration::from_millis(1), self.accept()).await {
            connection.spawn(stream, permit, &open);
        }
        drop(self.listener);
        let lingering = Instant::now() + limits::LINGER_TIME;
        while open.count() > 0 && Instant::now() < lingering {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        timeout(limits::DRAIN_TIME, open.shutdown()).await.is_ok()
    }

    /// The next connection, once there is a permit for it.
    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => back_off(&error).await,
            }
        }
    }
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
