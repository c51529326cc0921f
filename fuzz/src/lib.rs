//! What the fuzz targets share.

pub mod guest;
pub mod memory;

/// Fails unless a text may be shown on a terminal as it is: one line, not long.
pub fn assert_harmless(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 8192, "a message of {} bytes", text.len());
}
