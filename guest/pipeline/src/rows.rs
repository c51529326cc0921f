//! Rows of tokens: a graph is given one at a time, padded to one of few lengths.
//!
//! An engine prepares a graph of texts for the shapes of its inputs, which takes longer than to run it.
//! So it is asked for few shapes. What is padding, the mask says.

use glovebox_protocol::{CallError, Tensor, TensorSpec};

use crate::Lengths;

const OPEN: i64 = -1;

/// The lengths of rows, in ascending order.
pub struct TokenRows(Vec<usize>);

impl TokenRows {
    /// Those that a model with these inputs takes. None if it is told of no mask, and could not tell
    /// padding from tokens.
    pub fn of(inputs: &[TensorSpec], wanted: &Lengths) -> Option<Self> {
        if !inputs.iter().any(|spec| spec.name == wanted.mask) {
            return None;
        }
        let mut lengths = inputs.iter().filter_map(|spec| spec.shape.get(1));
        let fixed = lengths.find_map(|length| usize::try_from(*length).ok());
        Some(Self(fixed.map_or_else(
            || wanted.lengths.clone(),
            |length| vec![length],
        )))
    }

    /// The lengths that rows are padded to.
    pub fn lengths(&self) -> &[usize] {
        &self.0
    }

    /// The answers to all rows; `compute` answers one, of one of the lengths, with these outputs.
    ///
    /// # Errors
    /// The inputs differ in their shape, have no row or too many tokens, or `compute` fails.
    pub fn run(
        &self,
        inputs: &[Tensor],
        outputs: &[&TensorSpec],
        compute: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, CallError>,
    ) -> Result<Vec<Tensor>, CallError> {
        let (rows, tokens) = shape(inputs)?;
        let length = self.length(tokens)?;
        let mut answers = Vec::new();
        for row in 0..rows {
            let padded = inputs
                .iter()
                .map(|input| padded(input, row, tokens, length));
            let answer = compute(&padded.collect::<Vec<_>>())?;
            let answer = answer.into_iter().zip(outputs);
            let answer = answer.map(|(output, spec)| without_padding(output, spec, tokens));
            append(&mut answers, answer.collect());
        }
        Ok(answers)
    }

    fn length(&self, tokens: usize) -> Result<usize, CallError> {
        let fits = self.0.iter().find(|length| **length >= tokens);
        fits.copied().ok_or_else(|| {
            let longest = self.0.last().copied().unwrap_or_default();
            CallError::InvalidInput(format!(
                "rows of {tokens} tokens; this model takes up to {longest}"
            ))
        })
    }
}

/// How many rows there are, and of how many tokens.
fn shape(inputs: &[Tensor]) -> Result<(usize, usize), CallError> {
    let mut shapes = inputs.iter().map(|tensor| tensor.shape.as_slice());
    match shapes.next() {
        Some(shape @ [rows, tokens])
            if *rows > 0 && *tokens > 0 && shapes.all(|other| other == shape) =>
        {
            Ok((*rows as usize, *tokens as usize))
        }
        _ => Err(CallError::InvalidInput(
            "the inputs of a model of texts must have the same shape, of a row and a token or more"
                .into(),
        )),
    }
}

/// One row of an input, with zeros up to a length.
fn padded(input: &Tensor, row: usize, tokens: usize, length: usize) -> Tensor {
    let bytes = input.datatype.element_bytes().unwrap_or(1);
    let row = input.data.chunks(tokens * bytes).nth(row);
    let mut data = row.unwrap_or_default().to_vec();
    data.resize(length * bytes, 0);
    Tensor {
        name: input.name.clone(),
        datatype: input.datatype,
        shape: vec![1, length as u64],
        data,
    }
}

/// An output without what belongs to padding: of axes whose size is that of rows, the beginning.
fn without_padding(output: Tensor, spec: &TensorSpec, tokens: usize) -> Tensor {
    let axes = spec.shape.iter().enumerate().skip(1);
    let axes = axes.filter(|(_, size)| **size == OPEN);
    axes.fold(output, |output, (axis, _)| first(output, axis, tokens))
}

/// The first elements along an axis, `count` of them.
fn first(mut tensor: Tensor, axis: usize, count: usize) -> Tensor {
    let behind = tensor.shape.iter().skip(axis + 1).product::<u64>() as usize;
    let element = behind * tensor.datatype.element_bytes().unwrap_or(1);
    let Some(size) = tensor.shape.get_mut(axis) else {
        return tensor;
    };
    let all = *size as usize * element;
    if count >= *size as usize || element == 0 {
        return tensor;
    }
    *size = count as u64;
    let kept = tensor.data.chunks(all);
    let kept = kept.flat_map(|elements| elements.iter().take(count * element));
    tensor.data = kept.copied().collect();
    tensor
}

/// Puts the answers to one row behind those to others.
fn append(answers: &mut Vec<Tensor>, row: Vec<Tensor>) {
    if answers.is_empty() {
        *answers = row;
        return;
    }
    for (answer, row) in answers.iter_mut().zip(row) {
        answer.data.extend_from_slice(&row.data);
        if let Some(rows) = answer.shape.first_mut() {
            *rows += 1;
        }
    }
}
