//! One connection: HTTP/1.1 or HTTP/2, with every limit on.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::activity::Activity;
use super::delivery::Delivery;
use super::function::Client;
use crate::limits;

/// How connections are served.
pub(super) struct Connection {
    builder: Builder<TokioExecutor>,
    router: Router,
    room: Arc<Room>,
}

/// Whether there is room for more connections.
struct Room {
    permits: Arc<Semaphore>,
    /// With fewer free permits than this, it is crowded.
    enough: usize,
}

impl Connection {
    /// Connections to `router`, of which there may be as many as there are `permits`.
    pub(super) fn new(router: Router, permits: Arc<Semaphore>) -> Self {
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
            .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(limits::SLICE_BYTES)
            .max_pending_accept_reset_streams(limits::RESET_STREAMS)
            .max_local_error_reset_streams(limits::WRONG_STREAMS)
            .keep_alive_interval(limits::HEADER_TIME)
            .keep_alive_timeout(limits::HEADER_TIME);
        let enough = permits.available_permits() / limits::CROWDED_PART;
        Self {
            builder,
            router,
            room: Arc::new(Room { permits, enough }),
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
        let _ = set_socket_send_buffer_size(&stream, limits::SEND_BUFFER_BYTES);
        let client = stream.peer_addr().ok().map(Client);
        let activity = Activity::new();
        let (router, requests) = (self.router.clone(), Arc::clone(&activity));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let ticket = requests.begin();
            client.map(|client| request.extensions_mut().insert(client));
            request.extensions_mut().insert(ticket.pause());
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| Delivery::new(body, ticket)))
            }
        });
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = open.watch(connection);
        let room = Arc::clone(&self.room);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                reason = overdue(&activity, &room) => {
                    tracing::debug!(reason, "a connection was closed");
                }
            }
            drop(permit);
        });
    }
}

/// Waits until a connection must be closed; says why.
async fn overdue(activity: &Activity, room: &Room) -> &'static str {
    loop {
        tokio::time::sleep(limits::WATCH_TIME).await;
        let crowded = room.permits.available_permits() < room.enough;
        if let Some(reason) = activity.fault(crowded) {
            return reason;
        }
    }
}
