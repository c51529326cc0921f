//! Operators as they were in earlier versions of ONNX: `Upsample`, `Resize` and `PRelu`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, numbers};
use super::operator::{Built, Operator, build, tracts};

/// The version that has `Resize` with nothing but scales.
const SCALES_ONLY: i64 = 10;
/// The version since which slopes belong to the last axes.
const SLOPES_LAST: i64 = 7;

/// `Upsample` is `Resize` of version 10 under its first name.
pub(super) fn upsample(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let context = ParsingContext {
        onnx_operator_set_version: SCALES_ONLY,
        ..context.clone()
    };
    let mut node = node.clone();
    node.op_type = "Resize".into();
    for attribute in &mut node.attribute {
        if attribute.name == "mode" && attribute.s == b"bilinear" {
            attribute.s = b"linear".into();
        }
    }
    resize(&context, &node)
}

/// In version 10, the nearest pixel is the one before.
pub(super) fn resize(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version != SCALES_ONLY {
        return tracts(context, node);
    }
    let mut node = node.clone();
    node.attribute.push(AttributeProto {
        name: "nearest_mode".into(),
        r#type: AttributeType::String as i32,
        s: b"floor".into(),
        ..AttributeProto::default()
    });
    tracts(context, &node)
}

/// A slope for each channel, for numbers below zero.
#[derive(Debug)]
struct ChannelSlopes;

pub(super) fn p_relu(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    match context.onnx_operator_set_version {
        ..SLOPES_LAST => build(ChannelSlopes),
        _ => tracts(context, node),
    }
}

impl Operator for ChannelSlopes {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, _] = inputs else {
            bail!("a tensor and slopes, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, slopes] = inputs else {
            bail!("a tensor and slopes");
        };
        let slopes = numbers::<f32>(slopes)?;
        let channels = Axis::new(1.min(input.rank() as i64 - 1), input.shape())?;
        let mut all = numbers::<f32>(input)?;
        for (at, number) in all
            .iter_mut()
            .enumerate()
            .filter(|(_, number)| **number < 0.0)
        {
            let slope = match &*slopes {
                [slope] => Some(slope),
                slopes => slopes.get(channels.index(at)),
            };
            *number *= slope.context("PRelu: fewer slopes than channels")?;
        }
        let all = Tensor::from_shape(input.shape(), &all)?;
        Ok(tvec!(all.cast_to_dt(input.datum_type())?.into_owned()))
    }
}
