//! Answers in pieces.

use std::pin::Pin;

use futures::{Sink, SinkExt};
use spin_sdk::http::{Fields, OutgoingResponse, ResponseOutparam};
use wasi::io::streams::StreamError;

use crate::asked::Asked;
use crate::hostile::pause;
use crate::reply::Reply;

/// Takes pieces of a body; dropping it ends the body.
type Body = Pin<Box<dyn Sink<Vec<u8>, Error = StreamError>>>;

/// Begins an answer of unknown length with one piece.
pub(crate) async fn begin(out: ResponseOutparam) -> Body {
    let mut body = head(out, Fields::new());
    body.send(b"begun".to_vec()).await.expect("it reads");
    body
}

fn head(out: ResponseOutparam, fields: Fields) -> Body {
    begin_with(out, OutgoingResponse::new(fields))
}

fn begin_with(out: ResponseOutparam, response: OutgoingResponse) -> Body {
    let body = response.take_body();
    out.set(response);
    Box::pin(body)
}

/// `pieces` of `bytes` bytes, with a pause of `pause_ms` before each but the first, and with the
/// status `code`, if that is given.
pub(crate) async fn stream(asked: &Asked, reply: Reply) {
    let response = OutgoingResponse::new(Fields::new());
    if asked.parameter("code").is_some() {
        let code = asked.number("code").try_into().expect("a small number");
        response.set_status_code(code).expect("a status");
    }
    let mut body = begin_with(reply.out(), response);
    for piece in 0..asked.number("pieces") {
        if piece > 0 {
            pause(asked.number("pause_ms"));
        }
        let bytes = vec![b'x'; asked.number("bytes")];
        // Nobody reads the body of an answer to HEAD.
        if body.send(bytes).await.is_err() {
            return;
        }
    }
}

/// An answer that declares `bytes` bytes and has so many, or `sent` if that is given.
pub(crate) async fn declare(asked: &Asked, reply: Reply) {
    let declared = asked.number("bytes");
    let length = declared.to_string().into_bytes();
    let fields = Fields::from_list(&[("content-length".to_owned(), length)]);
    let mut body = head(reply.out(), fields.expect("a length"));
    let sent = match asked.parameter("sent") {
        Some(_) => asked.number("sent"),
        None => declared,
    };
    // A host that takes no more is no fault of this guest.
    let _ = body.send(vec![b'x'; sent]).await;
}

/// A body without end.
pub(crate) async fn flood(reply: Reply) {
    let mut body = head(reply.out(), Fields::new());
    loop {
        let _ = body.send(vec![b'x'; 1 << 16]).await;
    }
}
