//! Operators that read images between their pixels: `RoiAlign`, `DeformConv`, `AffineGrid`.

use std::fmt::Debug;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::{indices, known, numbers};
use super::operator::{Built, Operator, build};

/// A channel of an image.
struct Channel<'a> {
    rows: usize,
    columns: usize,
    pixels: &'a [f32],
}

/// Four pixels around a point, and how much of each.
type Corners = [(usize, f32); 4];

impl Channel<'_> {
    fn pixel(&self, row: isize, column: isize) -> f32 {
        let inside = usize::try_from(row).ok().zip(usize::try_from(column).ok());
        let at = inside.filter(|(row, column)| *row < self.rows && *column < self.columns);
        at.and_then(|(row, column)| self.pixels.get(row * self.columns + column))
            .copied()
            .unwrap_or(0.0)
    }

    /// Between four pixels; what lies outside of the image is zero.
    fn between(&self, row: f32, column: f32) -> f32 {
        let (top, left) = (row.floor(), column.floor());
        let (down, right) = (row - top, column - left);
        let (top, left) = (top as isize, left as isize);
        let (bottom, beside) = (top.saturating_add(1), left.saturating_add(1));
        self.pixel(top, left) * (1.0 - down) * (1.0 - right)
            + self.pixel(top, beside) * (1.0 - down) * right
            + self.pixel(bottom, left) * down * (1.0 - right)
            + self.pixel(bottom, beside) * down * right
    }
}

/// The sizes of a tensor of images: how many, channels, rows, columns.
fn sizes<S: Clone + Debug>(shape: &[S]) -> TractResult<[S; 4]> {
    let sizes = <[S; 4]>::try_from(shape.to_vec());
    sizes.map_err(|shape| format_err!("{shape:?} is no shape of images"))
}

/// Parts of an image, each brought to the same size.
#[derive(Debug)]
struct RoiAlign {
    rows: usize,
    columns: usize,
    /// Samples in each direction for a number of the output; 0 for as many as there are pixels.
    sampling_ratio: usize,
    spatial_scale: f32,
    offset: f32,
    by_max: bool,
}

pub(super) fn roi_align(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let default = match context.onnx_operator_set_version {
        ..16 => "output_half_pixel",
        _ => "half_pixel",
    };
    let mode = node.get_attr_opt("coordinate_transformation_mode")?;
    let by_max = match node.get_attr_opt("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => bail!("RoiAlign: mode {other:?} is not supported"),
    };
    let ratio: i64 = node.get_attr_opt("sampling_ratio")?.unwrap_or(0);
    build(RoiAlign {
        rows: node.get_attr_opt("output_height")?.unwrap_or(1),
        columns: node.get_attr_opt("output_width")?.unwrap_or(1),
        sampling_ratio: usize::try_from(ratio).unwrap_or(0),
        spatial_scale: node.get_attr_opt("spatial_scale")?.unwrap_or(1.0),
        offset: match mode.unwrap_or(default) {
            "half_pixel" => 0.5,
            "output_half_pixel" => 0.0,
            other => bail!("RoiAlign: coordinate_transformation_mode {other:?} is not supported"),
        },
        by_max,
    })
}

impl Operator for RoiAlign {
    fn name(&self) -> &'static str {
        "RoiAlign"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [image, regions, _] = inputs else {
            bail!("an image, regions and their batches, not {}", inputs.len());
        };
        let [_, channels, ..] = sizes(&image.shape)?;
        let [count, _] = &*regions.shape else {
            bail!("a list of regions, not {:?}", regions.shape);
        };
        let shape = [
            count.clone(),
            channels,
            self.rows.to_dim(),
            self.columns.to_dim(),
        ];
        Ok(tvec!(image.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [image, regions, batches] = inputs else {
            bail!("an image, regions and their batches");
        };
        let [count, channels, rows, columns] = sizes(image.shape())?;
        let pixels = numbers::<f32>(image)?;
        let (corners, batches) = (numbers::<f32>(regions)?, numbers::<i64>(batches)?);
        let mut pooled = Vec::new();
        for (region, batch) in corners.chunks_exact(4).zip(batches) {
            let batch = usize::try_from(batch).ok().filter(|batch| *batch < count);
            let batch = batch.context("a region of an image that is not there")?;
            let samples = self.samples(region, rows, columns)?;
            for channel in 0..channels {
                let at = (batch * channels + channel) * rows * columns;
                let pixels = pixels.get(at..at + rows * columns).unwrap_or_default();
                pooled.extend(samples.iter().map(|cell| self.pool(cell, pixels)));
            }
        }
        let shape = [corners.len() / 4, channels, self.rows, self.columns];
        let pooled = Tensor::from_shape(&shape, &pooled)?;
        Ok(tvec!(pooled.cast_to_dt(image.datum_type())?.into_owned()))
    }
}

/// More samples than this for one number are a mistake in the regions.
const MOST_SAMPLES: f32 = 1024.0;

impl RoiAlign {
    /// For each number of the output the points that are read for it.
    fn samples(
        &self,
        region: &[f32],
        rows: usize,
        columns: usize,
    ) -> TractResult<Vec<Vec<Corners>>> {
        let scaled = |corner: &f32| corner * self.spatial_scale - self.offset;
        let region: Vec<f32> = region.iter().map(scaled).collect();
        let &[left, top, right, bottom] = region.as_slice() else {
            bail!("a region of four numbers");
        };
        let least = if self.offset == 0.0 { 1.0 } else { f32::MIN };
        let (height, width) = ((bottom - top).max(least), (right - left).max(least));
        let (cell_rows, cell_columns) = (height / self.rows as f32, width / self.columns as f32);
        let grid = |size: f32| match self.sampling_ratio {
            0 if size.ceil() > MOST_SAMPLES => bail!("a region of {size} pixels a number"),
            0 => Ok(size.ceil() as usize),
            ratio => Ok(ratio),
        };
        let (grid_rows, grid_columns) = (grid(cell_rows)?, grid(cell_columns)?);
        let point = |start: f32, cell: usize, size: f32, step: usize, steps: usize| {
            start + cell as f32 * size + (step as f32 + 0.5) * size / steps as f32
        };
        let mut cells = Vec::with_capacity(self.rows * self.columns);
        for (row, column) in pairs(self.rows, self.columns) {
            let steps = pairs(grid_rows, grid_columns).map(|(down, right)| {
                corners(
                    point(top, row, cell_rows, down, grid_rows),
                    point(left, column, cell_columns, right, grid_columns),
                    (rows, columns),
                )
            });
            cells.push(steps.collect());
        }
        Ok(cells)
    }

    fn pool(&self, points: &[Corners], pixels: &[f32]) -> f32 {
        let parts = |corners: &Corners| {
            corners.map(|(at, part)| pixels.get(at).copied().unwrap_or(0.0) * part)
        };
        if self.by_max {
            let largest = points.iter().flat_map(parts).reduce(f32::max);
            return largest.unwrap_or(0.0);
        }
        let sum: f32 = points.iter().flat_map(parts).sum();
        sum / points.len().max(1) as f32
    }
}

fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

/// The pixels around a point. Points up to one pixel outside of the image count as on its border.
fn corners(row: f32, column: f32, (rows, columns): (usize, usize)) -> Corners {
    let is_outside = |at: f32, size: usize| at < -1.0 || at > size as f32;
    if is_outside(row, rows) || is_outside(column, columns) {
        return Corners::default();
    }
    let around = |at: f32, size: usize| {
        let last = size.saturating_sub(1);
        let before = at.max(0.0) as usize;
        match before >= last {
            true => (last, last, 0.0),
            false => (before, before + 1, at.max(0.0) - before as f32),
        }
    };
    let (top, bottom, down) = around(row, rows);
    let (left, right, beside) = around(column, columns);
    [
        (top * columns + left, (1.0 - down) * (1.0 - beside)),
        (top * columns + right, (1.0 - down) * beside),
        (bottom * columns + left, down * (1.0 - beside)),
        (bottom * columns + right, down * beside),
    ]
}

/// How windows lie along one axis of an image.
#[derive(Debug)]
struct Steps {
    pad: usize,
    stride: usize,
    dilation: usize,
}

impl Steps {
    fn start(&self, step: usize, inner: usize) -> f32 {
        (step * self.stride + inner * self.dilation) as f32 - self.pad as f32
    }
}

/// A convolution whose window is bent by offsets.
#[derive(Debug)]
struct DeformConv {
    rows: Steps,
    columns: Steps,
    groups: usize,
    offset_groups: usize,
    bias: Option<usize>,
    mask: Option<usize>,
}

pub(super) fn deform_conv(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let attribute = |name: &str| node.get_attr_opt_vec::<usize>(name);
    let (pads, strides, dilations) = (
        attribute("pads")?,
        attribute("strides")?,
        attribute("dilations")?,
    );
    let steps = |axis: usize| {
        let at = |values: &Option<Vec<usize>>, default| match values {
            None => Some(default),
            Some(values) => values.get(axis).copied(),
        };
        Some(Steps {
            pad: at(&pads, 0)?,
            stride: at(&strides, 1)?,
            dilation: at(&dilations, 1)?,
        })
    };
    let two = "DeformConv: attributes of one dimension";
    let mut optional = tract_onnx::model::optional_inputs(node).skip(3);
    build(DeformConv {
        rows: steps(0).context(two)?,
        columns: steps(1).context(two)?,
        groups: node.get_attr_opt("group")?.unwrap_or(1),
        offset_groups: node.get_attr_opt("offset_group")?.unwrap_or(1),
        bias: optional.next().flatten(),
        mask: optional.next().flatten(),
    })
}

impl Operator for DeformConv {
    fn name(&self) -> &'static str {
        "DeformConv"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [image, filters, offsets, ..] = inputs else {
            bail!("an image, filters and offsets, not {}", inputs.len());
        };
        let ([count, ..], [made, ..]) = (sizes(&image.shape)?, sizes(&filters.shape)?);
        let [_, _, rows, columns] = sizes(&offsets.shape)?;
        let shape = [count, made, rows, columns];
        Ok(tvec!(image.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [image, filters, offsets, ..] = inputs else {
            bail!("an image, filters and offsets");
        };
        let [count, channels, ..] = sizes(image.shape())?;
        let [made, taken, high, wide] = sizes(filters.shape())?;
        let [_, _, rows, columns] = sizes(offsets.shape())?;
        let bent = self.bent(inputs)?;
        let cells = rows * columns;
        ensure!(
            self.groups > 0 && taken * self.groups == channels && made % self.groups == 0,
            "DeformConv: {channels} channels for filters of {taken} in {} groups",
            self.groups
        );
        let (window, weights) = (taken * high * wide, numbers::<f32>(filters)?);
        let bias = self.bias.and_then(|bias| inputs.get(bias));
        let bias = bias.map(|bias| numbers::<f32>(bias)).transpose()?;
        let mut output = Vec::with_capacity(count * made * cells);
        for number in 0..count {
            for (filter, weights) in weights.chunks_exact(window.max(1)).enumerate() {
                let group = filter / (made / self.groups);
                let first = (number * self.groups + group) * window * cells;
                let start = bias.as_ref().and_then(|bias| bias.get(filter)).copied();
                let mut sums = vec![start.unwrap_or(0.0); cells];
                for (at, weight) in weights.iter().enumerate() {
                    let row = first + at * cells;
                    let row = bent.get(row..row + cells).unwrap_or_default();
                    for (sum, pixel) in sums.iter_mut().zip(row) {
                        *sum += weight * pixel;
                    }
                }
                output.extend(sums);
            }
        }
        let shape = [count, made, rows, columns];
        let output = Tensor::from_shape(&shape, &output)?;
        Ok(tvec!(output.cast_to_dt(image.datum_type())?.into_owned()))
    }
}

impl DeformConv {
    /// What lies under the bent windows: for each image, channel and place in the filter one number
    /// for each number of the output.
    fn bent(&self, inputs: &[TValue]) -> TractResult<Vec<f32>> {
        let [image, filters, offsets, ..] = inputs else {
            bail!("an image, filters and offsets");
        };
        let [count, channels, rows, columns] = sizes(image.shape())?;
        let [_, _, high, wide] = sizes(filters.shape())?;
        let [_, bends, out_rows, out_columns] = sizes(offsets.shape())?;
        let (cells, spots) = (out_rows * out_columns, high * wide);
        ensure!(
            self.offset_groups > 0
                && channels % self.offset_groups == 0
                && bends == self.offset_groups * spots * 2,
            "DeformConv: offsets of shape {:?} in {} groups",
            offsets.shape(),
            self.offset_groups
        );
        let pixels = numbers::<f32>(image)?;
        let offsets = numbers::<f32>(offsets)?;
        let mask = self.mask.and_then(|mask| inputs.get(mask));
        let mask = mask.map(|mask| numbers::<f32>(mask)).transpose()?;
        let mut bent = Vec::with_capacity(count * channels * spots * cells);
        for (image, channel) in pairs(count, channels) {
            let at = (image * channels + channel) * rows * columns;
            let channel_pixels = Channel {
                rows,
                columns,
                pixels: pixels.get(at..at + rows * columns).unwrap_or_default(),
            };
            let group = channel / (channels / self.offset_groups);
            let first = (image * self.offset_groups + group) * spots;
            for (down, right) in pairs(high, wide) {
                let spot = first + down * wide + right;
                let offset = |axis: usize, cell: usize| {
                    let at = (spot * 2 + axis) * cells + cell;
                    offsets.get(at).copied().unwrap_or(0.0)
                };
                for (row, column) in pairs(out_rows, out_columns) {
                    let cell = row * out_columns + column;
                    let row = self.rows.start(row, down) + offset(0, cell);
                    let column = self.columns.start(column, right) + offset(1, cell);
                    let part = mask.as_ref().and_then(|mask| mask.get(spot * cells + cell));
                    bent.push(channel_pixels.between(row, column) * part.unwrap_or(&1.0));
                }
            }
        }
        Ok(bent)
    }
}

/// Where each pixel of an image comes from, by an affine transformation.
#[derive(Debug)]
struct AffineGrid {
    align_corners: bool,
}

pub(super) fn affine_grid(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let align_corners = node.get_attr_opt::<i64>("align_corners")?.unwrap_or(0) != 0;
    build(AffineGrid { align_corners })
}

impl Operator for AffineGrid {
    fn name(&self) -> &'static str {
        "AffineGrid"
    }

    fn shaping(&self) -> &[usize] {
        &[1]
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [theta, size] = inputs else {
            bail!("transformations and a size, not {}", inputs.len());
        };
        let size = known::<TDim>(size, "the size of AffineGrid")?;
        let [_, _, sizes @ ..] = size.as_slice() else {
            bail!("AffineGrid: a size of {} dimensions", size.len());
        };
        let mut shape: TVec<TDim> = theta.shape.iter().take(1).cloned().collect();
        shape.extend(sizes.iter().cloned());
        shape.push(sizes.len().to_dim());
        Ok(tvec!(theta.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [theta, size] = inputs else {
            bail!("transformations and a size");
        };
        let size = numbers::<i64>(size)?;
        let size: Vec<usize> = size.iter().skip(2).map(|size| *size as usize).collect();
        let (axes, cells) = (size.len(), size.iter().product::<usize>());
        let matrices = numbers::<f32>(theta)?;
        let mut grid = Vec::new();
        for matrix in matrices.chunks_exact((axes * (axes + 1)).max(1)) {
            for cell in 0..cells {
                // Coordinates begin with the last axis.
                let mut point: Vec<f32> = indices(&size, cell)
                    .iter()
                    .zip(&size)
                    .map(|(index, size)| self.coordinate(*index, *size))
                    .rev()
                    .collect();
                point.push(1.0);
                let moved = matrix
                    .chunks_exact(axes + 1)
                    .map(|row| -> f32 { row.iter().zip(&point).map(|(part, at)| part * at).sum() });
                grid.extend(moved);
            }
        }
        let mut shape: Vec<usize> = theta.shape().iter().take(1).copied().collect();
        shape.extend(size);
        shape.push(axes);
        let grid = Tensor::from_shape(&shape, &grid)?;
        Ok(tvec!(grid.cast_to_dt(theta.datum_type())?.into_owned()))
    }
}

impl AffineGrid {
    /// From -1 to 1.
    fn coordinate(&self, index: usize, size: usize) -> f32 {
        match self.align_corners {
            true if size < 2 => -1.0,
            true => -1.0 + 2.0 * index as f32 / (size - 1) as f32,
            false => -1.0 + (2.0 * index as f32 + 1.0) / size as f32,
        }
    }
}
