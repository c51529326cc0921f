//! Content types as clients write them.

use crate::CallError;

/// The type without its parameters, if it is one of `media`.
///
/// # Errors
/// It is none of them.
pub fn essence(content_type: &str, media: &[String]) -> Result<String, CallError> {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match media.contains(&essence) {
        true => Ok(essence),
        false => Err(CallError::UnsupportedMedia(format!(
            "content type {essence:?} is not supported; send {}",
            media.join(" or ")
        ))),
    }
}
