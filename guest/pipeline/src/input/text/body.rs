//! What a client may send as text.

use serde_json::{Map, Value};

use crate::CallError;

/// A model takes all texts at once.
const MAX_TEXTS: usize = 1024;
/// Far more than any model has tokens for; tokenising takes some hundred bytes for each.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// The same for all texts of a request.
const MAX_BODY_BYTES: usize = 4 << 20;

/// The texts of a body.
pub(super) struct Body {
    pub(super) is_list: bool,
    pub(super) passages: Vec<Passage>,
}

/// A text, or two that the model sees together.
pub(super) struct Passage {
    pub(super) text: String,
    pub(super) pair: Option<String>,
}

/// Reads `text/plain`, which is one text, or JSON: a text, an object of a text and its pair, or a
/// list of these.
pub(super) fn read(content_type: &str, body: &[u8]) -> Result<Body, CallError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(CallError::TooLarge(format!(
            "texts of {} bytes; at most {MAX_BODY_BYTES}",
            body.len()
        )));
    }
    if content_type == "text/plain" {
        return Ok(Body {
            is_list: false,
            passages: vec![Passage::plain(body)?],
        });
    }
    let json = serde_json::from_slice(body)
        .map_err(|error| CallError::InvalidInput(format!("the body is not JSON: {error}")))?;
    let (is_list, values) = match json {
        Value::Array(values) => (true, values),
        value => (false, vec![value]),
    };
    if values.is_empty() {
        return Err(CallError::InvalidInput("the list holds no text".into()));
    }
    if values.len() > MAX_TEXTS {
        return Err(CallError::TooLarge(format!(
            "{} texts; at most {MAX_TEXTS}",
            values.len()
        )));
    }
    let passages = values.into_iter().enumerate();
    let passages = passages.map(|(row, value)| Passage::from_json(row, value));
    Ok(Body {
        is_list,
        passages: passages.collect::<Result<_, _>>()?,
    })
}

impl Passage {
    fn plain(body: &[u8]) -> Result<Self, CallError> {
        let text = std::str::from_utf8(body).map_err(|error| {
            CallError::InvalidInput(format!(
                "the text is not UTF-8 from byte {} on",
                error.valid_up_to()
            ))
        })?;
        Self {
            text: text.to_owned(),
            pair: None,
        }
        .checked(0)
    }

    fn from_json(row: usize, value: Value) -> Result<Self, CallError> {
        let passage = match value {
            Value::String(text) => Some(Self { text, pair: None }),
            Value::Object(fields) => Self::from_fields(fields),
            _ => None,
        };
        let passage = passage.ok_or_else(|| {
            CallError::InvalidInput(format!(
                "text {row}: expected a string, or an object such as \
                 {{\"text\": \"...\", \"pair\": \"...\"}}, pair being optional"
            ))
        })?;
        passage.checked(row)
    }

    fn from_fields(mut fields: Map<String, Value>) -> Option<Self> {
        let Some(Value::String(text)) = fields.remove("text") else {
            return None;
        };
        let pair = match fields.remove("pair") {
            Some(Value::String(pair)) => Some(pair),
            None => None,
            Some(_) => return None,
        };
        fields.is_empty().then_some(Self { text, pair })
    }

    fn checked(self, row: usize) -> Result<Self, CallError> {
        let bytes = self.text.len() + self.pair.as_ref().map_or(0, String::len);
        if bytes <= MAX_TEXT_BYTES {
            return Ok(self);
        }
        Err(CallError::TooLarge(format!(
            "text {row} has {bytes} bytes; at most {MAX_TEXT_BYTES}"
        )))
    }
}
