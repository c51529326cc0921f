//! Series to tensors: the numbers of one or more channels, step by step.

mod channel;

use std::cmp::Ordering;

use glovebox_protocol::{Datatype, Tensor, TensorSpec};
use serde::Deserialize;

use self::channel::Channel;
use super::rows::{Cell, Number, Rows, Terms};
use super::values::{Values, fitting};
use crate::CallError;

/// The content types that become tensors.
pub(super) const MEDIA: &[&str] = &["application/json", "text/csv", "text/tab-separated-values"];

/// Steps of a series: a day of seconds, or some seconds of sound.
const MAX_STEPS: usize = 100_000;

/// `[input] kind = "series"`: one series a request.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct SeriesInput {
    channels: Vec<Channel>,
    rows: Rows,
    layout: Layout,
    length: Option<usize>,
    /// What stands for steps that are missing, as the model takes it.
    pad: Option<f64>,
    pad_side: End,
    /// The end that stays of a series that is too long.
    keep: Option<End>,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// In the order of the tensor.
    #[serde(default = "one_channel")]
    channels: Vec<Channel>,
    #[serde(default)]
    layout: Layout,
    length: Option<usize>,
    pad: Option<f64>,
    pad_side: Option<End>,
    keep: Option<End>,
}

/// The order of the tensor's axes, behind that of the series.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Layout {
    #[default]
    StepsChannels,
    ChannelsSteps,
}

/// An end of a series.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum End {
    Start,
    End,
}

fn one_channel() -> Vec<Channel> {
    vec![Channel::plain("value")]
}

impl TryFrom<Written> for SeriesInput {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let terms = Terms {
            row: "step",
            cell: "channel",
            most: MAX_STEPS,
            is_ordered: true,
        };
        if written
            .length
            .is_some_and(|length| !(1..=MAX_STEPS).contains(&length))
        {
            return Err(format!("[input] length must be from 1 to {MAX_STEPS}"));
        }
        if written.pad_side.is_some() && written.pad.is_none() {
            return Err("[input] pad_side is for series with pad".into());
        }
        let names = written.channels.iter().map(|channel| channel.name.clone());
        Ok(Self {
            rows: Rows::new(terms, names.collect())?,
            channels: written.channels,
            layout: written.layout,
            length: written.length,
            pad: written.pad,
            pad_side: written.pad_side.unwrap_or(End::Start),
            keep: written.keep,
        })
    }
}

impl SeriesInput {
    /// Whether a series fits the tensor that it fills.
    pub(crate) fn check(&self, spec: &TensorSpec) -> Result<(), String> {
        let name = &spec.name;
        if !matches!(spec.datatype, Datatype::Fp32 | Datatype::Fp64) {
            return Err(format!(
                "input {name:?} is {}; series become FP32 or FP64",
                spec.datatype
            ));
        }
        let (steps, channels) = self.sizes(spec).ok_or_else(|| self.unfit(spec))?;
        if channels != -1 && channels != self.channels.len() as i64 {
            return Err(self.unfit(spec));
        }
        if let Some(pad) = self.pad {
            fitting(spec.datatype, pad).map_err(|why| format!("[input] pad {why}"))?;
        }
        match (self.length, steps) {
            (_, steps) if steps > MAX_STEPS as i64 => Err(format!(
                "input {name:?} has {steps} steps; a series has at most {MAX_STEPS}"
            )),
            (None, -1) if self.pad.is_some() || self.keep.is_some() => Err(format!(
                "[input] pad and keep are for a fixed length, and input {name:?} has none; set length"
            )),
            (_, -1) | (None, _) => Ok(()),
            (Some(length), steps) if length as i64 == steps => Ok(()),
            (Some(length), steps) => Err(format!(
                "[input] length is {length}, but input {name:?} has {steps} steps"
            )),
        }
    }

    fn unfit(&self, spec: &TensorSpec) -> String {
        let count = self.channels.len();
        let axes = match (self.layout, count) {
            (_, 1) => "[1, steps], [1, steps, 1] or [1, 1, steps], as layout says".into(),
            (Layout::StepsChannels, _) => format!("[1, steps, {count}]"),
            (Layout::ChannelsSteps, _) => format!("[1, {count}, steps]"),
        };
        format!(
            "input {:?} has shape {:?}; a series of this [input] has {axes}",
            spec.name, spec.shape
        )
    }

    /// The steps and the channels that an input has room for, -1 being any number.
    fn sizes(&self, spec: &TensorSpec) -> Option<(i64, i64)> {
        match (spec.shape.as_slice(), self.layout) {
            ([-1 | 1, steps, channels], Layout::StepsChannels)
            | ([-1 | 1, channels, steps], Layout::ChannelsSteps) => Some((*steps, *channels)),
            ([-1 | 1, steps], _) => Some((*steps, 1)),
            _ => None,
        }
    }

    /// Decodes a series, brought to the length that the model takes.
    pub(crate) fn decode(
        &self,
        spec: &TensorSpec,
        content_type: &str,
        body: &[u8],
    ) -> Result<Tensor, CallError> {
        let mut numbers = Vec::new();
        self.rows.read(content_type, body, &mut |step| {
            self.append(step, spec.datatype, &mut numbers)
        })?;
        let room = self.sizes(spec).map_or(-1, |(steps, _)| steps);
        if let Some(length) = usize::try_from(room).ok().or(self.length) {
            self.fit(&mut numbers, length)?;
        }
        self.tensor(spec, &numbers)
    }

    /// Appends the numbers of one step.
    fn append(
        &self,
        step: &[Cell<'_>],
        datatype: Datatype,
        numbers: &mut Vec<f64>,
    ) -> Result<(), String> {
        let width = self.channels.len();
        for (channel, cell) in self.channels.iter().zip(step) {
            // This channel's number at the step before is as many numbers ago as there are channels.
            let before = numbers.len().checked_sub(width);
            let last = before.and_then(|before| numbers.get(before)).copied();
            let number = channel.number(cell, last);
            let number = number.and_then(|number| fitting(datatype, number));
            numbers.push(number.map_err(|why| self.rows.about(&channel.name, &why))?);
        }
        Ok(())
    }

    /// Cuts or pads to so many steps.
    fn fit(&self, numbers: &mut Vec<f64>, length: usize) -> Result<(), CallError> {
        let width = self.channels.len();
        let steps = numbers.len() / width.max(1);
        let refused =
            || CallError::InvalidInput(format!("{steps} steps, but this model takes {length}"));
        match steps.cmp(&length) {
            Ordering::Equal => {}
            Ordering::Greater => match self.keep.ok_or_else(refused)? {
                End::Start => numbers.truncate(length * width),
                End::End => drop(numbers.drain(..(steps - length) * width)),
            },
            Ordering::Less => {
                let pad = self.pad.ok_or_else(refused)?;
                let padding = vec![pad; (length - steps) * width];
                let place = match self.pad_side {
                    End::Start => 0,
                    End::End => numbers.len(),
                };
                drop(numbers.splice(place..place, padding));
            }
        }
        Ok(())
    }

    /// The input, filled with the numbers of whole steps.
    fn tensor(&self, spec: &TensorSpec, numbers: &[f64]) -> Result<Tensor, CallError> {
        let width = self.channels.len().max(1);
        let steps = numbers.len() / width;
        let (sizes, stride) = match self.layout {
            Layout::StepsChannels => ([1, steps, width], 1),
            Layout::ChannelsSteps => ([1, width, steps], width),
        };
        let mut values = Values::new(spec.datatype);
        for first in 0..stride {
            for number in numbers.iter().skip(first).step_by(stride) {
                let pushed = values.push(Number::from(*number));
                pushed.map_err(CallError::InvalidInput)?;
            }
        }
        let mut shape = sizes.map(|size| size as u64).to_vec();
        if spec.shape.len() == 2 {
            // One channel, which has no axis.
            shape = vec![1, steps as u64];
        }
        Ok(Tensor::new(
            spec.name.clone(),
            spec.datatype,
            shape,
            values.into_data(),
        )?)
    }
}
