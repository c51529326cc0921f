//! Why a request is not answered: the one table of codes, statuses and texts.
//!
//! A client gets a code, a text and the request's id. Text from a guest is only passed on where
//! the guest explains what is wrong with the input, and never raw. Details go to the log.

use std::time::Duration;

use glovebox_protocol as protocol;
use hyper::StatusCode;

use crate::sandbox::invoke::Fault;
use crate::text;

/// A refusal or a failure, as the client sees it.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The body is no request of the protocol, or does not fit the model's signature.
    #[error("{0}")]
    InvalidRequest(String),
    /// The guest cannot use the input.
    #[error("the model refused the input: {0}")]
    InvalidInput(String),
    /// The guest takes other media.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// No model of this name.
    #[error("unknown model {0:?}; GET /v2/models lists the models here")]
    UnknownModel(String),
    /// No such path.
    #[error("unknown path {0:?}")]
    UnknownPath(String),
    /// The path takes another method.
    #[error("this path takes another method")]
    MethodNotAllowed,
    /// The body is too large for the host or for the model.
    #[error("{0}")]
    TooLarge(String),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    SlowBody,
    /// The model has as many requests as it may; when to come back.
    #[error("this model has too many requests waiting; try again later")]
    Quota(Duration),
    /// The host has as many requests as it can; when to come back.
    #[error("the host is busy; try again later")]
    Overload(Duration),
    /// The guest failed.
    #[error("the model failed")]
    ModelFailed,
    /// The guest trapped.
    #[error("the model crashed")]
    Trap,
    /// The guest needed too much memory.
    #[error("the model needs more memory than its limit")]
    MemoryLimit,
    /// The guest needed too much stack.
    #[error("the model needs more stack than there is")]
    StackExhausted,
    /// The guest returned too much.
    #[error("the model's output is too large")]
    OutputTooLarge,
    /// The guest's answer breaks the contract.
    #[error("the model's output is invalid")]
    BadOutput,
    /// The guest needed too much CPU time.
    #[error("the model needs more CPU time than its limit")]
    CpuLimit,
    /// The guest needed too many instructions.
    #[error("the model needs more fuel than its limit")]
    FuelLimit,
    /// The deadline passed.
    #[error("the request took longer than its timeout")]
    Timeout,
    /// Our bug.
    #[error("internal error")]
    Internal,
}

impl RequestError {
    /// The code that scripts can rely on and the status that goes with it.
    pub fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidRequest(_) => ("invalid_request", StatusCode::BAD_REQUEST),
            Self::InvalidInput(_) => ("invalid_input", StatusCode::UNPROCESSABLE_ENTITY),
            Self::UnsupportedMedia(_) => ("unsupported_media", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::UnknownModel(_) => ("unknown_model", StatusCode::NOT_FOUND),
            Self::UnknownPath(_) => ("unknown_path", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::TooLarge(_) => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::SlowBody => ("slow_body", StatusCode::REQUEST_TIMEOUT),
            Self::Quota(_) => ("quota", StatusCode::TOO_MANY_REQUESTS),
            Self::Overload(_) => ("overload", StatusCode::SERVICE_UNAVAILABLE),
            Self::ModelFailed => ("model_failed", StatusCode::BAD_GATEWAY),
            Self::Trap => ("trap", StatusCode::BAD_GATEWAY),
            Self::MemoryLimit => ("memory_limit", StatusCode::BAD_GATEWAY),
            Self::StackExhausted => ("stack_exhausted", StatusCode::BAD_GATEWAY),
            Self::OutputTooLarge => ("output_too_large", StatusCode::BAD_GATEWAY),
            Self::BadOutput => ("bad_output", StatusCode::BAD_GATEWAY),
            Self::CpuLimit => ("cpu_limit", StatusCode::GATEWAY_TIMEOUT),
            Self::FuelLimit => ("fuel_limit", StatusCode::GATEWAY_TIMEOUT),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Whole seconds after which the same request may succeed, at least one.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Quota(time) | Self::Overload(time) => Some(time.as_secs() + 1),
            _ => None,
        }
    }
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::InvalidInput(guest) => Self::InvalidInput(text::escape(&guest)),
            Fault::UnsupportedMedia(guest) => Self::UnsupportedMedia(text::escape(&guest)),
            Fault::TooLarge(guest) => Self::TooLarge(text::escape(&guest)),
            Fault::ModelFailed(_) => Self::ModelFailed,
            Fault::CpuLimit => Self::CpuLimit,
            Fault::FuelLimit => Self::FuelLimit,
            Fault::Timeout => Self::Timeout,
            Fault::MemoryLimit => Self::MemoryLimit,
            Fault::StackExhausted => Self::StackExhausted,
            Fault::OutputTooLarge => Self::OutputTooLarge,
            Fault::Trap(_) => Self::Trap,
            Fault::BadOutput(_) => Self::BadOutput,
            Fault::Exhausted => Self::Overload(Duration::ZERO),
            Fault::Host(_) => Self::Internal,
        }
    }
}

impl From<protocol::Error> for RequestError {
    fn from(error: protocol::Error) -> Self {
        Self::InvalidRequest(error.to_string())
    }
}
