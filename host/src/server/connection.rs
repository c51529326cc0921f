//! One connection: HTTP/1.1 or HTTP/2, with every limit on.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::limits;

/// How connections are served.
pub(super) struct Connection {
    builder: Builder<TokioExecutor>,
    service: TowerToHyperService<Router>,
}

impl Connection {
    pub(super) fn new(router: Router) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            // Without a timer hyper silently ignores the time limit for headers.
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER_TIME)
            .max_buf_size(limits::HEADER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::STREAMS)
            .max_header_list_size(limits::HEADER_BYTES as u32)
            .keep_alive_interval(limits::HEADER_TIME);
        Self {
            builder,
            service: TowerToHyperService::new(router),
        }
    }

    /// Serves a connection in a task of its own; the permit is given back with it.
    pub(super) fn spawn(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        open: &GracefulShutdown,
    ) {
        // Answers are written whole: waiting to fill a packet only costs time.
        let _ = stream.set_nodelay(true);
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), self.service.clone())
            .into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
}
