//! An answer on its way to the client, handed over in slices so that its pace can be seen.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::activity::Ticket;
use crate::limits;

/// The body of an answer. hyper takes the next slice when the client has room for it, and drops
/// this with the last.
pub(super) struct Delivery {
    body: Body,
    /// What is left of a frame of the body.
    rest: Bytes,
    ticket: Ticket,
}

impl Delivery {
    /// Begins to deliver.
    pub(super) fn new(body: Body, ticket: Ticket) -> Self {
        ticket.deliver();
        Self {
            body,
            rest: Bytes::new(),
            ticket,
        }
    }

    fn slice(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(limits::SLICE_BYTES);
        self.ticket.taken(length);
        Frame::data(self.rest.split_to(length))
    }
}

impl HttpBody for Delivery {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                // Who makes the body is slow, not who takes it.
                self.ticket.work();
                return Poll::Pending;
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        Poll::Ready(Some(Ok(self.slice())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
