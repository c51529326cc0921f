//! The body of an HTTP component's answer, which arrives while its guest still works.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::CONTENT_LENGTH;
use hyper::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use crate::admission::Memory;
use crate::limits;
use crate::sandbox::wasi::{Body as GuestBody, Response};

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
    fate: Fate,
    tell: Option<oneshot::Sender<Fate>>,
    _memory: Arc<Memory>,
}

/// What becomes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody reads it any more although there is more to come.
    GivenUp,
    /// All of it has been handed over.
    Delivered,
    /// The guest has sent more than it may.
    TooLarge,
    /// The guest has broken it off, or sent another length than it declared.
    Broken,
}

/// The other end of a body: what its guest's watcher says and hears.
pub(super) struct Watch {
    /// Takes whether the guest has ended well.
    pub(super) verdict: oneshot::Sender<bool>,
    /// Gives what has become of the body, when nobody has it any more.
    pub(super) fate: oneshot::Receiver<Fate>,
}

impl Streaming {
    /// Takes the body of `answer`, of at most `most` bytes; none of it is read if `only_head`.
    pub(super) fn new(
        answer: Response,
        only_head: bool,
        most: limits::Bytes,
        memory: Arc<Memory>,
    ) -> (hyper::Response<Self>, Watch) {
        let ((say, verdict), (tell, fate)) = (oneshot::channel(), oneshot::channel());
        let (head, body) = answer.into_parts();
        let declared = declared(&head.headers);
        let is_empty = matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        let streaming = Self {
            body,
            room: most.0,
            declared,
            verdict,
            fate: match only_head || is_empty || declared == Some(0) {
                true => Fate::Delivered,
                false => Fate::GivenUp,
            },
            tell: Some(tell),
            _memory: memory,
        };
        let watch = Watch { verdict: say, fate };
        (hyper::Response::from_parts(head, streaming), watch)
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        let Some(room) = self.room.checked_sub(bytes) else {
            self.fate = Fate::TooLarge;
            return Err(io::Error::other("the answer is too large"));
        };
        self.room = room;
        self.declared = self.declared.map(|left| left.saturating_sub(bytes));
        if self.declared == Some(0) {
            self.fate = Fate::Delivered;
        }
        Ok(())
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(self.fate);
        }
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
            Some(Err(error)) => {
                self.fate = Fate::Broken;
                Poll::Ready(Some(Err(io::Error::other(format!("{error:?}")))))
            }
            // Also the body of a guest that was stopped ends here.
            None => match ready!(Pin::new(&mut self.verdict).poll(context)) {
                Ok(true) => {
                    self.fate = Fate::Delivered;
                    Poll::Ready(None)
                }
                _ => Poll::Ready(Some(Err(io::Error::other("the guest failed")))),
            },
        }
    }
}
