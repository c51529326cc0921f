//! Why a call gives no answer.

/// Why a call gives no answer: the cases of `error` in the WIT interface `model`.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The input does not fit the signature, or cannot be decoded.
    #[error("{0}")]
    InvalidInput(String),
    /// `predict` does not take this content type.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The input is larger than the model accepts.
    #[error("{0}")]
    TooLarge(String),
    /// The model itself failed.
    #[error("{0}")]
    Failed(String),
}

impl From<crate::Error> for CallError {
    fn from(error: crate::Error) -> Self {
        Self::InvalidInput(error.to_string())
    }
}
