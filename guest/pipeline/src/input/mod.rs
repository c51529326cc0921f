//! `[input]`: media to tensors.

mod image;
mod record;

use glovebox_protocol::{Tensor, TensorSpec};
use serde::Deserialize;

pub(crate) use self::image::{Placement, Size};

use crate::error::CallError;

/// How media becomes tensors.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Input {
    Image(image::ImageInput),
    Record(record::RecordInput),
}

/// Media as the model takes it.
pub(crate) struct Decoded {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) origin: Origin,
}

/// What an answer has to know of the media that it answers.
pub(crate) enum Origin {
    /// Nothing but how many rows there are, which the tensors tell.
    Rows,
    /// How large the picture is, and where it lies on the model's input.
    Picture(Placement),
}

impl Input {
    /// Whether the configuration fits the model's inputs.
    pub(crate) fn check(&self, inputs: &[TensorSpec]) -> Result<(), String> {
        match self {
            Self::Image(image) => image.check(only(inputs)?),
            Self::Record(record) => record.check(only(inputs)?),
        }
    }

    /// The content types that become tensors.
    pub(crate) fn media(&self) -> &'static [&'static str] {
        match self {
            Self::Image(_) => image::MEDIA,
            Self::Record(_) => &["application/json"],
        }
    }

    /// Decodes a body of one of these content types.
    pub(crate) fn decode(
        &self,
        inputs: &[TensorSpec],
        content_type: &str,
        body: &[u8],
    ) -> Result<Decoded, CallError> {
        let spec = only(inputs).map_err(CallError::Failed)?;
        let (tensor, origin) = match self {
            Self::Image(image) => {
                let (tensor, placement) = image.decode(spec, content_type, body)?;
                (tensor, Origin::Picture(placement))
            }
            Self::Record(record) => (record.decode(spec, body)?, Origin::Rows),
        };
        Ok(Decoded {
            tensors: vec![tensor],
            origin,
        })
    }
}

/// The input of a model that has one.
fn only(inputs: &[TensorSpec]) -> Result<&TensorSpec, String> {
    match inputs {
        [spec] => Ok(spec),
        _ => Err(format!(
            "[input] feeds one tensor, and the model has {} inputs",
            inputs.len()
        )),
    }
}
