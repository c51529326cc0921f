//! `Scaler`, `Normalizer`, `Imputer` and `Binarizer`: features to features.

use std::fmt::Debug;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::rows::{is_number, only, sizes};
use crate::ops::elements::numbers;
use crate::ops::operator::{Built, Operator, build};

/// One value for each feature, or one for all.
#[derive(Debug)]
struct PerFeature<N>(Vec<N>);

impl<N: Copy + Debug> PerFeature<N> {
    /// The value for each element of a tensor of this shape, over and over.
    fn cycle(&self, shape: &[usize]) -> TractResult<impl Iterator<Item = N>> {
        if self.0.len() != 1 {
            let (_, width) = sizes(shape, 1)?;
            ensure!(
                self.0.len() == width,
                "{} values for {width} features",
                self.0.len()
            );
        }
        Ok(self.0.iter().copied().cycle())
    }
}

/// The only input, which has numbers.
fn of_numbers<'a>(inputs: &[&'a TypedFact]) -> TractResult<&'a TypedFact> {
    let input = *only(inputs)?;
    let datum_type = input.datum_type;
    ensure!(is_number(datum_type), "{datum_type:?} instead of numbers");
    Ok(input)
}

/// As many numbers of FP32.
fn floats(inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
    let shape = of_numbers(inputs)?.shape.to_tvec();
    Ok(tvec!(DatumType::F32.fact(shape)))
}

/// (x - offset) * scale
#[derive(Debug)]
struct Scaler {
    offsets: PerFeature<f32>,
    scales: PerFeature<f32>,
}

pub(super) fn scaler(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let floats = |name| node.get_attr_opt_slice::<f32>(name);
    let offsets = floats("offset")?.unwrap_or(&[0.0]).to_vec();
    let scales = floats("scale")?.unwrap_or(&[1.0]).to_vec();
    ensure!(
        !offsets.is_empty() && !scales.is_empty(),
        "offset or scale is empty"
    );
    build(Scaler {
        offsets: PerFeature(offsets),
        scales: PerFeature(scales),
    })
}

impl Operator for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        floats(inputs)
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let offsets = self.offsets.cycle(input.shape())?;
        let factors = offsets.zip(self.scales.cycle(input.shape())?);
        let scaled: Vec<f32> = match input.datum_type() {
            DatumType::F64 => {
                let all = numbers::<f64>(input)?.into_iter().zip(factors);
                let scale = |(x, (offset, scale)): (f64, (f32, f32))| {
                    ((x - f64::from(offset)) * f64::from(scale)) as f32
                };
                all.map(scale).collect()
            }
            _ => {
                let all = numbers::<f32>(input)?.into_iter().zip(factors);
                all.map(|(x, (offset, scale))| (x - offset) * scale)
                    .collect()
            }
        };
        Ok(tvec!(Tensor::from_shape(input.shape(), &scaled)?))
    }
}

/// Divides each row by its norm.
#[derive(Clone, Copy, Debug)]
enum Normalizer {
    Max,
    L1,
    L2,
}

pub(super) fn normalizer(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(match node.get_attr_opt("norm")?.unwrap_or("MAX") {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        other => bail!("norm {other:?} does not exist"),
    })
}

impl Normalizer {
    fn norm(self, row: &[f32]) -> f32 {
        match self {
            Self::Max => {
                let larger = |most, x: &f32| if *x > most { *x } else { most };
                row.iter().fold(f32::MIN, larger)
            }
            Self::L1 => row.iter().map(|x| x.abs()).sum(),
            Self::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
        }
    }
}

impl Operator for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        floats(inputs)
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let (_, width) = sizes(input.shape(), 1)?;
        let mut all = numbers::<f32>(input)?;
        for row in all.chunks_mut(width.max(1)) {
            let norm = self.norm(row);
            if norm != 0.0 {
                row.iter_mut().for_each(|x| *x /= norm);
            }
        }
        Ok(tvec!(Tensor::from_shape(input.shape(), &all)?))
    }
}

/// Puts other values in the place of one, which may be NaN.
#[derive(Debug)]
enum Imputer {
    Floats(f32, PerFeature<f32>),
    Numbers(i64, PerFeature<i64>),
}

pub(super) fn imputer(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let floats: &[f32] = node
        .get_attr_opt_slice("imputed_value_floats")?
        .unwrap_or_default();
    let numbers: &[i64] = node
        .get_attr_opt_slice("imputed_value_int64s")?
        .unwrap_or_default();
    build(match (floats, numbers) {
        ([], []) => bail!("neither imputed_value_floats nor imputed_value_int64s is there"),
        (floats, []) => Imputer::Floats(
            node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0),
            PerFeature(floats.to_vec()),
        ),
        ([], numbers) => Imputer::Numbers(
            node.get_attr_opt("replaced_value_int64")?.unwrap_or(0),
            PerFeature(numbers.to_vec()),
        ),
        _ => bail!("imputed_value_floats and imputed_value_int64s are both there"),
    })
}

impl Operator for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = of_numbers(inputs)?;
        let is_float = matches!(self, Self::Floats(..));
        ensure!(
            input.datum_type.is_float() == is_float,
            "{:?}, and values of another kind to put in",
            input.datum_type
        );
        Ok(tvec!(input.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let imputed = match self {
            Self::Floats(missing, values) => {
                let missing = f64::from(*missing);
                let is_missing = |x: f64| x == missing || x.is_nan() && missing.is_nan();
                let values = values.cycle(input.shape())?.map(f64::from);
                imputed(input, values, is_missing)?
            }
            Self::Numbers(missing, values) => {
                imputed(input, values.cycle(input.shape())?, |x| x == *missing)?
            }
        };
        Ok(tvec!(imputed.cast_to_dt(input.datum_type())?.into_owned()))
    }
}

/// A tensor with `values` in the place of what is missing.
fn imputed<N: Datum + Copy>(
    tensor: &Tensor,
    values: impl Iterator<Item = N>,
    is_missing: impl Fn(N) -> bool,
) -> TractResult<Tensor> {
    let pairs = numbers::<N>(tensor)?.into_iter().zip(values);
    let all = pairs.map(|(x, value)| if is_missing(x) { value } else { x });
    Tensor::from_shape(tensor.shape(), &all.collect::<Vec<_>>())
}

/// 1 above a threshold, else 0.
#[derive(Debug)]
struct Binarizer(f32);

pub(super) fn binarizer(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(Binarizer(node.get_attr_opt("threshold")?.unwrap_or(0.0)))
}

impl Operator for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(of_numbers(inputs)?.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = only(inputs)?;
        let threshold = f64::from(self.0);
        let all = numbers::<f64>(input)?;
        ensure!(
            !all.iter().any(|x| x.is_nan()),
            "NaN is neither above nor below"
        );
        let bits: Vec<f64> = all.into_iter().map(|x| f64::from(x > threshold)).collect();
        let bits = Tensor::from_shape(input.shape(), &bits)?;
        Ok(tvec!(bits.cast_to_dt(input.datum_type())?.into_owned()))
    }
}
