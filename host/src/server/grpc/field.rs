//! The fields of an encoded protobuf message, one after the other, without taking memory for them.
//!
//! A decoder that makes values of them takes a hundred times a message's size for a message that is
//! made for it: two bytes are an empty tensor. Here who reads decides what to keep.

use glovebox_protocol::rest::Refusal;

/// Walks over the fields of a message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// What stands before a value.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// The field's number.
    pub(super) number: u64,
    wire: u64,
}

/// A value as it lies in the message.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    /// Text, bytes, a message, or a packed list of numbers.
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The bytes are no message.
#[derive(Debug)]
pub(super) struct Malformed;

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::InvalidRequest("the message is no valid protobuf message of this method".into())
    }
}

impl From<Malformed> for crate::error::RequestError {
    fn from(malformed: Malformed) -> Self {
        Refusal::from(malformed).into()
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The key of the next field; its value must be read next.
    pub(super) fn key(&mut self) -> Result<Option<Key>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok(Some(Key {
                number,
                wire: key & 7,
            })),
        }
    }

    /// The value behind a key. Groups, which nobody has written for many years, are not read.
    pub(super) fn value(&mut self, key: Key) -> Result<Value<'a>, Malformed> {
        match key.wire {
            0 => Ok(Value::Varint(self.varint()?)),
            1 => Ok(Value::Fixed64(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (value, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
                self.rest = rest;
                Ok(Value::Bytes(value))
            }
            5 => Ok(Value::Fixed32(self.fixed()?)),
            _ => Err(Malformed),
        }
    }

    /// The next number of a packed list, or none at its end.
    pub(super) fn packed(&mut self) -> Result<Option<u64>, Malformed> {
        match self.rest.is_empty() {
            true => Ok(None),
            false => self.varint().map(Some),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for place in 0..10 {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*value)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.key() {
            Ok(key) => key?,
            Err(malformed) => {
                self.rest = &[];
                return Some(Err(malformed));
            }
        };
        let value = self.value(key);
        if value.is_err() {
            self.rest = &[];
        }
        Some(value.map(|value| (key.number, value)))
    }
}

impl<'a> Value<'a> {
    /// The bytes of a message, or of a list.
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    /// A text, which must be UTF-8.
    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}
