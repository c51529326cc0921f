//! Text from outside, made fit for an error message: escaped, and capped in length.

use std::fmt;

/// How many characters of a name are shown. A name may be as long as the body, a message may not.
const NAME_CHARS: usize = 64;

/// How many characters of another crate's message are shown; it may quote what the caller sent.
const MESSAGE_CHARS: usize = 200;

/// How many names or dimensions of a list are shown.
const LIST_ITEMS: usize = 32;

/// How many bytes of a model's text are shown.
const TEXT_BYTES: usize = 400;

/// Escapes control characters and cuts after 400 bytes what is too long, so that text from a model
/// cannot forge lines, move a terminal's cursor or fill a log.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if escaped.len() >= TEXT_BYTES {
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

/// Characters that change how their neighbours are shown.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Shows a name in quotes, escaped, cut after 64 characters.
pub fn quoted(name: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => write!(f, "{:?}...", name.get(..end).unwrap_or_default()),
        None => write!(f, "{name:?}"),
    })
}

/// Shows a number or a keyword as it came, cut after 64 characters.
pub(crate) fn cut_number(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Shows names one after the other, each [`quoted`], 32 of them at most; `none` when there are none.
pub fn name_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut shown: Vec<String> = names
        .take(LIST_ITEMS + 1)
        .map(|name| quoted(name).to_string())
        .collect();
    cut(&mut shown);
    if shown.is_empty() {
        return "none".into();
    }
    shown.join(", ")
}

/// Shows a shape as `[1, 3]`.
pub(crate) fn shape<T: fmt::Display>(dimensions: &[T]) -> String {
    let mut shown: Vec<String> = dimensions
        .iter()
        .take(LIST_ITEMS + 1)
        .map(T::to_string)
        .collect();
    cut(&mut shown);
    format!("[{}]", shown.join(", "))
}

fn cut(shown: &mut Vec<String>) {
    if shown.len() > LIST_ITEMS {
        shown.truncate(LIST_ITEMS);
        shown.push("...".into());
    }
}

/// What serde_json found and at which line and column, where it knows that.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    let place = place(error);
    format!("{}{place}", json_problem_without_place(error))
}

/// The same without the place: for an error in a part of the body, where the count would start
/// anew.
pub(crate) fn json_problem_without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.strip_suffix(&place(error)).unwrap_or(&text);
    let mut shown = String::new();
    for (position, character) in message.chars().enumerate() {
        if position == MESSAGE_CHARS {
            shown.push_str("...");
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// The end of serde_json's own message.
fn place(error: &serde_json::Error) -> String {
    match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    }
}
