//! Products and convolutions of integers of eight bits, whose sums become such integers again.

use glovebox_kernels::{Quantized, Requantized, Shape, Weights};

use crate::window::Convolution;
use crate::work::Make;

/// `rows` times `columns`, `depth` numbers each.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
}

/// Weights, and what is made of the sums of each row.
struct Prepared {
    shape: Shape,
    packed: Vec<i8>,
    scales: Vec<f32>,
}

impl Prepared {
    fn new(shape: Shape) -> Self {
        let rows = shape.groups * shape.rows;
        let weights: Vec<i8> = integers(rows * shape.depth).map(u8::cast_signed).collect();
        Self {
            packed: shape.pack(&weights, &[]),
            scales: vec![1e-3; rows],
            shape,
        }
    }

    fn weights(&self) -> Weights<'_> {
        Weights {
            shape: &self.shape,
            packed: &self.packed,
            zeros: &[],
        }
    }

    fn finish(&self) -> Requantized<'_, u8> {
        Requantized {
            bias: &[],
            scales: &self.scales,
            zero: 128,
        }
    }
}

impl Product {
    pub(crate) fn make(self) -> Make {
        Box::new(move || {
            let Self {
                rows,
                depth,
                columns,
            } = self;
            let prepared = Prepared::new(Shape {
                groups: 1,
                rows: columns,
                depth,
            });
            let values: Vec<u8> = integers(rows * depth).collect();
            let mut output = vec![0; rows * columns];
            let run = move || {
                let matrix = Quantized {
                    values: &values,
                    zero: 127,
                };
                let (weights, finish) = (prepared.weights(), prepared.finish());
                weights.product(matrix, &finish, &mut output).is_ok()
            };
            ((2 * rows * depth * columns) as f64, Box::new(run))
        })
    }
}

impl Convolution {
    /// The same on integers.
    pub(crate) fn make_quantized(self) -> Make {
        Box::new(move || {
            let geometry = self.geometry();
            let prepared = Prepared::new(self.shape());
            let values: Vec<u8> = integers(self.channels * self.size.pow(2)).collect();
            let mut output = vec![0; self.rows * geometry.output_pixels()];
            let operations = 2 * prepared.shape.depth * output.len();
            let run = move || {
                let image = Quantized {
                    values: &values,
                    zero: 127,
                };
                let (weights, finish) = (prepared.weights(), prepared.finish());
                let done = weights.convolve(&geometry, image, &finish, &mut output);
                done.is_ok()
            };
            (operations as f64, Box::new(run))
        })
    }
}

/// Integers that look random, the same in each run.
fn integers(count: usize) -> impl Iterator<Item = u8> {
    (0..count).map(|index| (index % 2003 * 7919 % 2003 % 256) as u8)
}
