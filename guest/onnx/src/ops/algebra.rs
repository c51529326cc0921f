//! Sums, products and other arithmetic: `CumProd`, `Det`, `Col2Im`, `BitCast`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;

use super::elements::{Axis, indices, known, numbers, place};
use super::operator::{Built, Operator, build};

/// The product of all numbers up to each one along an axis.
#[derive(Debug)]
struct CumProd {
    exclusive: bool,
    reverse: bool,
}

pub(super) fn cum_prod(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(CumProd {
        exclusive: node.get_attr_opt::<i64>("exclusive")?.unwrap_or(0) != 0,
        reverse: node.get_attr_opt::<i64>("reverse")?.unwrap_or(0) != 0,
    })
}

impl Operator for CumProd {
    fn name(&self) -> &'static str {
        "CumProd"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, _] = inputs else {
            bail!("a tensor and an axis, not {}", inputs.len());
        };
        Ok(tvec!(input.without_value()))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, along] = inputs else {
            bail!("a tensor and an axis");
        };
        let along = numbers::<i64>(along)?.first().copied().unwrap_or_default();
        let along = Axis::new(along, input.shape())?;
        let shape = input.shape();
        let product = match input.datum_type().is_float() {
            true => Tensor::from_shape(shape, &self.run(numbers(input)?, along, |a: f64, b| a * b)),
            false => {
                Tensor::from_shape(shape, &self.run(numbers(input)?, along, i64::wrapping_mul))
            }
        };
        Ok(tvec!(product?.cast_to_dt(input.datum_type())?.into_owned()))
    }
}

impl CumProd {
    /// Multiplies each number with those before it.
    fn run<N: Copy + From<i32>>(
        &self,
        mut numbers: Vec<N>,
        along: Axis,
        times: impl Fn(N, N) -> N,
    ) -> Vec<N> {
        let lines = (0..numbers.len()).filter(|at| along.index(*at) == 0);
        for first in lines.collect::<Vec<_>>() {
            let mut product = N::from(1);
            for turn in 0..along.size {
                let index = if self.reverse {
                    along.size - 1 - turn
                } else {
                    turn
                };
                if let Some(number) = numbers.get_mut(along.moved(first, index, along.size)) {
                    let next = times(product, *number);
                    *number = if self.exclusive { product } else { next };
                    product = next;
                }
            }
        }
        numbers
    }
}

/// The determinants of the matrices in the last two dimensions.
#[derive(Debug)]
struct Det;

pub(super) fn det(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    build(Det)
}

impl Operator for Det {
    fn name(&self) -> &'static str {
        "Det"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        let [outer @ .., rows, columns] = &*input.shape else {
            bail!("Det: a tensor of matrices");
        };
        ensure!(rows == columns, "Det: matrices of {rows} by {columns}");
        Ok(tvec!(input.datum_type.fact(outer)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input] = inputs else {
            bail!("one tensor");
        };
        let [outer @ .., size, _] = input.shape() else {
            bail!("Det: a tensor of matrices");
        };
        let mut all = numbers::<f64>(input)?;
        let matrices = all.chunks_exact_mut((size * size).max(1));
        let determinants: Vec<f64> = matrices.map(|matrix| determinant(matrix, *size)).collect();
        let determinants = Tensor::from_shape(outer, &determinants)?;
        Ok(tvec!(
            determinants.cast_to_dt(input.datum_type())?.into_owned()
        ))
    }
}

/// By elimination with the largest pivot of each column.
fn determinant(rows: &mut [f64], size: usize) -> f64 {
    let mut rows: Vec<&mut [f64]> = rows.chunks_exact_mut(size.max(1)).collect();
    let mut product = 1.0;
    while let Some(pivot) = (0..rows.len()).max_by(|a, b| {
        let first = |row: &usize| {
            rows.get(*row)
                .and_then(|row| row.first())
                .map_or(0.0, |n| n.abs())
        };
        first(a).total_cmp(&first(b))
    }) {
        if pivot != rows.len() - 1 {
            product = -product;
        }
        // The pivot's row is exchanged with the last one, whose turn is over.
        let row = rows.swap_remove(pivot);
        let Some((first, row)) = row.split_first() else {
            break;
        };
        // Bringing the last row to the top of n takes n - 1 exchanges.
        if rows.len() % 2 == 1 {
            product = -product;
        }
        product *= first;
        if *first == 0.0 {
            return 0.0;
        }
        for other in &mut rows {
            let Some((part, rest)) = std::mem::take(other).split_first_mut() else {
                continue;
            };
            let part = *part / first;
            rest.iter_mut()
                .zip(row)
                .for_each(|(number, above)| *number -= part * above);
            *other = rest;
        }
    }
    product
}

/// The sum of blocks that overlap, as an image.
#[derive(Debug)]
struct Col2Im {
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
}

pub(super) fn col2im(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(Col2Im {
        strides: node.get_attr_opt_vec("strides")?,
        dilations: node.get_attr_opt_vec("dilations")?,
        pads: node.get_attr_opt_vec("pads")?,
    })
}

impl Operator for Col2Im {
    fn name(&self) -> &'static str {
        "Col2Im"
    }

    fn shaping(&self) -> &[usize] {
        &[1, 2]
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input, image, block] = inputs else {
            bail!(
                "blocks, an image's shape and a block's, not {}",
                inputs.len()
            );
        };
        let image = known::<TDim>(image, "the image's shape of Col2Im")?;
        let block = known::<i64>(block, "the block's shape of Col2Im")?;
        let size = block.iter().product::<i64>();
        let ([count, channels, _], true) = (&*input.shape, size > 0 && image.len() == block.len())
        else {
            bail!(
                "Col2Im: blocks {block:?} of an image {image:?} in {:?}",
                input.shape
            );
        };
        let mut shape = tvec!(count.clone(), channels.clone() / size);
        shape.extend(image);
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input, image, block] = inputs else {
            bail!("blocks, an image's shape and a block's");
        };
        let axes = self.slides(&numbers(image)?, &numbers(block)?)?;
        let sizes = |size: fn(&Slide) -> usize| axes.iter().map(size).collect::<Vec<_>>();
        let (image, block) = (sizes(|axis| axis.image), sizes(|axis| axis.block));
        let blocks = sizes(Slide::count);
        let (spots, cells) = (
            block.iter().product::<usize>(),
            blocks.iter().product::<usize>(),
        );
        let (&[count, channels, _], columns) = (input.shape(), numbers::<f32>(input)?) else {
            bail!("Col2Im: blocks of shape {:?}", input.shape());
        };
        let (channels, pixels) = (channels / spots.max(1), image.iter().product::<usize>());
        ensure!(
            columns.len() == count * channels * spots * cells,
            "Col2Im: {cells} blocks of {spots} do not fit {:?}",
            input.shape()
        );
        let mut sums = vec![0.0; count * channels * pixels];
        for (at, number) in columns.iter().enumerate() {
            let (spot, cell) = (
                indices(&block, at / cells % spots),
                indices(&blocks, at % cells),
            );
            let places = axes.iter().zip(spot.iter().zip(&cell));
            let pixel: Option<Vec<usize>> = places
                .map(|(axis, (spot, cell))| axis.place(*spot, *cell))
                .collect();
            let at = pixel.map(|pixel| at / cells / spots * pixels + place(&image, &pixel));
            if let Some(sum) = at.and_then(|at| sums.get_mut(at)) {
                *sum += number;
            }
        }
        let mut shape = vec![count, channels];
        shape.extend(image);
        let sums = Tensor::from_shape(&shape, &sums)?;
        Ok(tvec!(sums.cast_to_dt(input.datum_type())?.into_owned()))
    }
}

/// How blocks lie along one axis of an image.
struct Slide {
    image: usize,
    block: usize,
    stride: i64,
    dilation: i64,
    before: i64,
    after: i64,
}

impl Slide {
    fn count(&self) -> usize {
        let block = self.dilation * (self.block as i64 - 1) + 1;
        let more = self.image as i64 + self.before + self.after - block;
        usize::try_from(more.div_euclid(self.stride) + 1).unwrap_or(0)
    }

    /// Where in the image a spot of a block lies, if it is not in the padding.
    fn place(&self, spot: usize, block: usize) -> Option<usize> {
        let at = block as i64 * self.stride + spot as i64 * self.dilation - self.before;
        usize::try_from(at).ok().filter(|at| *at < self.image)
    }
}

impl Col2Im {
    fn slides(&self, image: &[i64], block: &[i64]) -> TractResult<Vec<Slide>> {
        let axes = image.len();
        let at = |values: &Option<Vec<i64>>, axis: usize, default| match values {
            None => Some(default),
            Some(values) => values.get(axis).copied(),
        };
        let slide = |(axis, (image, block)): (usize, (&i64, &i64))| {
            Some(Slide {
                image: usize::try_from(*image).ok()?,
                block: usize::try_from(*block).ok()?,
                stride: at(&self.strides, axis, 1).filter(|stride| *stride > 0)?,
                dilation: at(&self.dilations, axis, 1)?,
                before: at(&self.pads, axis, 0)?,
                after: at(&self.pads, axis + axes, 0)?,
            })
        };
        let slides = image.iter().zip(block).enumerate().map(slide);
        slides
            .collect::<Option<_>>()
            .context("Col2Im: sizes or attributes that make no sense")
    }
}

/// The same bits as another datatype of the same size.
#[derive(Debug)]
struct BitCast {
    to: DatumType,
}

pub(super) fn bit_cast(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let to = node.get_attr("to")?;
    build(BitCast { to })
}

impl Operator for BitCast {
    fn name(&self) -> &'static str {
        "BitCast"
    }

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else {
            bail!("one tensor, not {}", inputs.len());
        };
        let is_plain = |datum_type: DatumType| datum_type.is_number() || datum_type.is::<bool>();
        ensure!(
            is_plain(input.datum_type)
                && is_plain(self.to)
                && input.datum_type.size_of() == self.to.size_of(),
            "BitCast from {:?} to {:?}",
            input.datum_type,
            self.to
        );
        Ok(tvec!(self.to.fact(input.shape.to_tvec())))
    }

    fn compute(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let [input] = inputs else {
            bail!("one tensor");
        };
        let mut output = Tensor::zero_dt(self.to, input.shape())?;
        let bytes = input.try_as_plain_ram()?;
        output.as_bytes_mut().copy_from_slice(bytes.as_bytes());
        if self.to == DatumType::Bool {
            // Any other value than 0 and 1 in a `bool` would be undefined behaviour.
            let bytes = output.as_bytes_mut().iter_mut();
            bytes.for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Ok(tvec!(output))
    }
}
