//! What a request is answered with, before it is written.

use glovebox_protocol::rest::{self, Method, Refusal};
use serde::Serialize;

pub(crate) const JSON: &str = "application/json";

/// A status, headers and a body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    /// The length of the JSON before binary tensors, if there are any.
    pub(crate) header_length: Option<usize>,
    /// For who came with another method: the one that the path takes.
    pub(crate) allow: Option<Method>,
    /// Whether the body is left out, as HEAD wants it.
    pub(crate) is_head: bool,
}

impl Answer {
    /// 200 with a body of any type.
    pub(crate) fn new(content_type: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: content_type.into(),
            body,
            header_length: None,
            allow: None,
            is_head: false,
        }
    }

    /// 200 with a value as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_vec(value).map_err(|_| Refusal::Internal)?;
        Ok(Self::new(JSON, body))
    }

    /// The error in the form of the protocol. Requests have no ids here: nothing would make them
    /// differ.
    pub(crate) fn refusal(refusal: &Refusal) -> Self {
        let (code, status) = refusal.code();
        let body = rest::error_json(&refusal.to_string(), code, None);
        Self {
            status,
            ..Self::new(JSON, body)
        }
    }
}
