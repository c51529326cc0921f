//! `OneHot`, and `BitShift` by any distance.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, axis, known, numbers, take};
use super::operator::{Built, Operator, build};

/// A new axis along which one element is `on`, and all others are `off`.
#[derive(Debug)]
struct OneHot {
    axis: i64,
}

pub(super) fn one_hot(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt("axis")?.unwrap_or(-1);
    build(OneHot { axis })
}

impl Operator for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn shaping(&self) -> &[usize] {
        &[1]
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [places, depth, values] = inputs else {
            bail!("indices, a depth and two values, not {}", inputs.len());
        };
        let depth = known::<TDim>(depth, "the depth of OneHot")?;
        let mut shape = places.shape.to_tvec();
        let along = axis(self.axis, shape.len() + 1)?;
        shape.insert(along, depth.first().cloned().context("OneHot: no depth")?);
        Ok(tvec!(values.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [places, depth, values] = inputs else {
            bail!("indices, a depth and two values");
        };
        let depth = numbers::<i64>(depth)?.first().copied().unwrap_or(0);
        let mut shape: TVec<usize> = places.shape().into();
        shape.insert(axis(self.axis, shape.len() + 1)?, usize::try_from(depth)?);
        let along = Axis::new(self.axis, &shape)?;
        let places = numbers::<i64>(places)?;
        let hot = take(values, &shape, |at| {
            let place = places.get(along.moved(at, 0, 1)).copied()?;
            // Indices count from the end if they are negative; those outside switch on nothing.
            let place = if place < 0 { place + depth } else { place };
            Some(usize::from(place == along.index(at) as i64))
        })?;
        Ok(tvec!(hot))
    }
}

/// Beyond the width of a number nothing is left of it but its sign.
#[derive(Debug)]
struct BitShift {
    is_left: bool,
}

pub(super) fn bit_shift(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let is_left = match node.get_attr("direction")? {
        "LEFT" => true,
        "RIGHT" => false,
        other => bail!("BitShift: direction {other:?} is not supported"),
    };
    build(BitShift { is_left })
}

impl Operator for BitShift {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [numbers, distances] = inputs else {
            bail!("numbers and distances, not {}", inputs.len());
        };
        ensure!(
            numbers.datum_type.is_integer(),
            "BitShift of {:?}",
            numbers.datum_type
        );
        let shape = multi_broadcast(&[&numbers.shape, &distances.shape])?;
        Ok(tvec!(numbers.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, distances] = inputs else {
            bail!("numbers and distances");
        };
        let datum_type = input.datum_type();
        let shape = multi_broadcast(&[input.shape(), distances.shape()])?;
        let width = 8 * datum_type.size_of() as i64;
        let wide = |tensor: &Tensor| {
            let tensor = tensor.clone().broadcast_into_rank(shape.len())?;
            numbers::<i64>(&tensor.broadcast_to_shape(&shape)?)
        };
        // The upper bits of an unsigned number of 64 bits are no sign.
        let is_unsigned = datum_type == DatumType::U64;
        let shift = |(number, distance): (i64, i64)| match (self.is_left, distance) {
            (true, 0..) if distance < width => number << distance,
            (false, 0..) if distance < width && is_unsigned => ((number as u64) >> distance) as i64,
            (false, 0..) if distance < width => number >> distance,
            (false, _) if !is_unsigned => number >> 63,
            _ => 0,
        };
        // The bits beyond the width are cut off, so that no cast meets too large a number.
        let rest = 64 - width;
        let cut = |number: i64| match datum_type.is_unsigned() {
            true => (((number << rest) as u64) >> rest) as i64,
            false => (number << rest) >> rest,
        };
        let pairs = wide(input)?.into_iter().zip(wide(distances)?);
        let shifted: Vec<i64> = pairs.map(shift).map(cut).collect();
        let shifted = Tensor::from_shape(&shape, &shifted)?;
        Ok(tvec!(shifted.cast_to_dt(datum_type)?.into_owned()))
    }
}
