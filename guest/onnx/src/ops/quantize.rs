//! `QuantizeLinear` and `DequantizeLinear`, also by blocks and with a scale that is computed.

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

/// Divides by the scale, as ONNX has it: with its reciprocal, ties would be rounded the other way.
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
        let (least, most) = Self::range(to)?;
        let all = numbers::<f32>(input)?;
        let factors = numbers::<f32>(scales)?;
        let zeros = zeros.map(|zeros| numbers::<f32>(zeros)).transpose()?;
        let zeros = zeros.unwrap_or_else(|| vec![0.0; factors.len()]);
        let quantize = |number: f32, scale: f32, zero: f32| {
            ((number / scale).round_ties_even() + zero).clamp(least, most) as i32
        };
        let quantized: Vec<i32> = match (&*factors, &*zeros) {
            // One for all is what most models have: no looking up.
            ([scale], [zero]) => all
                .into_iter()
                .map(|n| quantize(n, *scale, *zero))
                .collect(),
            _ => {
                let places = self.scales.places(input.shape(), scales)?;
                let pairs = all.into_iter().zip(places);
                let each = pairs
                    .map(|(n, place)| Ok(quantize(n, at(&factors, place)?, at(&zeros, place)?)));
                each.collect::<TractResult<_>>()?
            }
        };
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
