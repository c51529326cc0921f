//! Texts to the numbers of their tokens.

mod body;
mod tokenizer;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;
use tokenizers::Encoding;

use self::body::Passage;
use self::tokenizer::Tokenizer;
use super::{Lengths, Probe};
use crate::CallError;

/// Tokens of one request, padding included. All of them are in the model at once, and what it keeps
/// of them grows with it.
const MAX_TOKENS_AT_ONCE: usize = 16_384;

/// Rows that are shorter are padded to this; a few words are this long.
const SHORTEST: usize = 8;

/// Tokens of the row that a model is tried with when it is packed: models of sentences take no more,
/// and those that do need much memory for it.
const PROBE_TOKENS: usize = 512;

/// `[input] kind = "text"`: texts, or pairs of texts, a row each.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct TextInput {
    tokenizer: Tokenizer,
    names: Names,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What stands in `tokenizer.json`; the packer reads the file.
    tokenizer: String,
    /// The most tokens of a row, special ones included; the rest of the text is cut off.
    max_tokens: Option<usize>,
    #[serde(default = "default_ids")]
    input_ids: String,
    #[serde(default = "default_mask")]
    attention_mask: String,
    #[serde(default = "default_types")]
    token_type_ids: String,
}

/// What the model calls its inputs.
struct Names {
    ids: String,
    mask: String,
    types: String,
}

/// What a model is told of each token.
#[derive(Clone, Copy)]
enum Part {
    /// Its number in the vocabulary.
    Ids,
    /// 1, or 0 for padding.
    Mask,
    /// 1 in the second text of a pair, 0 elsewhere.
    Types,
}

/// Texts as the model takes them.
pub(crate) struct Texts {
    /// Whether they came in a list, and the answer has to be one.
    pub(crate) is_list: bool,
    /// What an answer has to know of each.
    pub(crate) rows: Vec<Text>,
}

/// One text and its tokens, padding included.
pub(crate) struct Text {
    /// The text; of a pair, the first one.
    pub(crate) text: String,
    /// Whether it came with another text.
    pub(crate) is_pair: bool,
    /// The tokens, with where they stand in the text, in Unicode code points.
    pub(crate) tokens: Encoding,
}

impl Texts {
    /// Of each row's tokens: 1 for those of the text, 0 for padding.
    pub(crate) fn masks(&self) -> Vec<&[u32]> {
        let tokens = self.rows.iter().map(|row| &row.tokens);
        tokens.map(Encoding::get_attention_mask).collect()
    }
}

fn default_ids() -> String {
    "input_ids".into()
}

fn default_mask() -> String {
    "attention_mask".into()
}

fn default_types() -> String {
    "token_type_ids".into()
}

impl TryFrom<Written> for TextInput {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Ok(Self {
            tokenizer: Tokenizer::from_json(&written.tokenizer, written.max_tokens)?,
            names: Names {
                ids: written.input_ids,
                mask: written.attention_mask,
                types: written.token_type_ids,
            },
        })
    }
}

impl TextInput {
    /// Two lengths or more, up to the longest row, no two of them further apart than 1 and a half:
    /// what padding costs is bounded, and so is their number.
    pub(crate) fn lengths(&self) -> Lengths {
        let longest = self.tokenizer.max_tokens();
        let doubled = std::iter::successors(Some(SHORTEST), |length| Some(length * 2));
        let steps = doubled.flat_map(|length| [length, length + length / 2]);
        let mut lengths: Vec<_> = steps.take_while(|length| *length < longest).collect();
        if lengths.is_empty() {
            lengths.push(longest / 2);
        }
        lengths.push(longest);
        Lengths {
            lengths,
            mask: self.names.mask.clone(),
        }
    }

    /// Whether tokens fit the model's inputs.
    pub(crate) fn check(&self, inputs: &[TensorSpec]) -> Result<(), String> {
        if !inputs.iter().any(|spec| spec.name == self.names.ids) {
            return Err(format!(
                "[input] kind = \"text\" fills input {:?}, which the model lacks; its inputs are {}",
                self.names.ids,
                names(inputs)
            ));
        }
        inputs.iter().try_for_each(|spec| self.check_one(spec))
    }

    fn check_one(&self, spec: &TensorSpec) -> Result<(), String> {
        let name = &spec.name;
        if self.names.part(name).is_none() {
            return Err(format!(
                "[input] kind = \"text\" has nothing for input {name:?}; it fills {:?}, {:?} and {:?}",
                self.names.ids, self.names.mask, self.names.types
            ));
        }
        if !matches!(spec.datatype, Datatype::Int64 | Datatype::Int32) {
            return Err(format!(
                "input {name:?} is {}; tokens become INT64 or INT32",
                spec.datatype
            ));
        }
        match spec.shape.as_slice() {
            [-1 | 1, -1] => Ok(()),
            [-1 | 1, length] if *length >= self.tokenizer.max_tokens() as i64 => Ok(()),
            [-1 | 1, length] => Err(format!(
                "[input] rows have up to {} tokens, but input {name:?} has room for {length}; set max_tokens = {length}",
                self.tokenizer.max_tokens()
            )),
            shape => Err(format!(
                "input {name:?} has shape {shape:?}; tokens need [texts, tokens], the number of texts open or 1"
            )),
        }
    }

    /// The longest row, of the token with the largest number: a model that cannot take it was made
    /// for another tokenizer, or for shorter texts.
    pub(crate) fn probe(&self, inputs: &[TensorSpec]) -> Result<Probe, CallError> {
        let length = fixed(inputs, 1).unwrap_or(self.tokenizer.max_tokens().min(PROBE_TOKENS));
        let largest = self.tokenizer.largest();
        let number = |part| match part {
            Part::Ids => largest,
            Part::Mask => 1,
            Part::Types => 0,
        };
        let tensor = |spec| self.tensor(spec, [1, length], |part| vec![number(part); length]);
        Ok(Probe {
            tensors: inputs.iter().map(tensor).collect::<Result<_, _>>()?,
            about: format!(
                "a row of {length} tokens, the largest number of its tokenizer, {largest}, among them"
            ),
        })
    }

    /// Tokens of each text of a body, padded to the longest of them, or to what the model has room
    /// for.
    pub(crate) fn decode(
        &self,
        inputs: &[TensorSpec],
        content_type: &str,
        body: &[u8],
    ) -> Result<(Vec<Tensor>, Texts), CallError> {
        let body = body::read(content_type, body)?;
        if fixed(inputs, 0).is_some() && body.passages.len() > 1 {
            return Err(CallError::InvalidInput(format!(
                "{} texts; this model takes one at a time",
                body.passages.len()
            )));
        }
        let mut rows = self.rows(body.passages)?;
        let longest = rows.iter().map(|row| row.tokens.len()).max();
        // A model may not be able to run on nothing.
        let length = fixed(inputs, 1).unwrap_or(longest.unwrap_or(1).max(1));
        for row in &mut rows {
            self.tokenizer.pad(&mut row.tokens, length);
        }
        let tensor = |spec| {
            self.tensor(spec, [rows.len(), length], |part| {
                let parts = rows.iter().map(|row| part.of(&row.tokens));
                parts.collect::<Vec<_>>().concat()
            })
        };
        let tensors = inputs.iter().map(tensor).collect::<Result<_, _>>()?;
        let is_list = body.is_list;
        Ok((tensors, Texts { is_list, rows }))
    }

    fn rows(&self, passages: Vec<Passage>) -> Result<Vec<Text>, CallError> {
        let (count, mut longest) = (passages.len(), 0);
        let mut rows = Vec::with_capacity(count);
        for Passage { text, pair } in passages {
            let tokens = self.tokenizer.encode(&text, pair.as_deref())?;
            longest = tokens.len().max(longest);
            if longest * count > MAX_TOKENS_AT_ONCE {
                return Err(CallError::TooLarge(format!(
                    "{count} texts of up to {longest} tokens; at most {MAX_TOKENS_AT_ONCE} tokens at once, \
                     all texts being padded to the longest"
                )));
            }
            let is_pair = pair.is_some();
            rows.push(Text {
                text,
                is_pair,
                tokens,
            });
        }
        Ok(rows)
    }

    /// The input `spec` made of what `numbers` has for it.
    fn tensor(
        &self,
        spec: &TensorSpec,
        shape: [usize; 2],
        numbers: impl Fn(Part) -> Vec<u32>,
    ) -> Result<Tensor, CallError> {
        let numbers = self.names.part(&spec.name).map(numbers).unwrap_or_default();
        let data: Vec<u8> = match spec.datatype {
            Datatype::Int32 => numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
            _ => {
                let wide = numbers.iter().map(|number| u64::from(*number));
                wide.flat_map(u64::to_le_bytes).collect()
            }
        };
        let shape = shape.map(|size| size as u64).to_vec();
        Ok(Tensor::new(spec.name.clone(), spec.datatype, shape, data)?)
    }
}

impl Names {
    /// What goes into the input of this name.
    fn part(&self, name: &str) -> Option<Part> {
        [
            (&self.ids, Part::Ids),
            (&self.mask, Part::Mask),
            (&self.types, Part::Types),
        ]
        .into_iter()
        .find_map(|(known, part)| (known == name).then_some(part))
    }
}

impl Part {
    /// It, of a row.
    fn of(self, tokens: &Encoding) -> &[u32] {
        match self {
            Self::Ids => tokens.get_ids(),
            Self::Mask => tokens.get_attention_mask(),
            Self::Types => tokens.get_type_ids(),
        }
    }
}

/// The size of an axis that the model does not leave open.
fn fixed(inputs: &[TensorSpec], axis: usize) -> Option<usize> {
    let sizes = inputs.iter().filter_map(|spec| spec.shape.get(axis));
    sizes.copied().find_map(|size| usize::try_from(size).ok())
}

fn names(inputs: &[TensorSpec]) -> String {
    let names: Vec<_> = inputs.iter().map(|spec| spec.name.as_str()).collect();
    names.join(", ")
}
