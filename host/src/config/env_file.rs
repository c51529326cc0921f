//! A file `.env` beside a manifest, as far as it gives values to variables. No value is in an error.

use std::collections::BTreeMap;

/// The lines `SPIN_VARIABLE_<NAME>=value` of a `.env` file; all others are for other programs.
/// A value may be in single quotes, in which all is meant as written, or in double quotes, in which
/// `\n`, `\"` and `\\` stand for themselves. ` #` begins a comment.
///
/// # Errors
/// A value cannot be read: the line's number, and why.
pub fn env_file(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((name, written)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim_end();
        if !name.starts_with("SPIN_VARIABLE_") {
            continue;
        }
        let value = value(written.trim()).map_err(|problem| format!("{}: {problem}", index + 1))?;
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn value(written: &str) -> Result<String, &'static str> {
    let (value, after) = if let Some(quoted) = written.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or("a quote is not closed")?;
        (value.to_owned(), after)
    } else if let Some(quoted) = written.strip_prefix('"') {
        double_quoted(quoted)?
    } else {
        (plain(written)?, "")
    };
    let after = after.trim_start();
    match after.is_empty() || after.starts_with('#') {
        true => Ok(value),
        false => Err("something follows the closing quote"),
    }
}

fn plain(written: &str) -> Result<String, &'static str> {
    let comment = written.find(" #").or(written.starts_with('#').then_some(0));
    let value = written.get(..comment.unwrap_or(written.len()));
    let value = value.unwrap_or_default().trim_end();
    if value.contains(['\'', '"', '\\', '$']) || value.contains(char::is_whitespace) {
        return Err("put the value into single quotes");
    }
    Ok(value.to_owned())
}

fn double_quoted(quoted: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok((value, letters.as_str())),
            '$' => return Err("a $ is only supported in single quotes"),
            '\\' => value.push(match letters.next() {
                Some('n') => '\n',
                Some(letter @ ('"' | '\\' | '$')) => letter,
                _ => return Err("only \\n, \\\", \\\\ and \\$ are supported in double quotes"),
            }),
            _ => value.push(letter),
        }
    }
    Err("a quote is not closed")
}
