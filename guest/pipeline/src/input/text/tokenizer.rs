//! A tokenizer as `tokenizer.json` describes it, by the library that defines that file.

use tokenizers::models::ModelWrapper;
use tokenizers::{
    EncodeInput, Encoding, PaddingDirection, PaddingParams, PostProcessor, TruncationStrategy,
};

use crate::CallError;

/// The longest row. Attention takes memory that grows with its square.
const MAX_TOKENS: usize = 8192;
/// What padding is called where `tokenizer.json` says nothing of it.
const PAD_TOKENS: [&str; 4] = ["[PAD]", "<pad>", "<|pad|>", "<PAD>"];
/// Letters, digits, spaces and marks of several scripts: what is prepared at the first use is
/// prepared by them, and not in a request.
const WARM_UP: &str =
    "It's 2024: \u{201c}naïve café\u{201d}, \tданные\u{2014}データ 数据 مرحبا 👋🏽!\n";

/// A tokenizer that cuts rows to their longest, and knows how to pad them.
pub(super) struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    padding: PaddingParams,
    max_tokens: usize,
}

impl Tokenizer {
    /// The tokenizer of a `tokenizer.json`, whose rows have up to `max_tokens`, or as many as the
    /// file says, or 512.
    pub(super) fn from_json(json: &str, max_tokens: Option<usize>) -> Result<Self, String> {
        let mut tokenizer: tokenizers::Tokenizer = json
            .parse()
            .map_err(|error| format!("[input] tokenizer is no tokenizer.json: {error}"))?;
        let mut truncation = tokenizer.get_truncation().cloned().unwrap_or_default();
        let max_tokens = max_tokens.unwrap_or(truncation.max_length.min(MAX_TOKENS));
        let special = tokenizer.get_post_processor();
        let special = special.map_or(0, |processor| processor.added_tokens(true));
        if !(special + 2..=MAX_TOKENS).contains(&max_tokens) {
            return Err(format!(
                "[input] max_tokens is {max_tokens}; it must be at least two more than the {special} \
                 special tokens of the tokenizer, and at most {MAX_TOKENS}"
            ));
        }
        let padding = tokenizer.get_padding().cloned();
        let padding = padding.unwrap_or_else(|| default_padding(&tokenizer));
        switch_off_dropout(&mut tokenizer);
        truncation.max_length = max_tokens;
        // Which part of a pair is cut is the caller's choice where these files come from, and this
        // is their default. A stride is for rows that overlap, and there is one row a text.
        truncation.strategy = TruncationStrategy::LongestFirst;
        truncation.stride = 0;
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(|error| format!("[input] tokenizer: {error}"))?;
        let tokenizer = Self {
            tokenizer,
            padding,
            max_tokens,
        };
        tokenizer
            .encode(WARM_UP, None)
            .map_err(|error| format!("[input] tokenizer fails: {error}"))?;
        Ok(tokenizer)
    }

    /// The most tokens of a row.
    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The largest number that a token can have.
    pub(super) fn largest(&self) -> u32 {
        let numbers = self.tokenizer.get_vocab(true).into_values();
        numbers.max().unwrap_or_default()
    }

    /// The tokens of a text, or of two as one row, special tokens included.
    pub(super) fn encode(&self, text: &str, pair: Option<&str>) -> Result<Encoding, CallError> {
        let input: EncodeInput<'_> = match pair {
            Some(pair) => (text, pair).into(),
            None => text.into(),
        };
        let encoded = self.tokenizer.encode_char_offsets(input, true);
        let mut tokens = encoded.map_err(|error| {
            CallError::InvalidInput(format!("cannot tokenise the text: {error}"))
        })?;
        // What was cut off.
        tokens.take_overflowing();
        Ok(tokens)
    }

    /// Fills a row up to a length.
    pub(super) fn pad(&self, tokens: &mut Encoding, length: usize) {
        let PaddingParams {
            pad_id,
            pad_type_id,
            pad_token,
            direction,
            ..
        } = &self.padding;
        tokens.pad(length, *pad_id, *pad_type_id, pad_token, *direction);
    }
}

fn default_padding(tokenizer: &tokenizers::Tokenizer) -> PaddingParams {
    let known = |token: &&str| Some((tokenizer.token_to_id(token)?, (*token).to_owned()));
    let (pad_id, pad_token) = PAD_TOKENS.iter().find_map(known).unwrap_or_default();
    PaddingParams {
        pad_id,
        pad_token,
        direction: PaddingDirection::Right,
        ..PaddingParams::default()
    }
}

/// Dropout is for training: it makes another row of the same text each time.
fn switch_off_dropout(tokenizer: &mut tokenizers::Tokenizer) {
    if let ModelWrapper::BPE(model) = tokenizer.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        tokenizer.with_model(model);
    }
}
