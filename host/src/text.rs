//! Text from a guest, made harmless; and errors of files, made one line.

use std::path::Path;

use crate::limits;

/// Escapes control characters and cuts what is too long, so that guest text cannot forge lines,
/// move a terminal's cursor or fill a log.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if escaped.len() >= limits::GUEST_TEXT_BYTES {
            escaped.push('…');
            break;
        }
        match letter.is_control() || is_invisible(letter) {
            true => escaped.extend(letter.escape_default()),
            false => escaped.push(letter),
        }
    }
    escaped
}

/// A name in quotes, made as harmless.
pub fn quoted(name: &str) -> String {
    escape(&format!("{name:?}"))
}

/// Characters that change how their neighbours are shown.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// An error in a TOML file as one line: where, and what.
pub fn toml_error(path: &Path, written: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| written.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message: Vec<_> = error.message().lines().map(str::trim).collect();
    format!("{}:{line}: {}", path.display(), escape(&message.join(" ")))
}
