//! The body of an HTTP component's answer, which arrives while its guest still works.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::CONTENT_LENGTH;
use tokio::sync::oneshot;

use crate::admission::Memory;
use crate::limits;
use crate::sandbox::wasi::Body as GuestBody;

/// A guest's body, within its limit. It ends well only if its guest does: a guest that is stopped
/// must not look like one that has finished.
pub(super) struct Streaming {
    body: GuestBody,
    /// What the guest may still send.
    room: u64,
    /// What it has declared and not sent yet.
    declared: Option<u64>,
    /// Whether the guest has ended well, once that is known.
    verdict: oneshot::Receiver<bool>,
    progress: Arc<Progress>,
    _memory: Arc<Memory>,
}

/// What is known about a body on its way.
#[derive(Default)]
pub(super) struct Progress {
    /// All that was declared has been sent, or nothing will be.
    pub(super) complete: AtomicBool,
    /// The guest has sent more than it may.
    pub(super) too_large: AtomicBool,
}

impl Streaming {
    /// Begins to deliver `body`, of which `headers` tell the length, at most `most` bytes.
    pub(super) fn new(
        body: GuestBody,
        headers: &HeaderMap,
        most: limits::Bytes,
        memory: Arc<Memory>,
    ) -> (Self, Arc<Progress>, oneshot::Sender<bool>) {
        let (tell, verdict) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let streaming = Self {
            body,
            room: most.0,
            declared: declared(headers),
            verdict,
            progress: Arc::clone(&progress),
            _memory: memory,
        };
        (streaming, progress, tell)
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        let Some(room) = self.room.checked_sub(bytes) else {
            self.progress.too_large.store(true, Relaxed);
            return Err(io::Error::other("the answer is too large"));
        };
        self.room = room;
        self.declared = self.declared.map(|left| left.saturating_sub(bytes));
        if self.declared == Some(0) {
            self.progress.complete.store(true, Relaxed);
        }
        Ok(())
    }
}

/// The length that a guest declares.
pub(super) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(self.count(bytes).map(|()| frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(io::Error::other(format!("{error:?}"))))),
            // Also the body of a guest that was stopped ends here.
            None => match ready!(Pin::new(&mut self.verdict).poll(context)) {
                Ok(true) => {
                    self.progress.complete.store(true, Relaxed);
                    Poll::Ready(None)
                }
                _ => Poll::Ready(Some(Err(io::Error::other("the guest failed")))),
            },
        }
    }
}
