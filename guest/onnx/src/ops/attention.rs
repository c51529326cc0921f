//! `Attention` with what tract's lacks: masks that hide all, windows, a soft cap, caches of a fixed size,
//! the scores as an output. Without any of these it is tract's, which is faster.

use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::numbers;
use super::operator::{Built, Operator, build, tracts};

/// Result, keys and values with those of the past, scores.
const OUTPUTS: usize = 4;

#[derive(Debug)]
struct Attention {
    query_heads: Option<usize>,
    key_heads: Option<usize>,
    scale: Option<f32>,
    softcap: f32,
    is_causal: bool,
    /// How far a query sees to either side; nothing for all the way.
    left: Option<i64>,
    right: Option<i64>,
    scores: Scores,
    /// Which inputs these are.
    mask: Option<usize>,
    past_keys: Option<usize>,
    past_values: Option<usize>,
    lengths: Option<usize>,
    /// Which outputs are wanted.
    wanted: Vec<bool>,
}

/// At which step the scores are an output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scores {
    Raw,
    Capped,
    Masked,
    Probabilities,
}

pub(super) fn attention(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let window = |name: &str| -> TractResult<Option<i64>> {
        Ok(node.get_attr_opt::<i64>(name)?.filter(|size| *size >= 0))
    };
    let mut optional = optional_inputs(node).skip(3);
    let mut next = || optional.next().flatten();
    let (mask, past_keys, past_values, lengths) = (next(), next(), next(), next());
    let outputs = optional_outputs(node).take(OUTPUTS);
    let wanted: Vec<bool> = outputs.map(|output| output.is_some()).collect();
    let own = Attention {
        query_heads: node.get_attr_opt("q_num_heads")?,
        key_heads: node.get_attr_opt("kv_num_heads")?,
        scale: node.get_attr_opt("scale")?,
        softcap: node.get_attr_opt("softcap")?.unwrap_or(0.0),
        is_causal: node.get_attr_opt::<i64>("is_causal")?.unwrap_or(0) != 0,
        left: window("left_window_size")?,
        right: window("right_window_size")?,
        scores: match node
            .get_attr_opt::<i64>("qk_matmul_output_mode")?
            .unwrap_or(0)
        {
            0 => Scores::Raw,
            1 => Scores::Capped,
            2 => Scores::Masked,
            3 => Scores::Probabilities,
            other => bail!("Attention: qk_matmul_output_mode {other} is not supported"),
        },
        mask,
        past_keys,
        past_values,
        lengths,
        wanted,
    };
    if own.is_more_than_tracts() {
        build(own)
    } else {
        tracts(context, node)
    }
}

/// A tensor of rows: for each image of a batch and each head a sequence.
struct Heads {
    batch: usize,
    heads: usize,
    length: usize,
    size: usize,
    numbers: Vec<f32>,
}

impl Heads {
    /// Of a tensor with heads as a dimension, or side by side in the last one.
    fn new(tensor: &Tensor, heads: Option<usize>) -> TractResult<Self> {
        let all = numbers::<f32>(tensor)?;
        match (tensor.shape(), heads) {
            (&[batch, heads, length, size], _) => Ok(Self {
                batch,
                heads,
                length,
                size,
                numbers: all,
            }),
            (&[batch, length, width], Some(heads)) if heads > 0 && width % heads == 0 => {
                let mut split = Self {
                    batch,
                    heads,
                    length,
                    size: width / heads,
                    numbers: Vec::with_capacity(all.len()),
                };
                for (batch, head, at) in split.rows() {
                    let start = (batch * length + at) * width + head * split.size;
                    let row = all.get(start..start + split.size).unwrap_or_default();
                    split.numbers.extend(row);
                }
                Ok(split)
            }
            (shape, _) => bail!("Attention: a tensor of shape {shape:?}"),
        }
    }

    /// Batch, head and index of each row.
    fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (heads, length) = (self.heads.max(1), self.length.max(1));
        let count = self.batch * self.heads * self.length;
        (0..count).map(move |row| (row / length / heads, row / length % heads, row % length))
    }

    fn row(&self, batch: usize, head: usize, at: usize) -> &[f32] {
        let row = (batch * self.heads + head) * self.length + at;
        let numbers = self.numbers.get(row * self.size..(row + 1) * self.size);
        numbers.unwrap_or_default()
    }

    /// Whether queries have keys and values that fit.
    fn check(&self, keys: &Self, values: &Self) -> TractResult<()> {
        let is_same =
            |one: &Self, other: &Self| one.batch == other.batch && one.heads == other.heads;
        ensure!(
            is_same(keys, values)
                && keys.length == values.length
                && self.batch == keys.batch
                && self.size == keys.size
                && keys.heads > 0
                && self.heads.is_multiple_of(keys.heads),
            "Attention: {} heads of {} for keys of {} heads of {}",
            self.heads,
            self.size,
            keys.heads,
            keys.size
        );
        Ok(())
    }

    /// These behind those of the past.
    fn after(self, past: Option<&TValue>) -> TractResult<Self> {
        let Some(past) = past else {
            return Ok(self);
        };
        let past = Self::new(past, None)?;
        let mut both = Self {
            length: past.length + self.length,
            numbers: Vec::with_capacity(past.numbers.len() + self.numbers.len()),
            ..self
        };
        for (batch, head, at) in both.rows() {
            let row = match at.checked_sub(past.length) {
                None => past.row(batch, head, at),
                Some(at) => {
                    let row = (batch * both.heads + head) * (both.length - past.length) + at;
                    let numbers = self.numbers.get(row * both.size..(row + 1) * both.size);
                    numbers.unwrap_or_default()
                }
            };
            both.numbers.extend(row);
        }
        Ok(both)
    }

    fn into_tensor(self, datum_type: DatumType) -> TractResult<Tensor> {
        let shape = [self.batch, self.heads, self.length, self.size];
        let tensor = Tensor::from_shape(&shape, &self.numbers)?;
        Ok(tensor.cast_to_dt(datum_type)?.into_owned())
    }

    /// With heads side by side.
    fn side_by_side(self, datum_type: DatumType) -> TractResult<Tensor> {
        let (batch, length, width) = (self.batch, self.length, self.heads * self.size);
        let tensor = self.into_tensor(datum_type)?.permute_axes(&[0, 2, 1, 3])?;
        tensor.into_shape(&[batch, length, width])
    }
}

/// What a mask adds to the scores.
struct Mask {
    shape: TVec<usize>,
    numbers: Vec<f32>,
}

impl Mask {
    fn new(tensor: &Tensor, queries: &Heads) -> TractResult<Self> {
        let sizes = [queries.length, queries.heads, queries.batch];
        let mut outer = tensor.shape().iter().rev().skip(1).zip(sizes);
        ensure!(
            tensor.rank() <= sizes.len() + 1 && outer.all(|(size, of)| *size == 1 || *size == of),
            "Attention: a mask of shape {:?}",
            tensor.shape()
        );
        let hide = |sees: i64| if sees == 0 { f32::NEG_INFINITY } else { 0.0 };
        Ok(Self {
            shape: tensor.shape().into(),
            numbers: match tensor.datum_type() {
                DatumType::Bool => numbers(tensor)?.into_iter().map(hide).collect(),
                _ => numbers(tensor)?,
            },
        })
    }

    /// For a place in the scores; missing dimensions and those of size 1 are for all, and nothing is
    /// seen beyond the last one.
    fn at(&self, place: [usize; 4]) -> f32 {
        let skipped = place.len() - self.shape.len().min(place.len());
        let mut at = 0;
        for (axis, (size, index)) in self
            .shape
            .iter()
            .zip(place.iter().skip(skipped))
            .enumerate()
        {
            let is_last = axis + 1 == self.shape.len();
            if is_last && index >= size {
                return f32::NEG_INFINITY;
            }
            at = at * size + if *size == 1 { 0 } else { *index };
        }
        self.numbers.get(at).copied().unwrap_or(f32::NEG_INFINITY)
    }
}

impl Attention {
    fn is_more_than_tracts(&self) -> bool {
        // Where a mask hides all keys from a query, tract's makes what is no number.
        self.mask.is_some()
            || self.softcap != 0.0
            || self.left.is_some()
            || self.right.is_some()
            || self.lengths.is_some()
            || (self.is_causal && self.past_keys.is_some())
            || self.wanted.get(3) == Some(&true)
    }

    fn pick<T>(&self, all: [T; OUTPUTS]) -> TVec<T> {
        let wanted = self.wanted.iter().zip(all);
        wanted
            .filter_map(|(wanted, one)| wanted.then_some(one))
            .collect()
    }

    /// What is added to the score of a query and a key: the mask, or that the key is not seen.
    fn bias(&self, mask: Option<&Mask>, reach: &Reach, place: [usize; 4]) -> f32 {
        let [_, _, query, key] = place.map(|index| index as i64);
        let ahead = key - (query + reach.offset);
        let is_seen = (!self.is_causal || ahead <= 0)
            && self.left.is_none_or(|left| -ahead <= left)
            && self.right.is_none_or(|right| ahead <= right)
            && reach.length.is_none_or(|length| key < length);
        match is_seen {
            true => mask.map_or(0.0, |mask| mask.at(place)),
            false => f32::NEG_INFINITY,
        }
    }
}

/// Where in its sequence a query stands.
struct Reach {
    /// How many keys precede the first query.
    offset: i64,
    /// How many keys there really are, in a cache of a fixed size.
    length: Option<i64>,
}

impl Operator for Attention {
    fn name(&self) -> &'static str {
        "Attention"
    }

    fn count(&self) -> usize {
        self.wanted.iter().filter(|wanted| **wanted).count()
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [query, keys, values, ..] = inputs else {
            bail!("queries, keys and values, not {}", inputs.len());
        };
        let split = |fact: &TypedFact, heads: Option<usize>| -> TractResult<[TDim; 4]> {
            match (&*fact.shape, heads) {
                ([batch, heads, length, size], _) => {
                    Ok([batch.clone(), heads.clone(), length.clone(), size.clone()])
                }
                ([batch, length, width], Some(heads)) if heads > 0 => {
                    let size = width.clone() / heads;
                    Ok([batch.clone(), heads.to_dim(), length.clone(), size])
                }
                (shape, _) => bail!("Attention: a tensor of shape {shape:?}"),
            }
        };
        let [batch, heads, length, _] = split(query, self.query_heads)?;
        let [key_batch, key_heads, key_length, key_size] = split(keys, self.key_heads)?;
        let [_, _, _, size] = split(values, self.key_heads)?;
        let past = self
            .past_keys
            .and_then(|past| inputs.get(past)?.shape.get(2));
        let all = past.cloned().unwrap_or_default() + key_length;
        let result = match query.rank() {
            3 => tvec!(batch.clone(), length.clone(), heads.clone() * size.clone()),
            _ => tvec!(batch.clone(), heads.clone(), length.clone(), size.clone()),
        };
        let cache = |size| [key_batch.clone(), key_heads.clone(), all.clone(), size];
        Ok(self.pick([
            query.datum_type.fact(result),
            keys.datum_type.fact(cache(key_size)),
            values.datum_type.fact(cache(size)),
            query.datum_type.fact([batch, heads, length, all.clone()]),
        ]))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [query, keys, values, ..] = inputs else {
            bail!("queries, keys and values");
        };
        let input = |index: Option<usize>| index.and_then(|index| inputs.get(index));
        let queries = Heads::new(query, self.query_heads)?;
        let past = input(self.past_keys).and_then(|past| past.shape().get(2));
        let all_keys = Heads::new(keys, self.key_heads)?.after(input(self.past_keys))?;
        let all_values = Heads::new(values, self.key_heads)?.after(input(self.past_values))?;
        queries.check(&all_keys, &all_values)?;
        let mask = input(self.mask).map(|mask| Mask::new(mask, &queries));
        let view = View {
            keys: &all_keys,
            group: queries.heads / all_keys.heads,
            scale: self
                .scale
                .unwrap_or_else(|| 1.0 / (queries.size as f32).sqrt()),
            mask: mask.transpose()?,
            lengths: input(self.lengths)
                .map(|lengths| numbers(lengths))
                .transpose()?,
            past: past.copied().unwrap_or(0),
        };
        let mut result = Heads {
            size: all_values.size,
            numbers: Vec::with_capacity(queries.numbers.len()),
            ..queries
        };
        let mut scores = Vec::new();
        for (batch, head, at) in result.rows() {
            let row = queries.row(batch, head, at);
            let (shares, shown) = self.shares(&view, row, [batch, head, at], queries.length);
            let mut sums = vec![0.0; all_values.size];
            for (key, share) in shares
                .iter()
                .enumerate()
                .filter(|(_, share)| **share != 0.0)
            {
                let value = all_values.row(batch, head / view.group, key);
                sums.iter_mut()
                    .zip(value)
                    .for_each(|(sum, value)| *sum += share * value);
            }
            result.numbers.extend(sums);
            scores.extend(shown);
        }
        let datum_type = query.datum_type();
        // Nobody has kept them where nobody wants them.
        let scores = Heads {
            size: if scores.is_empty() {
                0
            } else {
                all_keys.length
            },
            numbers: scores,
            ..result
        };
        let scores = scores.into_tensor(datum_type)?;
        let result = match query.rank() {
            3 => result.side_by_side(datum_type),
            _ => result.into_tensor(datum_type),
        };
        Ok(self.pick([
            result?,
            all_keys.into_tensor(keys.datum_type())?,
            all_values.into_tensor(values.datum_type())?,
            scores,
        ]))
    }
}

/// What queries look at.
struct View<'a> {
    keys: &'a Heads,
    /// How many heads of queries share one of keys.
    group: usize,
    scale: f32,
    mask: Option<Mask>,
    lengths: Option<Vec<i64>>,
    past: usize,
}

impl Attention {
    /// How much of each value a query takes, and its scores as they are an output.
    fn shares(
        &self,
        view: &View<'_>,
        query: &[f32],
        [batch, head, at]: [usize; 3],
        queries: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let length = view
            .lengths
            .as_ref()
            .and_then(|lengths| lengths.get(batch))
            .copied();
        let offset = length.map_or(view.past as i64, |length| length - queries as i64);
        let reach = Reach { offset, length };
        let keys = 0..view.keys.length;
        let score = |key| view.scale * dot(query, view.keys.row(batch, head / view.group, key));
        let raw: Vec<f32> = keys.clone().map(score).collect();
        let cap = |score: &f32| match self.softcap {
            0.0 => *score,
            cap => (score / cap).tanh() * cap,
        };
        let capped: Vec<f32> = raw.iter().map(cap).collect();
        let bias = |key| self.bias(view.mask.as_ref(), &reach, [batch, head, at, key]);
        let biases: Vec<f32> = keys.map(bias).collect();
        let masked = capped.iter().zip(&biases).map(|(score, bias)| score + bias);
        let masked: Vec<f32> = masked.collect();
        let is_blind = biases.iter().all(|bias| *bias == f32::NEG_INFINITY);
        let shares = match is_blind {
            true => vec![0.0; masked.len()],
            false => softmax(&masked),
        };
        let shown = match self.scores {
            _ if self.wanted.get(3) != Some(&true) => Vec::new(),
            Scores::Raw => raw,
            Scores::Capped => capped,
            Scores::Masked => masked,
            Scores::Probabilities => shares.clone(),
        };
        (shares, shown)
    }
}

/// Four sums side by side, which is what a vector of the machine holds.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let ((ones, one_rest), (others, other_rest)) = (one.as_chunks::<4>(), other.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (one, other) in ones.iter().zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    let rest = one_rest
        .iter()
        .zip(other_rest)
        .map(|(one, other)| one * other);
    sums.into_iter().chain(rest).sum()
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
