//! Refusals: codes, statuses and texts that every server of the protocol here has in common.

use serde::Serialize;

use crate::Error;
use crate::quote::escape;

/// How much of a name or path that nobody knows is repeated.
const NAME_CHARS: usize = 64;
const PATH_CHARS: usize = 128;

/// Why a request gets no answer. The text may be sent to the client as it stands.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The body is no request of the protocol, or does not fit the model's signature.
    #[error("{0}")]
    InvalidRequest(String),
    /// The model cannot use the input.
    #[error("the model refused the input: {0}")]
    InvalidInput(String),
    /// The model takes other media, or nobody takes the body's encoding.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The body is too large for the server or for the model.
    #[error("{0}")]
    TooLarge(String),
    /// No model of this name; see [`unknown_model`](Self::unknown_model).
    #[error("unknown model {0:?}; GET /v2/models lists the models here")]
    UnknownModel(String),
    /// The model has no such version; see [`unknown_version`](Self::unknown_version).
    #[error("unknown version {0:?} of this model; its metadata lists the versions here")]
    UnknownVersion(String),
    /// No such path; see [`unknown_path`](Self::unknown_path).
    #[error("unknown path {0:?}")]
    UnknownPath(String),
    /// The path takes another method.
    #[error("this path takes another method")]
    MethodNotAllowed,
    /// An extension of the protocol that no server here has; what it is and what to do instead.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The model failed.
    #[error("the model failed")]
    ModelFailed,
    /// What the model answered breaks its contract.
    #[error("the model's output is invalid")]
    BadOutput,
    /// The server's own bug.
    #[error("internal error")]
    Internal,
}

impl Refusal {
    /// A client wants to share memory with the server.
    pub const SHARED_MEMORY: Self =
        Self::Unsupported("shared memory is not supported; send tensors with their request");

    /// What the model said against the input, made harmless.
    pub fn invalid_input(model: &str) -> Self {
        Self::InvalidInput(escape(model))
    }

    /// What the model said against the content type, made harmless.
    pub fn unsupported_media(model: &str) -> Self {
        Self::UnsupportedMedia(escape(model))
    }

    /// What the model said against the size of the input, made harmless.
    pub fn input_too_large(model: &str) -> Self {
        Self::TooLarge(escape(model))
    }

    /// A body beyond the server's limit, which is shown as text such as `16 MiB`.
    pub fn body_too_large(most: impl std::fmt::Display) -> Self {
        Self::TooLarge(format!("the body is larger than {most}"))
    }

    /// A body in an encoding that the server does not take, and what it takes.
    pub fn content_encoding(coding: &[u8], advice: &str) -> Self {
        let coding = escape(&String::from_utf8_lossy(coding));
        Self::UnsupportedMedia(format!(
            "content-encoding {coding:?} is not supported; {advice}"
        ))
    }

    /// A body that ended before it was whole.
    pub fn body_broke_off() -> Self {
        Self::InvalidRequest("the body broke off".into())
    }

    /// The name, cut where it becomes long.
    pub fn unknown_model(name: &str) -> Self {
        Self::UnknownModel(name.chars().take(NAME_CHARS).collect())
    }

    /// The version, cut where it becomes long.
    pub fn unknown_version(version: &str) -> Self {
        Self::UnknownVersion(version.chars().take(NAME_CHARS).collect())
    }

    /// The path, cut where it becomes long.
    pub fn unknown_path(path: &str) -> Self {
        Self::UnknownPath(path.chars().take(PATH_CHARS).collect())
    }

    /// The code that scripts can rely on and the HTTP status that goes with it.
    pub fn code(&self) -> (&'static str, u16) {
        match self {
            Self::InvalidRequest(_) => ("invalid_request", 400),
            Self::InvalidInput(_) => ("invalid_input", 422),
            Self::UnsupportedMedia(_) => ("unsupported_media", 415),
            Self::TooLarge(_) => ("too_large", 413),
            Self::UnknownModel(_) | Self::UnknownVersion(_) => ("unknown_model", 404),
            Self::UnknownPath(_) => ("unknown_path", 404),
            Self::MethodNotAllowed => ("method_not_allowed", 405),
            Self::Unsupported(_) => ("unsupported", 501),
            Self::ModelFailed => ("model_failed", 502),
            Self::BadOutput => ("bad_output", 502),
            Self::Internal => ("internal", 500),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}

/// Refuses a body that is compressed, and so could be of any size; `coding` is the value of a
/// header `content-encoding`.
///
/// # Errors
///
/// [`Refusal::UnsupportedMedia`] for all but `identity`.
pub fn check_content_encoding(coding: &[u8]) -> Result<(), Refusal> {
    if coding.eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    Err(Refusal::content_encoding(coding, "send the body as it is"))
}

/// The body of every refusal and failure: the protocol's `error`, a code for scripts, and which
/// request it was, where requests have ids.
pub fn error_json(error: &str, code: &str, request_id: Option<&str>) -> Vec<u8> {
    let body = ErrorBody {
        error,
        code,
        request_id,
    };
    // Texts alone always have a JSON form.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}
