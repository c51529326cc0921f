//! Text from a guest, made harmless; and errors of files, made one line.

use std::io;
use std::path::Path;

use glovebox_protocol::TensorSpec;
pub use glovebox_protocol::escape;

/// A name in quotes, made as harmless.
pub fn quoted(name: &str) -> String {
    escape(&format!("{name:?}"))
}

/// What a tensor holds: `FP32 [any, 3]`, any size being the caller's choice.
pub fn tensor(spec: &TensorSpec) -> String {
    let size = |size: &i64| match size {
        -1 => "any".to_owned(),
        size => size.to_string(),
    };
    let shape: Vec<_> = spec.shape.iter().map(size).collect();
    escape(&format!("{} [{}]", spec.datatype, shape.join(", ")))
}

/// Why a file cannot be read, with what to do where it is none.
pub fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::IsADirectory => "it is a folder; name the file in it".into(),
        _ => error.to_string(),
    }
}

/// What the reader of TOML says in words of Rust, or too shortly.
const PLAINER: [(&str, &str); 5] = [
    ("expected usize", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected u16", "expected a whole number"),
    (
        "expected a duration",
        "expected a time such as \"100ms\" or \"2s\"",
    ),
];

/// An error in a TOML file as one line: where, and what. A key that is missing is shown as it is written,
/// if it is among the `samples`.
pub fn toml_error(
    path: &Path,
    written: &str,
    error: &toml::de::Error,
    samples: &[(&str, &str)],
) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let place = place(written, start).map_or(String::new(), |place| format!("{place}: "));
    let message: Vec<_> = error.message().lines().map(str::trim).collect();
    let message = plainer(message.join(" "), samples);
    let line = line(written, start);
    format!("{}:{line}: {}", path.display(), escape(&(place + &message)))
}

/// In which line of a text a byte stands, from 1.
pub fn line(written: &str, at: usize) -> usize {
    let before = written.get(..at).unwrap_or_default();
    before.matches('\n').count() + 1
}

/// The key whose value begins here, or the table whose head does.
fn place(written: &str, start: usize) -> Option<&str> {
    let (before, behind) = written.split_at_checked(start)?;
    let before = before.rsplit('\n').next().unwrap_or_default();
    let is_of_key = |letter: char| letter.is_alphanumeric() || "_-.\"".contains(letter);
    let key = before.trim_end().strip_suffix('=').map(str::trim_end);
    let key = key.and_then(|key| key.rsplit(|letter: char| !is_of_key(letter)).next());
    let head = behind.lines().next().filter(|head| head.starts_with('['));
    key.or(head.filter(|_| before.trim().is_empty()))
}

/// The same for people who do not know how this program is written.
fn plainer(message: String, samples: &[(&str, &str)]) -> String {
    let known = PLAINER.iter();
    let mut plain = known.filter_map(|(words, plain)| {
        let before = message.strip_suffix(words)?;
        Some(format!("{before}{plain}"))
    });
    let mut samples = samples.iter();
    let missing = samples.find(|(key, _)| message == format!("missing field `{key}`"));
    match (plain.next(), missing) {
        (Some(plain), _) => plain,
        (None, Some((_, sample))) => format!("{message}; write {sample}"),
        (None, None) => message,
    }
}
