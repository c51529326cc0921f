//! Names that Spin takes: of components, and of variables.

/// Checks the id of a component: words of one case, with `-` between them.
pub(super) fn check_kebab(name: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        let of = |inside: fn(&char) -> bool| word.chars().all(|letter| inside(&letter));
        let is_lower = |letter: &char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let is_upper = |letter: &char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && (of(is_lower) || of(is_upper))
    };
    if name.split('-').all(is_word) {
        return Ok(());
    }
    let hint = match name.contains('_') && name.replace('_', "-").split('-').all(is_word) {
        true => format!(": write {:?}", name.replace('_', "-")),
        false => String::new(),
    };
    Err(format!(
        "{name:?} is no kebab-case id, which is words of letters and digits that start with a \
         letter, each in one case, with - between them{hint}"
    ))
}

/// Checks the name of a variable: small words with `_` between them.
pub(super) fn check_snake(name: &str) -> Result<(), String> {
    let is_word = |word: &str| {
        let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.chars().all(is_part)
    };
    if name.split('_').all(is_word) {
        return Ok(());
    }
    let better = name.replace('-', "_").to_ascii_lowercase();
    let hint = match better.split('_').all(is_word) {
        true => format!(": write {better:?}"),
        false => String::new(),
    };
    Err(format!(
        "{name:?} is no snake_case name, which is words of small letters and digits that start \
         with a letter, with _ between them{hint}"
    ))
}
