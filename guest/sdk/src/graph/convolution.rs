//! A convolution while the graph is being optimised: it takes in what follows it.

use std::hash::{Hash, Hasher};

use glovebox_kernels::Filter;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PoolSpec};
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::packed::{Convolver, Packed};
use super::spec::is_ours;

/// `bounds(filter * input + bias [+ another input])`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Convolution {
    pub(super) spec: PoolSpec,
    pub(super) groups: usize,
    /// Channels of the output, channels of a group, rows, columns.
    pub(super) filter: Arc<Tensor>,
    /// A number for each channel of the output.
    pub(super) bias: Vec<f32>,
    /// Whether a second input is added.
    pub(super) has_addend: bool,
    pub(super) bounds: Bounds,
}

/// The least and the most that a number can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: f32,
    pub(crate) most: f32,
}

impl Eq for Bounds {}

impl Hash for Bounds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        [self.least, self.most].map(f32::to_bits).hash(state);
    }
}

impl Bounds {
    const NONE: Self = Self {
        least: f32::NEG_INFINITY,
        most: f32::INFINITY,
    };
}

impl Eq for Convolution {}

/// Too few pixels to share what is read of a filter: as well served by tract's product with a vector.
const FEW_PIXELS: usize = 4;

impl Convolution {
    /// Ours for tract's, if we have it.
    pub(super) fn adopt(conv: &Conv, inputs: &[TypedFact]) -> TractResult<Option<Self>> {
        let [input, filter, bias] = inputs else {
            return Ok(None);
        };
        let spec = &conv.pool_spec;
        let is_ours = is_ours(spec, input)
            && conv.q_params.is_none()
            && conv.kernel_fmt == KernelFormat::OIHW
            && !has_few_pixels(spec, input)?;
        let (Some(filter), Some(bias)) = (plain(filter), plain(bias)) else {
            return Ok(None);
        };
        if !is_ours {
            return Ok(None);
        }
        let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        let channels = spec.output_channels;
        Ok(Some(Self {
            spec: spec.clone(),
            groups: conv.group,
            filter: Arc::clone(filter),
            bias: match bias.as_slice() {
                [all] => vec![*all; channels],
                _ => bias,
            },
            has_addend: false,
            bounds: Bounds::NONE,
        }))
    }

    /// A convolution of single pixels for a product of `image` with a constant that has a number for each
    /// channel, if it is that.
    pub(super) fn by_channel(
        op: &TypedBinOp,
        image: &TypedFact,
        by: &TypedFact,
    ) -> TractResult<Option<Self>> {
        let Some(channels) = image.shape.get(1).and_then(|size| size.to_usize().ok()) else {
            return Ok(None);
        };
        let spec = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec![1, 1],
            input_channels: channels,
            output_channels: channels,
            ..PoolSpec::default()
        };
        let is_ours = op.0.is::<Mul>() && image.rank() == 4 && is_ours(&spec, image);
        if !is_ours || plain(by).is_none_or(|by| by.len() != channels) {
            return Ok(None);
        }
        let identity = Self {
            filter: Tensor::from_shape(&[channels, 1, 1, 1], &vec![1f32; channels])?
                .into_arc_tensor(),
            groups: channels,
            bias: vec![0.0; channels],
            has_addend: false,
            bounds: Bounds::NONE,
            spec,
        };
        identity.then(op, by, &image.shape)
    }

    /// What the filter is when all of it is known.
    pub(super) fn convolver(&self) -> TractResult<Convolver> {
        let channels = self.spec.output_channels;
        let filter = self.filter.try_as_plain_ram()?;
        let filter = filter.as_slice::<f32>()?;
        let is_depthwise = self.groups == self.spec.input_channels;
        Ok(match is_depthwise {
            true => Convolver::Depthwise {
                filter: tensor1(filter).into_arc_tensor(),
                multiple: channels / self.groups,
            },
            false => {
                let sizes = Filter {
                    groups: self.groups,
                    rows: channels / self.groups,
                    channels: self.spec.input_channels / self.groups,
                    places: self.spec.kernel_shape.iter().product(),
                };
                Convolver::Product {
                    filter: tensor1(&sizes.pack(filter)).into_arc_tensor(),
                    sizes,
                }
            }
        })
    }

    fn packed(&self) -> TractResult<Packed> {
        Ok(Packed {
            spec: self.spec.clone(),
            convolver: self.convolver()?,
            bias: tensor1(&self.bias).into_arc_tensor(),
            has_addend: self.has_addend,
            bounds: self.bounds,
        })
    }

    /// Nothing has been done to the sums yet.
    fn is_linear(&self) -> bool {
        self.bounds == Bounds::NONE
    }

    /// This with `op` behind it, whose other operand is `other`. Nothing if that is not possible.
    fn then(
        &self,
        op: &TypedBinOp,
        other: &TypedFact,
        shape: &ShapeFact,
    ) -> TractResult<Option<Self>> {
        if op.1.is_some() || other.datum_type != f32::datum_type() {
            return Ok(None);
        }
        let mut fused = self.clone();
        let op = &op.0;
        if let Some(value) = one_value(other) {
            let Bounds { least, most } = &mut fused.bounds;
            if op.is::<Max>() && !value.is_nan() {
                (*least, *most) = (least.max(value), most.max(value));
                return Ok(Some(fused));
            }
            if op.is::<Min>() && !value.is_nan() {
                (*least, *most) = (least.min(value), most.min(value));
                return Ok(Some(fused));
            }
        }
        if !self.is_linear() {
            return Ok(None);
        }
        if let Some(values) = self.values_of(other, shape)? {
            if op.is::<Add>() {
                fused
                    .bias
                    .iter_mut()
                    .zip(&values)
                    .for_each(|(bias, value)| *bias += value);
                return Ok(Some(fused));
            }
            if op.is::<Mul>() && !self.has_addend {
                fused.scale(&values)?;
                return Ok(Some(fused));
            }
            return Ok(None);
        }
        if op.is::<Add>() && !self.has_addend && other.shape == *shape && other.is_plain() {
            fused.has_addend = true;
            return Ok(Some(fused));
        }
        Ok(None)
    }

    /// The values of an operand that has one for each channel of the output, or one for all.
    fn values_of(&self, other: &TypedFact, shape: &ShapeFact) -> TractResult<Option<Vec<f32>>> {
        let channels = self.spec.output_channels;
        if let Some(value) = one_value(other) {
            return Ok(Some(vec![value; channels]));
        }
        let Some(values) = plain(other) else {
            return Ok(None);
        };
        let c_axis = self.spec.data_format.shape(shape.to_tvec())?.c_axis();
        let is_of_channels = |(axis, size): (usize, &usize)| match axis == c_axis {
            true => *size == channels,
            false => *size == 1,
        };
        let is_by_channel =
            values.rank() == shape.rank() && values.shape().iter().enumerate().all(is_of_channels);
        let values = values.try_as_plain_ram()?;
        Ok(match is_by_channel {
            true => Some(values.as_slice::<f32>()?.to_vec()),
            false => None,
        })
    }

    /// Multiplies each channel of the output.
    fn scale(&mut self, by: &[f32]) -> TractResult<()> {
        let mut filter = self.filter.as_ref().clone();
        let row = filter.len() / by.len().max(1);
        let mut plain = filter.try_as_plain_ram_mut()?;
        let rows = plain.as_slice_mut::<f32>()?.chunks_exact_mut(row.max(1));
        for ((row, bias), by) in rows.zip(&mut self.bias).zip(by) {
            row.iter_mut().for_each(|number| *number *= by);
            *bias *= by;
        }
        self.filter = filter.into_arc_tensor();
        Ok(())
    }
}

/// A constant of numbers with a point.
fn plain(fact: &TypedFact) -> Option<&Arc<Tensor>> {
    let tensor = fact.konst.as_ref()?;
    (tensor.datum_type() == f32::datum_type() && tensor.is_plain()).then_some(tensor)
}

/// The number that a constant is everywhere.
fn one_value(fact: &TypedFact) -> Option<f32> {
    let uniform = match &fact.uniform {
        Some(uniform) => Arc::clone(uniform),
        None => plain(fact).filter(|tensor| tensor.len() == 1)?.clone(),
    };
    uniform.cast_to_scalar::<f32>().ok()
}

fn has_few_pixels(spec: &PoolSpec, input: &TypedFact) -> TractResult<bool> {
    let Some(shape) = input.shape.as_concrete() else {
        return Ok(false);
    };
    let output = spec.output_shape(shape)?;
    Ok(output.hw_dims().iter().product::<usize>() < FEW_PIXELS)
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "GloveboxConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(self.spec.info())
    }

    op_as_typed_op!();
}

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.packed()?.eval(context, inputs)
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.spec.output_facts(inputs)
    }

    /// Takes in the next node.
    fn declutter(
        &self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<TypedModelPatch>> {
        let Some(next) = model.single_succ(node.id)? else {
            return Ok(None);
        };
        let (Some(op), [left, right]) = (next.op_as::<TypedBinOp>(), next.inputs.as_slice()) else {
            return Ok(None);
        };
        let other = if left.node == node.id { *right } else { *left };
        if other.node == node.id {
            return Ok(None);
        }
        let shape = &model.outlet_fact(node.id.into())?.shape;
        if model.outlet_fact(next.id.into())?.shape != *shape {
            return Ok(None);
        }
        let Some(fused) = self.then(op, model.outlet_fact(other)?, shape)? else {
            return Ok(None);
        };
        let mut inputs = node.inputs.clone();
        if fused.has_addend && !self.has_addend {
            inputs.push(other);
        }
        let mut patch = TypedModelPatch::new("taken in by a convolution");
        let inputs = patch.taps(model, &inputs)?;
        let output = patch.wire_node(&next.name, fused, &inputs)?;
        for output in output {
            patch.shunt_outside(model, next.id.into(), output)?;
        }
        Ok(Some(patch))
    }

    fn codegen(
        &self,
        model: &TypedModel,
        node: &TypedNode,
    ) -> TractResult<Option<TypedModelPatch>> {
        let patch = TypedModelPatch::replace_single_op(model, node, &node.inputs, self.packed()?)?;
        Ok(Some(patch))
    }

    as_op!();
}
