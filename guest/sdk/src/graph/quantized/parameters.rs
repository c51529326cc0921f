//! The constants among the inputs of tract's quantised operators.

use glovebox_kernels::Shape;
use tract_onnx::tract_core::internal::*;

use super::finished::Finished;

/// Weights and what else is known when a model is packed.
pub(super) struct Parameters {
    /// As they lie in the constant; those without a sign moved by 128.
    pub(super) weights: Vec<i8>,
    /// What stands for zero among them, for each row; nothing where all are 0.
    pub(super) zeros: Vec<i32>,
    pub(super) finished: Finished,
}

impl Parameters {
    /// The parameters of an operator with these inputs: integers, weights and bias, then zero points and
    /// scales of the integers, the weights and what comes out, which is of the datatype `to`. There
    /// are so many rows. Nothing if they are not all constants that we can work with.
    pub(super) fn of(
        inputs: &[TypedFact],
        rows: usize,
        to: DatumType,
    ) -> TractResult<Option<Self>> {
        let [
            input,
            weights,
            bias,
            zero,
            scale,
            zeros,
            scales,
            to_zero,
            to_scale,
        ] = inputs
        else {
            return Ok(None);
        };
        let is_input = [i8::datum_type(), u8::datum_type()].contains(&input.datum_type);
        if !is_input || !input.is_plain() || !zero.shape.volume().is_one() {
            return Ok(None);
        }
        let (Some((weights, moved)), Some(bias), Some(zeros)) = (
            signed(weights)?,
            by_row::<i32>(bias, rows)?,
            by_row::<i32>(zeros, rows)?,
        ) else {
            return Ok(None);
        };
        let (Some(scale), Some(scales), Some(to_zero), Some(to_scale)) = (
            one::<f32>(scale)?,
            by_row::<f32>(scales, rows)?,
            one::<i32>(to_zero)?,
            one::<f32>(to_scale)?,
        ) else {
            return Ok(None);
        };
        let scales: Vec<f32> = scales.iter().map(|row| scale * row / to_scale).collect();
        let Some(finished) = Finished::of(bias, scales, to_zero, to) else {
            return Ok(None);
        };
        let zeros: Vec<i32> = zeros.iter().map(|zero| zero - moved).collect();
        let zeros = match zeros.iter().all(|zero| *zero == 0) {
            true => Vec::new(),
            false => zeros,
        };
        Ok(Some(Self {
            weights,
            zeros,
            finished,
        }))
    }

    /// Weights that are row by row, packed.
    pub(super) fn packed(&self, shape: &Shape, rows: &[i8]) -> Arc<Tensor> {
        tensor1(&shape.pack(rows, &self.zeros)).into_arc_tensor()
    }
}

/// Constant weights, and how far they were moved to have a sign.
fn signed(weights: &TypedFact) -> TractResult<Option<(Vec<i8>, i32)>> {
    let Some(weights) = weights.konst.as_ref().filter(|weights| weights.is_plain()) else {
        return Ok(None);
    };
    let plain = weights.try_as_plain_ram()?;
    Ok(match weights.datum_type() {
        DatumType::I8 => Some((plain.as_slice::<i8>()?.to_vec(), 0)),
        DatumType::U8 => {
            let weights = plain.as_slice::<u8>()?.iter();
            let moved = weights.map(|weight| weight.wrapping_sub(128).cast_signed());
            Some((moved.collect(), 128))
        }
        _ => None,
    })
}

/// A constant that has a value for each row, or one for all.
fn by_row<N: Datum + Copy>(fact: &TypedFact, rows: usize) -> TractResult<Option<Vec<N>>> {
    let Some(values) = &fact.konst else {
        return Ok(None);
    };
    let values = values.cast_to::<N>()?;
    let values = values.try_as_plain_ram()?;
    Ok(match values.as_slice::<N>()? {
        [all] => Some(vec![*all; rows]),
        each if each.len() == rows => Some(each.to_vec()),
        _ => None,
    })
}

/// A constant that is one value.
fn one<N: Datum + Copy>(fact: &TypedFact) -> TractResult<Option<N>> {
    let values = by_row(fact, 1)?;
    Ok(values.and_then(|values| values.first().copied()))
}
