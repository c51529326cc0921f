//! Why a request is not answered: the one table of codes, statuses and texts. What a server of the
//! protocol refuses by itself is in `glovebox_protocol::rest`, which the HTTP front has too.
//!
//! A client gets a code, a text and the request's id. Text from a guest is only passed on where
//! the guest explains what is wrong with the input, and never raw. Details go to the log.

use std::time::Duration;

use glovebox_protocol as protocol;
use glovebox_protocol::rest::Refusal;
use hyper::StatusCode;

use crate::sandbox::invoke::Fault;

/// A refusal or a failure, as the client sees it.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// What every server of the protocol refuses, in the same words.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An operator has unloaded the model.
    #[error("the model is unloaded; whoever runs this server can load it again")]
    Unloaded,
    /// Only an operator who has said so lets clients load and unload models.
    #[error(
        "the model repository is closed here; start `glovebox up` with --repository-admin <token file>"
    )]
    RepositoryClosed,
    /// The client does not know the operator's token.
    #[error("the model repository needs the header `authorization: Bearer <token>`")]
    Unauthorized,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    SlowBody,
    /// The model has as many requests as it may; when to come back.
    #[error("this function has too many requests waiting; try again later")]
    Quota(Duration),
    /// The host has as many requests as it can; when to come back.
    #[error("the host is busy; try again later")]
    Overload(Duration),
    /// The model is loaded on demand, and that failed; its owner finds the reason in the log.
    #[error("the model cannot be loaded")]
    NotLoaded,
    /// The guest trapped.
    #[error("the function crashed")]
    Trap,
    /// The guest needed too much memory.
    #[error("the function needs more memory than its limit")]
    MemoryLimit,
    /// The guest needed too much stack.
    #[error("the function needs more stack than there is")]
    StackExhausted,
    /// The guest returned too much.
    #[error("the function's output is too large")]
    OutputTooLarge,
    /// The guest needed too much CPU time.
    #[error("the function needs more CPU time than its limit")]
    CpuLimit,
    /// The guest needed too many instructions.
    #[error("the function needs more fuel than its limit")]
    FuelLimit,
    /// The deadline passed.
    #[error("the request took longer than its timeout")]
    Timeout,
    /// A part of the protocol, or of what clients take for it, that is not here.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// How a request is counted that a component has answered itself: by the codes of the table where a
/// status has one cause there that is the client's, else by whose fault the status says it was. What
/// the host's own limits are called by is not among them: a component's 429, 503 or 504 is its own.
pub fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "invalid_request",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media",
        StatusCode::UNPROCESSABLE_ENTITY => "invalid_input",
        status if status.is_success() || status.is_redirection() => "ok",
        status if status.is_client_error() => "client_error",
        _ => "component_error",
    }
}

/// The codes of gRPC that errors have, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcCode {
    /// The guest failed: no fault of the client, and nothing that we could say more about.
    Unknown = 2,
    /// The request is wrong.
    InvalidArgument = 3,
    /// Time is over.
    DeadlineExceeded = 4,
    /// No such model.
    NotFound = 5,
    /// An operator has to open it.
    PermissionDenied = 7,
    /// Too many, or too large.
    ResourceExhausted = 8,
    /// Not here.
    Unimplemented = 12,
    /// Our bug.
    Internal = 13,
    /// Come back later.
    Unavailable = 14,
    /// The token is missing or wrong.
    Unauthenticated = 16,
}

impl RequestError {
    /// Our bug.
    pub const INTERNAL: Self = Self::Refused(Refusal::Internal);
    /// What the guest answered breaks its contract.
    pub const BAD_OUTPUT: Self = Self::Refused(Refusal::BadOutput);
    /// The host is about to stop; another one answers.
    pub const DRAINING: Self = Self::Overload(Duration::ZERO);

    /// The code that scripts can rely on and the status that goes with it.
    pub fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Refused(refusal) => {
                let (code, status) = refusal.code();
                let status = StatusCode::from_u16(status);
                (code, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Self::Unloaded => ("unloaded", StatusCode::NOT_FOUND),
            Self::RepositoryClosed => ("forbidden", StatusCode::FORBIDDEN),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::SlowBody => ("slow_body", StatusCode::REQUEST_TIMEOUT),
            Self::Quota(_) => ("quota", StatusCode::TOO_MANY_REQUESTS),
            Self::Overload(_) => ("overload", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotLoaded => ("not_loaded", StatusCode::BAD_GATEWAY),
            Self::Trap => ("trap", StatusCode::BAD_GATEWAY),
            Self::MemoryLimit => ("memory_limit", StatusCode::BAD_GATEWAY),
            Self::StackExhausted => ("stack_exhausted", StatusCode::BAD_GATEWAY),
            Self::OutputTooLarge => ("output_too_large", StatusCode::BAD_GATEWAY),
            Self::CpuLimit => ("cpu_limit", StatusCode::GATEWAY_TIMEOUT),
            Self::FuelLimit => ("fuel_limit", StatusCode::GATEWAY_TIMEOUT),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT),
            Self::Unsupported(_) => ("unsupported", StatusCode::NOT_IMPLEMENTED),
        }
    }

    /// The same for gRPC. It follows from the status, so that the two cannot disagree.
    pub fn grpc_code(&self) -> GrpcCode {
        match self.code().1 {
            StatusCode::NOT_FOUND => GrpcCode::NotFound,
            StatusCode::UNAUTHORIZED => GrpcCode::Unauthenticated,
            StatusCode::FORBIDDEN => GrpcCode::PermissionDenied,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => {
                GrpcCode::ResourceExhausted
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => GrpcCode::DeadlineExceeded,
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => GrpcCode::Unimplemented,
            StatusCode::BAD_GATEWAY => GrpcCode::Unknown,
            StatusCode::SERVICE_UNAVAILABLE => GrpcCode::Unavailable,
            status if status.is_client_error() => GrpcCode::InvalidArgument,
            _ => GrpcCode::Internal,
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
            Fault::InvalidInput(guest) => Refusal::invalid_input(&guest).into(),
            Fault::UnsupportedMedia(guest) => Refusal::unsupported_media(&guest).into(),
            Fault::TooLarge(guest) => Refusal::input_too_large(&guest).into(),
            Fault::ModelFailed(_) => Refusal::ModelFailed.into(),
            Fault::CpuLimit => Self::CpuLimit,
            Fault::FuelLimit => Self::FuelLimit,
            Fault::Timeout => Self::Timeout,
            Fault::MemoryLimit => Self::MemoryLimit,
            Fault::StackExhausted => Self::StackExhausted,
            Fault::OutputTooLarge => Self::OutputTooLarge,
            Fault::Trap(_) => Self::Trap,
            Fault::BadOutput(_) => Self::BAD_OUTPUT,
            Fault::Exhausted => Self::Overload(Duration::ZERO),
            Fault::Host(_) => Self::INTERNAL,
        }
    }
}

impl From<protocol::Error> for RequestError {
    fn from(error: protocol::Error) -> Self {
        Refusal::from(error).into()
    }
}
