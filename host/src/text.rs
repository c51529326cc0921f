//! Text from a guest, made harmless; and errors of files, made one line.

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

/// An error in a TOML file as one line: where, and what.
pub fn toml_error(path: &Path, written: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| written.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message: Vec<_> = error.message().lines().map(str::trim).collect();
    format!("{}:{line}: {}", path.display(), escape(&message.join(" ")))
}
