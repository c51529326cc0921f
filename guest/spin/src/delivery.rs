//! Writing an answer to a host that takes it piece by piece.

use glovebox_protocol::rest::HEADER_LENGTH;

use crate::answer::Answer;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, HeaderError, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::bindings::wasi::io::streams::{OutputStream, StreamError};

/// Sends the answer as fast as the client takes it. A client that leaves needs none.
pub(crate) fn send(answer: Answer, to: ResponseOutparam) {
    let Ok(response) = head(&answer) else {
        return ResponseOutparam::set(to, Err(ErrorCode::InternalError(None)));
    };
    let body = response.body();
    ResponseOutparam::set(to, Ok(response));
    let Ok(body) = body else { return };
    let bytes = match answer.is_head {
        true => &[],
        false => answer.body.as_slice(),
    };
    // A body that is dropped without its end tells the host that it is not whole.
    if write(&body, bytes).is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn head(answer: &Answer) -> Result<OutgoingResponse, ()> {
    let response = OutgoingResponse::new(headers(answer).map_err(|_| ())?);
    response.set_status_code(answer.status)?;
    Ok(response)
}

fn headers(answer: &Answer) -> Result<Fields, HeaderError> {
    let headers = Fields::new();
    let set = |name: &str, value: &str| headers.set(name, &[value.as_bytes().to_vec()]);
    set("content-type", &answer.content_type)?;
    // Answers of models are data, whatever a model says that they are.
    set("x-content-type-options", "nosniff")?;
    if let Some(length) = answer.header_length {
        set(HEADER_LENGTH, &length.to_string())?;
    }
    if let Some(method) = answer.allow {
        set("allow", method.allow())?;
    }
    // Hosts hold the body to it, so an answer to HEAD must do without.
    if !answer.is_head {
        set("content-length", &answer.body.len().to_string())?;
    }
    Ok(headers)
}

fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    let stream = body.write().map_err(|()| StreamError::Closed)?;
    write_stream(&stream, bytes)?;
    stream.blocking_flush()
}

/// Never more at once than the host permits: a host ends who writes more.
fn write_stream(stream: &OutputStream, mut rest: &[u8]) -> Result<(), StreamError> {
    while !rest.is_empty() {
        let permitted = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if permitted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (piece, behind) = rest.split_at_checked(permitted).unwrap_or((rest, &[]));
        stream.write(piece)?;
        rest = behind;
    }
    Ok(())
}
