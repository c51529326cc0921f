//! Labels of tokens to the parts of a text that they name.

use glovebox_protocol::{Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::json;
use super::numbers::{Numbers, declared, unfit};
use crate::CallError;
use crate::input::Origin;
use crate::input::text::Text;

/// The label of tokens that belong to no entity.
const OUTSIDE: &str = "O";

/// `[output] kind = "token_classification"`: the entities of each text. Tokens are put together as
/// by the aggregation `simple` of the Python package transformers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenClassification {
    /// The output that holds, for each token, one score a label.
    tensor: String,
    #[serde(default = "default_activation")]
    activation: Activation,
    /// What each score is called: `O`, and `B-` or `I-` before the name of an entity, or the name
    /// alone.
    labels: Vec<String>,
}

/// The answer to one text.
#[derive(Serialize)]
struct Entities<'a> {
    entities: Vec<Entity<'a>>,
}

/// A part of a text. `start` and `end` are counted in Unicode code points.
#[derive(Serialize)]
struct Entity<'a> {
    label: &'a str,
    /// The mean over its tokens.
    score: f32,
    start: usize,
    end: usize,
    text: String,
}

/// A token with its best label.
struct Labelled<'a> {
    /// Whether it begins an entity, even right behind one of the same name.
    begins: bool,
    name: &'a str,
    score: f32,
    start: usize,
    end: usize,
}

fn default_activation() -> Activation {
    Activation::Softmax
}

impl TokenClassification {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let count = self.labels.len();
        match declared(outputs, &self.tensor)?.shape.as_slice() {
            [_, _, labels] if *labels == -1 || *labels == count as i64 => Ok(()),
            [_, _, labels] => Err(format!(
                "[output] has {count} labels for the {labels} scores of {:?}",
                self.tensor
            )),
            shape => Err(format!(
                "[output] tensor {:?} has shape {shape:?}, not [texts, tokens, labels]",
                self.tensor
            )),
        }
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// The entities of each text.
    pub(crate) fn answer(&self, origin: &Origin, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
        let Origin::Texts(texts) = origin else {
            return Err(CallError::Failed("only texts have tokens".into()));
        };
        if texts.rows.iter().any(|row| row.is_pair) {
            return Err(CallError::InvalidInput(
                "this model finds entities in one text, not in a pair".into(),
            ));
        }
        let numbers = Numbers::of(outputs, &self.tensor)?;
        let tokens = texts.rows.first().map_or(0, |row| row.tokens.len());
        let [_, count, width] = *numbers.shape.as_slice() else {
            return Err(unfit(&self.tensor, "is no table of scores"));
        };
        if (count, width) != (tokens, self.labels.len()) {
            return Err(unfit(
                &self.tensor,
                "has not one score a label for each token",
            ));
        }
        let rows = numbers.values.chunks_exact((count * width).max(1));
        let answers = rows.zip(&texts.rows).map(|(scores, text)| Entities {
            entities: entities(text, &self.labelled(text, scores)),
        });
        json(origin, &answers.collect::<Vec<_>>())
    }

    /// The tokens of the text itself, with their best labels.
    fn labelled(&self, text: &Text, scores: &[f32]) -> Vec<Labelled<'_>> {
        let offsets = text.tokens.get_offsets().iter();
        let special = text.tokens.get_special_tokens_mask().iter();
        let tokens = offsets
            .zip(special)
            .zip(scores.chunks_exact(self.labels.len().max(1)));
        let of_text = tokens.filter(|((_, special), _)| **special == 0);
        of_text
            .filter_map(|((offsets, _), scores)| self.label(*offsets, scores))
            .collect()
    }

    fn label(&self, (start, end): (usize, usize), scores: &[f32]) -> Option<Labelled<'_>> {
        let mut scores = scores.to_vec();
        self.activation.apply(&mut scores);
        // The first of the best, as NumPy's argmax has it.
        let best = scores
            .iter()
            .zip(&self.labels)
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        let (score, label) = best?;
        let (begins, name) = match label.split_once('-') {
            Some(("B", name)) => (true, name),
            Some(("I", name)) => (false, name),
            _ => (false, label.as_str()),
        };
        Some(Labelled {
            begins,
            name,
            score: *score,
            start,
            end,
        })
    }
}

/// Neighbours of one name are one entity, unless a token begins another.
fn entities<'a>(text: &Text, tokens: &[Labelled<'a>]) -> Vec<Entity<'a>> {
    let groups = tokens.chunk_by(|last, next| last.name == next.name && !next.begins);
    let named = groups.filter(|group| group.first().is_some_and(|token| token.name != OUTSIDE));
    named
        .filter_map(|group| entity(&text.text, group))
        .collect()
}

fn entity<'a>(text: &str, tokens: &[Labelled<'a>]) -> Option<Entity<'a>> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    let scores: f32 = tokens.iter().map(|token| token.score).sum();
    let length = last.end.saturating_sub(first.start);
    Some(Entity {
        label: first.name,
        score: scores / tokens.len() as f32,
        start: first.start,
        end: last.end,
        text: text.chars().skip(first.start).take(length).collect(),
    })
}
