//! Operators that only bring elements to other places: `CenterCropPad`, `ReverseSequence`,
//! `TensorScatter`, `MaxUnpool`.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, axis, indices, known, numbers, place, resized, take};
use super::operator::{Built, Operator, build};

/// Cuts the middle out, or puts zeros around.
#[derive(Debug)]
struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

pub(super) fn center_crop_pad(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let axes = node.get_attr_opt_vec("axes")?;
    build(CenterCropPad { axes })
}

impl CenterCropPad {
    /// The shape with the sizes that are asked for.
    fn sized<S: Clone>(&self, shape: &[S], sizes: &[S]) -> TractResult<TVec<S>> {
        let mut sized: TVec<S> = shape.into();
        let all: Vec<i64> = (0..shape.len() as i64).collect();
        for (along, size) in self.axes.as_ref().unwrap_or(&all).iter().zip(sizes) {
            let along = axis(*along, shape.len())?;
            sized = resized(&sized, along, size.clone());
        }
        Ok(sized)
    }
}

impl Operator for CenterCropPad {
    fn name(&self) -> &'static str {
        "CenterCropPad"
    }

    fn shaping(&self) -> &[usize] {
        &[1]
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, sizes] = inputs else {
            bail!("a tensor and sizes, not {}", inputs.len());
        };
        let sizes = known::<TDim>(sizes, "the shape of CenterCropPad")?;
        let shape = self.sized(&input.shape, &sizes)?;
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, sizes] = inputs else {
            bail!("a tensor and sizes");
        };
        let sizes: Vec<usize> = numbers::<i64>(sizes)?.iter().map(|s| *s as usize).collect();
        let shape = self.sized(input.shape(), &sizes)?;
        let cut = take(input, &shape, |at| {
            let mut from = indices(&shape, at);
            for (index, (size, wanted)) in from.iter_mut().zip(input.shape().iter().zip(&shape)) {
                *index = match size.checked_sub(*wanted) {
                    Some(more) => *index + more / 2,
                    None => index
                        .checked_sub((wanted - size) / 2)
                        .filter(|at| at < size)?,
                };
            }
            Some(place(input.shape(), &from))
        })?;
        Ok(tvec!(cut))
    }
}

/// Turns a tensor around along an axis.
#[derive(Debug)]
struct Flip {
    axis: i64,
}

pub(super) fn flip(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let axis = node.get_attr("axis")?;
    build(Flip { axis })
}

impl Operator for Flip {
    fn name(&self) -> &'static str {
        super::FLIP
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        axis(self.axis, input.rank())?;
        Ok(tvec!(input.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input] = inputs else {
            bail!("one tensor");
        };
        let along = Axis::new(self.axis, input.shape())?;
        let turned = take(input, input.shape(), |at| {
            let mirrored = along.size - 1 - along.index(at);
            Some(along.moved(at, mirrored, along.size))
        })?;
        Ok(tvec!(turned))
    }
}

/// Turns around the beginning of each sequence.
#[derive(Debug)]
struct ReverseSequence {
    batch_axis: usize,
    time_axis: usize,
}

pub(super) fn reverse_sequence(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(ReverseSequence {
        batch_axis: node.get_attr_opt("batch_axis")?.unwrap_or(1),
        time_axis: node.get_attr_opt("time_axis")?.unwrap_or(0),
    })
}

impl Operator for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, _] = inputs else {
            bail!("a tensor and lengths, not {}", inputs.len());
        };
        ensure!(
            self.batch_axis.max(self.time_axis) < input.rank(),
            "ReverseSequence: no such axis"
        );
        Ok(tvec!(input.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, lengths] = inputs else {
            bail!("a tensor and lengths");
        };
        let (shape, lengths) = (input.shape(), numbers::<i64>(lengths)?);
        let batch = Axis::new(self.batch_axis as i64, shape)?;
        let time = Axis::new(self.time_axis as i64, shape)?;
        let turned = take(input, shape, |at| {
            let length = *lengths.get(batch.index(at))? as usize;
            match length.checked_sub(1 + time.index(at)) {
                Some(mirrored) => Some(time.moved(at, mirrored, time.size)),
                None => Some(at),
            }
        })?;
        Ok(tvec!(turned))
    }
}

/// Writes into a cache of sequences.
#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    is_circular: bool,
}

pub(super) fn tensor_scatter(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(TensorScatter {
        axis: node.get_attr_opt("axis")?.unwrap_or(-2),
        is_circular: match node.get_attr_opt("mode")?.unwrap_or("linear") {
            "linear" => false,
            "circular" => true,
            other => bail!("TensorScatter: mode {other:?} is not supported"),
        },
    })
}

impl Operator for TensorScatter {
    fn name(&self) -> &'static str {
        "TensorScatter"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (Some(cache), Some(update)) = (inputs.first(), inputs.get(1)) else {
            bail!("a cache and an update");
        };
        ensure!(
            cache.rank() == update.rank() && cache.datum_type == update.datum_type,
            "TensorScatter: the update is of another kind than the cache"
        );
        axis(self.axis, cache.rank())?;
        Ok(tvec!(cache.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (Some(cache), Some(update)) = (inputs.first(), inputs.get(1)) else {
            bail!("a cache and an update");
        };
        let starts = inputs.get(2).map(|starts| numbers::<i64>(starts));
        let starts = starts.transpose()?;
        let along = Axis::new(self.axis, cache.shape())?;
        let written = Axis::new(self.axis, update.shape())?.size;
        let batch = Axis::new(0, cache.shape())?;
        let both = Tensor::stack_tensors(0, &[flat(cache)?, flat(update)?])?;
        let scattered = take(&both, cache.shape(), |at| {
            let starts = starts.as_ref();
            let start = starts.and_then(|starts| starts.get(batch.index(at)));
            let start = start.map_or(0, |start| *start as usize);
            let since = match self.is_circular {
                true => (along.index(at) + along.size - start % along.size) % along.size,
                false => along.index(at).wrapping_sub(start),
            };
            let is_new = since < written;
            Some(match is_new {
                true => cache.len() + along.moved(at, since, written),
                false => at,
            })
        })?;
        Ok(tvec!(scattered))
    }
}

fn flat(tensor: &Tensor) -> TractResult<Tensor> {
    tensor.clone().into_shape(&[tensor.len()])
}

/// Puts the largest numbers back to where a pooling has found them, zeros around.
#[derive(Debug)]
struct MaxUnpool {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    pads: Vec<i64>,
    has_shape: bool,
}

pub(super) fn max_unpool(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let kernel: Vec<i64> = node.get_attr_vec("kernel_shape")?;
    let strides = node.get_attr_opt_vec("strides")?;
    let pads = node.get_attr_opt_vec("pads")?;
    build(MaxUnpool {
        strides: strides.unwrap_or_else(|| vec![1; kernel.len()]),
        pads: pads.unwrap_or_else(|| vec![0; 2 * kernel.len()]),
        kernel,
        has_shape: optional_inputs(node).nth(2).flatten().is_some(),
    })
}

impl MaxUnpool {
    /// What a pooling to this shape was made of, if its windows fit exactly.
    fn pooled(&self, shape: &[TDim]) -> TVec<TDim> {
        let mut pooled: TVec<TDim> = shape.into();
        let before = self.pads.iter();
        let pads = before.zip(self.pads.iter().skip(self.kernel.len()));
        let windows = self.kernel.iter().zip(&self.strides).zip(pads);
        for (size, ((kernel, stride), (before, after))) in pooled.iter_mut().skip(2).zip(windows) {
            *size = (size.clone() - 1) * *stride + *kernel - *before - *after;
        }
        pooled
    }
}

impl Operator for MaxUnpool {
    fn name(&self) -> &'static str {
        "MaxUnpool"
    }

    fn shaping(&self) -> &[usize] {
        if self.has_shape { &[2] } else { &[] }
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Some(input) = inputs.first() else {
            bail!("no tensor");
        };
        let axes = self.kernel.len();
        ensure!(
            input.rank() == axes + 2 && self.strides.len() == axes && self.pads.len() == 2 * axes,
            "MaxUnpool: {} dimensions for a tensor of {}",
            axes,
            input.rank()
        );
        let shape = match inputs.get(2) {
            Some(shape) => known::<TDim>(shape, "the output shape of MaxUnpool")?.into(),
            None => self.pooled(&input.shape),
        };
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (Some(input), Some(places)) = (inputs.first(), inputs.get(1)) else {
            bail!("a tensor and places");
        };
        let shape: TVec<TDim> = input.shape().iter().map(ToDim::to_dim).collect();
        let small = self.pooled(&shape);
        let small = small.iter().map(DimLike::to_usize);
        let small: TVec<usize> = small.collect::<Result<_, _>>()?;
        let shape: TVec<usize> = match inputs.get(2) {
            Some(shape) => numbers::<i64>(shape)?
                .iter()
                .map(|size| *size as usize)
                .collect(),
            None => small.clone(),
        };
        // Places count elements of the tensor as the windows cover it.
        let mut from = vec![None; shape.iter().product()];
        for (number, at) in numbers::<i64>(places)?.into_iter().enumerate() {
            let at = place(&shape, &indices(&small, at as usize));
            let slot = from
                .get_mut(at)
                .context("MaxUnpool: an index outside of the output")?;
            *slot = Some(number);
        }
        Ok(tvec!(take(input, &shape, |at| from
            .get(at)
            .copied()
            .flatten())?))
    }
}
