//! Tensors to vectors that stand for what they were made of.

use glovebox_protocol::{Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use super::json;
use super::numbers::{Numbers, declared, unfit};
use crate::CallError;
use crate::input::Origin;

/// Below this a length counts as this, so that nothing is divided by zero: as in `normalize` of
/// PyTorch.
const SHORTEST: f32 = 1e-12;

/// `[output] kind = "embedding"`: a vector for each text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedding {
    /// The output that holds the vectors.
    tensor: String,
    #[serde(default)]
    pooling: Pooling,
    /// Whether vectors are divided by their length (L2).
    #[serde(default)]
    normalise: bool,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Pooling {
    /// The model does it: there is one vector a text.
    #[default]
    None,
    /// The mean over the tokens that are not padding.
    Mean,
    /// The vector of the first token, `[CLS]`.
    Cls,
}

/// The answer to one text.
#[derive(Serialize)]
struct Vector {
    embedding: Vec<f32>,
}

impl Embedding {
    /// Whether the configuration fits the model's outputs.
    pub(crate) fn check(&self, outputs: &[TensorSpec]) -> Result<(), String> {
        let shape = &declared(outputs, &self.tensor)?.shape;
        let (rank, axes) = match self.pooling {
            Pooling::None => (
                2,
                "[texts, numbers]; with a vector for each token, say how: pooling = \"mean\" or \"cls\"",
            ),
            Pooling::Mean | Pooling::Cls => (3, "[texts, tokens, numbers]"),
        };
        if shape.len() == rank {
            return Ok(());
        }
        Err(format!(
            "[output] tensor {:?} has shape {shape:?}; an embedding without more to do needs {axes}",
            self.tensor
        ))
    }

    /// The outputs that an answer needs.
    pub(crate) fn wanted(&self) -> Vec<String> {
        vec![self.tensor.clone()]
    }

    /// A vector for each row.
    pub(crate) fn answer(&self, origin: &Origin, outputs: &[Tensor]) -> Result<Vec<u8>, CallError> {
        let numbers = Numbers::of(outputs, &self.tensor)?;
        let (tokens, width) = match numbers.shape.as_slice() {
            [_, tokens, width] => (*tokens, *width),
            [_, width] => (1, *width),
            _ => return Err(unfit(&self.tensor, "is no list of vectors")),
        };
        let masks = match origin {
            Origin::Texts(texts) if self.pooling != Pooling::None => texts.masks(),
            _ => Vec::new(),
        };
        if masks.iter().any(|mask| mask.len() != tokens) {
            return Err(unfit(&self.tensor, "has not one vector for each token"));
        }
        let rows = numbers.values.chunks_exact((tokens * width).max(1));
        let vectors = rows.enumerate().map(|(row, values)| Vector {
            embedding: self.vector(values, width, masks.get(row).copied()),
        });
        json(origin, &vectors.collect::<Vec<_>>())
    }

    /// One row's vector; without a mask all of its tokens count.
    fn vector(&self, values: &[f32], width: usize, mask: Option<&[u32]>) -> Vec<f32> {
        let counts = |token: &usize| mask.is_none_or(|mask| mask.get(*token) != Some(&0));
        let tokens = values.chunks_exact(width.max(1)).enumerate();
        let mut tokens = tokens
            .filter(|(token, _)| counts(token))
            .map(|(_, vector)| vector);
        let vector = match self.pooling {
            Pooling::Mean => mean(tokens, width),
            Pooling::None | Pooling::Cls => tokens.next().map_or(vec![0.0; width], <[f32]>::to_vec),
        };
        if self.normalise {
            normalised(vector)
        } else {
            vector
        }
    }
}

fn mean<'a>(vectors: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0.0; width], 0.0f32);
    for vector in vectors {
        for (sum, number) in sums.iter_mut().zip(vector) {
            *sum += number;
        }
        count += 1.0;
    }
    sums.iter().map(|sum| sum / count.max(1.0)).collect()
}

fn normalised(vector: Vec<f32>) -> Vec<f32> {
    let squares: f32 = vector.iter().map(|number| number * number).sum();
    let length = squares.sqrt().max(SHORTEST);
    vector.iter().map(|number| number / length).collect()
}
