//! One element: from a token of JSON to little-endian bytes.

use std::borrow::Cow;
use std::str::FromStr;

use crate::bytes::push_element;
use crate::tokens::Token;
use crate::{Datatype, quote};

/// Appends a token as one element; returns whether the datatype takes it.
pub(crate) type Append = fn(Token<'_>, &mut Vec<u8>) -> bool;

/// How the datatype takes its elements.
pub(crate) fn append(datatype: Datatype) -> Append {
    match datatype {
        Datatype::Bool => append_bool,
        Datatype::Uint8 => |token, data| append_integer(token, data, u8::to_le_bytes),
        Datatype::Uint16 => |token, data| append_integer(token, data, u16::to_le_bytes),
        Datatype::Uint32 => |token, data| append_integer(token, data, u32::to_le_bytes),
        Datatype::Uint64 => |token, data| append_integer(token, data, u64::to_le_bytes),
        Datatype::Int8 => |token, data| append_integer(token, data, i8::to_le_bytes),
        Datatype::Int16 => |token, data| append_integer(token, data, i16::to_le_bytes),
        Datatype::Int32 => |token, data| append_integer(token, data, i32::to_le_bytes),
        Datatype::Int64 => |token, data| append_integer(token, data, i64::to_le_bytes),
        Datatype::Fp16 | Datatype::Bf16 => |_, _| false,
        Datatype::Fp32 => append_fp32,
        Datatype::Fp64 => append_fp64,
        Datatype::Bytes => append_bytes,
    }
}

fn append_bool(token: Token<'_>, data: &mut Vec<u8>) -> bool {
    match token {
        Token::Bare("true" | "1") => data.push(1),
        Token::Bare("false" | "0") => data.push(0),
        _ => return false,
    }
    true
}

fn append_integer<T: FromStr, const N: usize>(
    token: Token<'_>,
    data: &mut Vec<u8>,
    bytes: impl Fn(T) -> [u8; N],
) -> bool {
    append_number(token, data, |number| Some(bytes(number)))
}

/// JSON has no infinity, so none may come of rounding either.
fn append_fp32(token: Token<'_>, data: &mut Vec<u8>) -> bool {
    append_number(token, data, |number: f32| {
        number.is_finite().then(|| number.to_le_bytes())
    })
}

fn append_fp64(token: Token<'_>, data: &mut Vec<u8>) -> bool {
    append_number(token, data, |number: f64| {
        number.is_finite().then(|| number.to_le_bytes())
    })
}

fn append_number<T: FromStr, const N: usize>(
    token: Token<'_>,
    data: &mut Vec<u8>,
    bytes: impl Fn(T) -> Option<[u8; N]>,
) -> bool {
    let Token::Bare(number) = token else {
        return false;
    };
    let bytes = number.parse().ok().and_then(bytes);
    bytes.is_some_and(|bytes| {
        data.extend_from_slice(&bytes);
        true
    })
}

fn append_bytes(token: Token<'_>, data: &mut Vec<u8>) -> bool {
    match text(token) {
        Some(Ok(text)) => push_element(data, text.as_bytes()),
        _ => false,
    }
}

/// The string that the token is, if it is one, its escapes resolved. Those may be wrong: half a
/// surrogate pair is.
fn text(token: Token<'_>) -> Option<serde_json::Result<Cow<'_, str>>> {
    let Token::Text(quoted) = token else {
        return None;
    };
    let plain = quoted
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match plain {
        Some(text) if !text.contains('\\') => Some(Ok(text.into())),
        _ => Some(serde_json::from_str(quoted).map(Cow::Owned)),
    }
}

/// Why the datatype does not take the token.
#[cold]
pub(crate) fn refusal(datatype: Datatype, token: Token<'_>) -> String {
    match text(token) {
        Some(Err(error)) => quote::json_problem_without_place(&error),
        _ => format!("expected {}, found {}", json_form(datatype), shown(token)),
    }
}

/// How an error shows what came.
pub(crate) fn shown(token: Token<'_>) -> String {
    match token {
        Token::Bare(text) => quote::cut_number(text),
        Token::Text(_) => match text(token) {
            Some(Ok(text)) => format!("the string {}", quote::quoted(&text)),
            _ => "a string".into(),
        },
        Token::Object => "an object".into(),
        Token::Open | Token::Close => "an array".into(),
    }
}

/// What an element of the datatype looks like in JSON.
fn json_form(datatype: Datatype) -> String {
    let range = |smallest: i128, largest: i128| {
        format!("{datatype}, a whole number from {smallest} to {largest}")
    };
    match datatype {
        Datatype::Bool => "BOOL, true or false".into(),
        Datatype::Uint8 => range(0, u8::MAX.into()),
        Datatype::Uint16 => range(0, u16::MAX.into()),
        Datatype::Uint32 => range(0, u32::MAX.into()),
        Datatype::Uint64 => range(0, u64::MAX.into()),
        Datatype::Int8 => range(i8::MIN.into(), i8::MAX.into()),
        Datatype::Int16 => range(i16::MIN.into(), i16::MAX.into()),
        Datatype::Int32 => range(i32::MIN.into(), i32::MAX.into()),
        Datatype::Int64 => range(i64::MIN.into(), i64::MAX.into()),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => {
            format!("{datatype}, a finite number in its range")
        }
        Datatype::Bytes => "BYTES, a string shorter than 4 GiB".into(),
    }
}
