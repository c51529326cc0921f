//! `QuantizeLinear` and `DequantizeLinear`, also by blocks and with a scale that is computed, and
//! `DynamicQuantizeLinear`, which computes it.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, numbers};
use super::operator::{Built, Operator, build, tracts};

/// Which scale is for which number.
#[derive(Debug)]
struct Scales {
    axis: i64,
    /// How many neighbours along the axis share one; 0 for all, or one for each index.
    block: usize,
}

impl Scales {
    fn of(node: &NodeProto) -> TractResult<Self> {
        Ok(Self {
            axis: node.get_attr_opt("axis")?.unwrap_or(1),
            block: node.get_attr_opt("block_size")?.unwrap_or(0),
        })
    }

    /// The place of each number's scale among `scales`.
    fn places(&self, shape: &[usize], scales: &Tensor) -> TractResult<Vec<usize>> {
        let count = shape.iter().product();
        if scales.len() == 1 {
            return Ok(vec![0; count]);
        }
        let along = Axis::new(self.axis, shape)?;
        let places = match self.block {
            0 if scales.len() == along.size => (0..count).map(|at| along.index(at)).collect(),
            0 => bail!("{} scales for an axis of {}", scales.len(), along.size),
            block => {
                let blocks = along.size.div_ceil(block);
                let place = |at| along.moved(at, along.index(at) / block, blocks);
                (0..count).map(place).collect()
            }
        };
        Ok(places)
    }
}

fn at<N: Copy>(values: &[N], place: usize) -> TractResult<N> {
    let value = values.get(place).copied();
    value.with_context(|| format!("scale {place} of {}", values.len()))
}

/// `round(number / scale) + zero` within a range. It is divided by the scale, as ONNX has it: with its
/// reciprocal, ties would be rounded the other way.
#[inline(always)]
fn quantized(number: f32, scale: f32, zero: f32, (least, most): (f32, f32)) -> i32 {
    ((number / scale).round_ties_even() + zero).clamp(least, most) as i32
}

/// Integers for all numbers of a tensor, with one scale.
fn with_one_scale<N: Datum + Copy>(
    input: &Tensor,
    (scale, zero): (f32, f32),
    range: (f32, f32),
    narrow: impl Fn(i32) -> N,
) -> TractResult<Tensor> {
    let numbers = input.cast_to::<f32>()?;
    let numbers = numbers.try_as_plain_ram()?;
    let numbers = numbers.as_slice::<f32>()?.iter();
    let integers: Vec<N> = numbers
        .map(|number| narrow(quantized(*number, scale, zero, range)))
        .collect();
    Tensor::from_shape(input.shape(), &integers)
}

#[derive(Debug)]
struct QuantizeLinear {
    scales: Scales,
    zero: Option<usize>,
    to: DatumType,
}

pub(super) fn quantize(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let to = match node.get_attr_opt::<i64>("output_dtype")?.unwrap_or(0) {
        0 => DatumType::U8,
        _ => node.get_attr("output_dtype")?,
    };
    build(QuantizeLinear {
        scales: Scales::of(node)?,
        zero: optional_inputs(node).nth(2).flatten(),
        to,
    })
}

impl QuantizeLinear {
    /// The smallest and the largest number.
    fn range(datum_type: DatumType) -> TractResult<(f32, f32)> {
        Ok(match datum_type {
            DatumType::U8 => (0.0, u8::MAX.into()),
            DatumType::I8 => (i8::MIN.into(), i8::MAX.into()),
            DatumType::U16 => (0.0, u16::MAX.into()),
            DatumType::I16 => (i16::MIN.into(), i16::MAX.into()),
            _ => bail!("QuantizeLinear to {datum_type:?} is not supported"),
        })
    }
}

impl Operator for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Some(input) = inputs.first() else {
            bail!("no tensor");
        };
        let zero = self.zero.and_then(|zero| inputs.get(zero));
        let to = zero.map_or(self.to, |zero| zero.datum_type);
        Self::range(to)?;
        Ok(tvec!(to.fact(input.shape.to_tvec())))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (Some(input), Some(scales)) = (inputs.first(), inputs.get(1)) else {
            bail!("a tensor and its scale");
        };
        let zeros = self.zero.and_then(|zero| inputs.get(zero));
        let to = zeros.map_or(self.to, |zeros| zeros.datum_type());
        let range = Self::range(to)?;
        let factors = numbers::<f32>(scales)?;
        let zeros = zeros.map(|zeros| numbers::<f32>(zeros)).transpose()?;
        let zeros = zeros.unwrap_or_else(|| vec![0.0; factors.len()]);
        // One for all is what most models have: no looking up.
        if let ([scale], [zero]) = (&*factors, &*zeros) {
            let scale = (*scale, *zero);
            return Ok(tvec!(match to {
                DatumType::U8 => with_one_scale(input, scale, range, |integer| integer as u8)?,
                DatumType::I8 => with_one_scale(input, scale, range, |integer| integer as i8)?,
                DatumType::U16 => with_one_scale(input, scale, range, |integer| integer as u16)?,
                _ => with_one_scale(input, scale, range, |integer| integer as i16)?,
            }));
        }
        let places = self.scales.places(input.shape(), scales)?;
        let pairs = numbers::<f32>(input)?.into_iter().zip(places);
        let each = pairs.map(|(n, place)| {
            Ok(quantized(
                n,
                at(&factors, place)?,
                at(&zeros, place)?,
                range,
            ))
        });
        let quantized: Vec<i32> = each.collect::<TractResult<_>>()?;
        let quantized = Tensor::from_shape(input.shape(), &quantized)?;
        Ok(tvec!(quantized.cast_to_dt(to)?.into_owned()))
    }
}

/// By blocks; all others are tract's, which moves them to where they cost least.
#[derive(Debug)]
struct DequantizeLinear {
    scales: Scales,
    zero: Option<usize>,
}

pub(super) fn dequantize(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let scales = Scales::of(node)?;
    if scales.block == 0 {
        return tracts(context, node);
    }
    let zero = optional_inputs(node).nth(2).flatten();
    build(DequantizeLinear { scales, zero })
}

impl Operator for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (Some(input), Some(scales)) = (inputs.first(), inputs.get(1)) else {
            bail!("a tensor and its scale");
        };
        Ok(tvec!(scales.datum_type.fact(input.shape.to_tvec())))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (Some(input), Some(scales)) = (inputs.first(), inputs.get(1)) else {
            bail!("a tensor and its scale");
        };
        let datum_type = scales.datum_type();
        let places = self.scales.places(input.shape(), scales)?;
        let zeros = self.zero.and_then(|zero| inputs.get(zero));
        let zeros = zeros.map(|zeros| numbers::<f32>(zeros)).transpose()?;
        let (all, scales) = (numbers::<f32>(input)?, numbers::<f32>(scales)?);
        let zeros = zeros.unwrap_or_else(|| vec![0.0; scales.len()]);
        let dequantize =
            |(number, place): (f32, usize)| Ok((number - at(&zeros, place)?) * at(&scales, place)?);
        let dequantized = all.into_iter().zip(places).map(dequantize);
        let dequantized: Vec<f32> = dequantized.collect::<TractResult<_>>()?;
        let dequantized = Tensor::from_shape(input.shape(), &dequantized)?;
        Ok(tvec!(dequantized.cast_to_dt(datum_type)?.into_owned()))
    }
}

/// With a scale that makes the range of the numbers, and zero, fit into eight bits.
#[derive(Debug)]
struct DynamicQuantizeLinear;

pub(super) fn dynamic_quantize(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    build(DynamicQuantizeLinear)
}

/// The least of some numbers and zero, and the most of them.
fn extent(numbers: &[f32]) -> (f32, f32) {
    // Lanes that do not wait for one another.
    let (mut least, mut most) = ([0f32; 8], [0f32; 8]);
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut last = [0.0; 8];
    last.iter_mut()
        .zip(rest)
        .for_each(|(last, rest)| *last = *rest);
    for eight in eights.iter().chain([&last]) {
        for ((least, most), number) in least.iter_mut().zip(&mut most).zip(eight) {
            *least = if *number < *least { *number } else { *least };
            *most = if *most < *number { *number } else { *most };
        }
    }
    (
        least.into_iter().fold(0.0, f32::min),
        most.into_iter().fold(0.0, f32::max),
    )
}

impl Operator for DynamicQuantizeLinear {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn count(&self) -> usize {
        3
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Some(input) = inputs.first() else {
            bail!("no tensor");
        };
        let scalar: [usize; 0] = [];
        Ok(tvec!(
            u8::fact(input.shape.to_tvec()),
            f32::fact(scalar),
            u8::fact(scalar)
        ))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let Some(input) = inputs.first() else {
            bail!("no tensor");
        };
        let range = QuantizeLinear::range(DatumType::U8)?;
        let plain = input.try_as_plain_ram()?;
        let (least, most) = extent(plain.as_slice::<f32>()?);
        // As ONNX Runtime has it where all numbers are zero.
        let scale = match least == most {
            true => 1.0,
            false => (most - least) / range.1,
        };
        let zero = (-least / scale).clamp(range.0, range.1).round_ties_even();
        let quantized = with_one_scale(input, (scale, zero), range, |integer| integer as u8)?;
        Ok(tvec!(quantized, tensor0(scale), tensor0(zero as u8)))
    }
}
