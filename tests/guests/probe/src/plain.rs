//! What a good component does with a request.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};
use spin_sdk::http::{Fields, IncomingRequest, OutgoingResponse};

use crate::asked::Asked;
use crate::reply::Reply;

/// The body with its type.
pub(crate) async fn echo(request: IncomingRequest, reply: Reply) {
    let content_type = request.headers().get("content-type");
    let content_type = content_type.into_iter().next().unwrap_or_default();
    let content_type = String::from_utf8(content_type).expect("ASCII");
    let body = request.into_body().await.expect("a whole body");
    reply.body(&content_type, body).await;
}

/// The request as it was seen, with all headers in their order.
pub(crate) async fn shape(request: &IncomingRequest, reply: Reply) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let headers = request.headers().entries();
    let headers = headers
        .into_iter()
        .map(|(name, value)| json!([name, text(value)]));
    let shape = json!({
        "method": request.method().to_string(),
        "path_with_query": request.path_with_query(),
        "authority": request.authority(),
        "scheme": request.scheme().map(|scheme| format!("{scheme:?}")),
        "headers": headers.collect::<Vec<Value>>(),
    });
    let body = shape.to_string().into_bytes();
    reply.body("application/json", body).await;
}

/// How many requests this instance has had.
pub(crate) async fn count(reply: Reply) {
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    let count = REQUESTS.fetch_add(1, Relaxed) + 1;
    reply.text(count.to_string()).await;
}

/// The status `code`.
pub(crate) fn status(asked: &Asked, reply: Reply) {
    let code = u16::try_from(asked.number("code")).expect("a small number");
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(code).expect("a status");
    reply.head(response);
}

/// `count` headers of `bytes` bytes each.
pub(crate) fn headers(asked: &Asked, reply: Reply) {
    let (count, bytes) = (asked.number("count"), asked.number("bytes"));
    let fields = Fields::new();
    for number in 0..count {
        let (name, value) = (format!("x-probe-{number}"), vec![b'x'; bytes]);
        fields.append(&name, &value).expect("a header");
    }
    reply.head(OutgoingResponse::new(fields));
}
