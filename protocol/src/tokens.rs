//! The text of `data`, cut into tokens.
//!
//! serde_json has checked that the text is one JSON value before it comes here, so commas and
//! closing brackets need no second look. Cutting is all that is left to do, and it takes half the
//! time of a second full parse.

/// A piece of JSON text.
#[derive(Clone, Copy)]
pub(crate) enum Token<'a> {
    /// `[`
    Open,
    /// `]`
    Close,
    /// A number, `true`, `false` or `null`.
    Bare(&'a str),
    /// A string with its quotes, its escapes not resolved.
    Text(&'a str),
    /// The beginning of an object; what follows has no meaning.
    Object,
}

/// Walks over the tokens of a valid JSON text.
pub(crate) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Cuts off the first `length` bytes, or all that is left.
    fn cut(&mut self, length: Option<usize>) -> &'a str {
        let length = length.unwrap_or(self.rest.len());
        let (token, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        token
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.rest.bytes().position(|byte| !is_between(byte));
        self.cut(start);
        let token = match self.rest.as_bytes().first()? {
            b'[' => Token::Open,
            b']' => Token::Close,
            b'{' => Token::Object,
            b'"' => return Some(Token::Text(self.cut(string_length(self.rest)))),
            _ => {
                let ends = |byte| is_between(byte) || byte == b']';
                return Some(Token::Bare(self.cut(self.rest.bytes().position(ends))));
            }
        };
        self.cut(Some(1));
        Some(token)
    }
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t')
}

/// The length in bytes of the string at the beginning of `text`, both quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let closes = |byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    };
    Some(text.bytes().skip(1).position(closes)? + 2)
}
