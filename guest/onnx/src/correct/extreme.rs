//! The largest or smallest numbers along axes, also where all of them are infinite or there are none:
//! tract begins with the largest finite number instead.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

/// A tensor with size 1 along some axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extreme {
    axes: TVec<usize>,
    is_largest: bool,
}

impl Extreme {
    /// Ours for tract's; of booleans, tract has one under another name.
    pub(super) fn adopt(reduce: &Reduce, inputs: &[TypedFact]) -> Option<Box<dyn TypedOp>> {
        let is_largest = match reduce.reducer {
            Reducer::Max => true,
            Reducer::Min => false,
            _ => return None,
        };
        let axes = reduce.axes.clone();
        match inputs.first()?.datum_type {
            DatumType::Bool => {
                let reducer = if is_largest {
                    Reducer::Any
                } else {
                    Reducer::All
                };
                Some(Box::new(Reduce { axes, reducer }))
            }
            DatumType::F16 | DatumType::F32 | DatumType::F64 => {
                Some(Box::new(Self { axes, is_largest }))
            }
            _ => None,
        }
    }

    fn reduce<T: Datum + Copy + PartialOrd>(&self, input: &Tensor) -> TractResult<Tensor> {
        let start = match self.is_largest {
            true => f64::NEG_INFINITY,
            false => f64::INFINITY,
        };
        let start = tensor0(start).cast_to_scalar::<T>()?;
        let mut shape: TVec<usize> = input.shape().into();
        let mut numbers = input.try_as_plain_ram()?.as_slice::<T>()?.to_vec();
        for axis in &self.axes {
            let inner = shape.iter().skip(axis + 1).product::<usize>();
            let outer = shape.iter().take(*axis).product::<usize>();
            let Some(size) = shape.get_mut(*axis) else {
                bail!("axis {axis} of {:?}", input.shape());
            };
            let mut reduced = vec![start; outer * inner];
            let lines = numbers.chunks_exact((*size * inner).max(1));
            for (line, found) in lines.zip(reduced.chunks_exact_mut(inner.max(1))) {
                for row in line.chunks_exact(inner.max(1)) {
                    for (found, number) in found.iter_mut().zip(row) {
                        *found = self.of(*found, *number);
                    }
                }
            }
            *size = 1;
            numbers = reduced;
        }
        Tensor::from_shape(&shape, &numbers)
    }

    /// What is no number wins.
    fn of<T: Copy + PartialOrd>(&self, found: T, number: T) -> T {
        let is_number = |number: T| number.partial_cmp(&number).is_some();
        let wins = if self.is_largest {
            number > found
        } else {
            number < found
        };
        match (wins || !is_number(number)) && is_number(found) {
            true => number,
            false => found,
        }
    }
}

impl Op for Extreme {
    fn name(&self) -> StaticName {
        "GloveboxExtreme".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Extreme {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let reduced = match input.datum_type() {
            DatumType::F16 => self.reduce::<f16>(&input),
            DatumType::F32 => self.reduce::<f32>(&input),
            _ => self.reduce::<f64>(&input),
        };
        Ok(tvec!(reduced?.into_tvalue()))
    }
}

impl TypedOp for Extreme {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        let size = |(axis, size): (usize, &TDim)| match self.axes.contains(&axis) {
            true => 1.to_dim(),
            false => size.clone(),
        };
        let shape: TVec<TDim> = input.shape.iter().enumerate().map(size).collect();
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    as_op!();
}
