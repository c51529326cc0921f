//! Products and convolutions of integers are those of plain loops, to the last bit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their reference"
)]

use glovebox_kernels::{
    FinishSums, Geometry, Quantized, Requantized, Scaled, Shape, Summed, Weights, Window,
};

/// Integers of all sizes that look random, the same in each run; the first ones are the extremes.
fn integers(count: usize, seed: usize) -> Vec<u8> {
    let number = |index: usize| ((index * 7919 + seed * 104_729) % 2003 % 256) as u8;
    let extremes = [0x80, 0xff, 0x7f, 0x00, 0x80, 0x80];
    let numbers = (extremes.len()..count).map(number);
    extremes.into_iter().take(count).chain(numbers).collect()
}

fn signed(integers: &[u8]) -> Vec<i8> {
    integers
        .iter()
        .map(|integer| integer.cast_signed())
        .collect()
}

/// Around the edges of tiles (4, 8), of pairs and of unrolled loops (16 pairs).
const ROWS: [usize; 6] = [1, 3, 4, 5, 8, 17];
const COLUMNS: [usize; 6] = [1, 2, 7, 8, 9, 17];
const DEPTHS: [usize; 9] = [1, 2, 3, 31, 32, 33, 34, 256, 301];

/// The sums of a product: for each row of the matrix those of all rows of weights.
fn sums(weights: &[i8], zeros: &[i32], matrix: &[i32], rows: usize) -> Vec<i32> {
    let depth = weights.len() / rows;
    let sum = |row: &[i32], of: usize| {
        let zero = zeros.get(of).copied().unwrap_or_default();
        let weights = weights[of * depth..(of + 1) * depth].iter();
        let products = weights
            .zip(row)
            .map(|(weight, x)| (i32::from(*weight) - zero) * x);
        products.sum::<i32>()
    };
    matrix
        .chunks_exact(depth)
        .flat_map(|row| (0..rows).map(move |of| sum(row, of)))
        .collect()
}

/// The product of a matrix and packed weights.
fn product<N: Copy + Into<i16>, F: FinishSums>(
    shape: &Shape,
    (weights, zeros): (&[i8], &[i32]),
    matrix: Quantized<'_, N>,
    finish: &F,
) -> Vec<F::Output> {
    let packed = shape.pack(weights, zeros);
    assert_eq!(packed.len(), shape.packed_len());
    let weights = Weights {
        shape,
        packed: &packed,
        zeros,
    };
    let count = matrix.values.len() / shape.depth;
    let mut output = vec![F::Output::default(); count * shape.rows];
    weights.product(matrix, finish, &mut output).unwrap();
    output
}

#[test]
fn products_of_all_shapes_are_those_of_a_plain_loop() {
    for (rows, depth) in ROWS
        .into_iter()
        .flat_map(|rows| DEPTHS.map(|depth| (rows, depth)))
    {
        let weights = signed(&integers(rows * depth, 1));
        let shape = Shape {
            groups: 1,
            rows,
            depth,
        };
        for count in COLUMNS {
            let values = integers(count * depth, 2);
            let zeros: Vec<i32> = (0..rows as i32).map(|row| 7 * row - 128).collect();
            for (zero, zeros) in [(0, [].as_slice()), (255, &zeros), (131, &zeros)] {
                let what = format!("{count} rows of {depth} times {rows}, from {zero}");
                let centred: Vec<i32> = values.iter().map(|x| i32::from(*x) - zero).collect();
                let matrix = Quantized {
                    values: &values,
                    zero: zero as i16,
                };
                let computed = product(&shape, (&weights, zeros), matrix, &Summed { bias: &[] });
                assert_eq!(computed, sums(&weights, zeros, &centred, rows), "{what}");
            }
            let values = signed(&values);
            let centred: Vec<i32> = values.iter().map(|x| i32::from(*x) + 128).collect();
            let matrix = Quantized {
                values: &values,
                zero: -128,
            };
            let computed = product(&shape, (&weights, &[]), matrix, &Summed { bias: &[] });
            assert_eq!(computed, sums(&weights, &[], &centred, rows));
        }
    }
}

#[test]
fn extremes_do_not_overflow() {
    let (rows, depth) = (5, 4096);
    let shape = Shape {
        groups: 1,
        rows,
        depth,
    };
    let weights = vec![i8::MIN; rows * depth];
    for (value, zero) in [(u8::MAX, 0), (0, 255)] {
        let values = vec![value; 9 * depth];
        let matrix = Quantized {
            values: &values,
            zero,
        };
        let far = i32::from(value) - i32::from(zero);
        let zeros = vec![127; rows];
        for (zeros, each) in [([].as_slice(), -128 * far), (&zeros, -255 * far)] {
            let computed = product(&shape, (&weights, zeros), matrix, &Summed { bias: &[] });
            assert_eq!(computed, vec![each * depth as i32; 9 * rows]);
        }
    }
}

/// As ONNX Runtime has it.
fn requantized(sum: i32, scale: f32, zero: i32, [least, most]: [i32; 2]) -> i32 {
    let scaled = (sum as f32 * scale).clamp((least - zero) as f32, (most - zero) as f32);
    scaled.round_ties_even() as i32 + zero
}

#[test]
fn sums_become_integers_of_eight_bits_again() {
    let (rows, depth) = (6, 40);
    let shape = Shape {
        groups: 1,
        rows,
        depth,
    };
    let weights = signed(&integers(rows * depth, 3));
    let values = integers(11 * depth, 4);
    let centred: Vec<i32> = values.iter().map(|x| i32::from(*x) - 9).collect();
    let matrix = Quantized {
        values: &values,
        zero: 9,
    };
    let bias: Vec<i32> = (0..rows as i32).map(|row| row * 1000 - 2500).collect();
    let bias = bias.as_slice();
    let sums = sums(&weights, &[], &centred, rows);
    // Some of halves, which are ties; some that leave the range at both ends.
    for scale in [0.5, 0.0625, 0.001, 3.7e-4] {
        let scales: Vec<f32> = (0..rows).map(|row| scale * (row + 1) as f32).collect();
        let scales = scales.as_slice();
        let expected = |zero: i32, range: [i32; 2]| -> Vec<i32> {
            let all = sums.iter().zip((0..rows).cycle());
            let value =
                |(sum, row): (&i32, usize)| requantized(sum + bias[row], scales[row], zero, range);
            all.map(value).collect()
        };
        for zero in [i8::MIN, -3, 0, i8::MAX] {
            let finish = Requantized { bias, scales, zero };
            let computed = product(&shape, (&weights, &[]), matrix, &finish);
            let computed: Vec<i32> = computed.into_iter().map(i32::from).collect();
            assert_eq!(
                computed,
                expected(zero.into(), [-128, 127]),
                "{scale}, {zero}"
            );
        }
        for zero in [0, 128, u8::MAX] {
            let finish = Requantized { bias, scales, zero };
            let computed = product(&shape, (&weights, &[]), matrix, &finish);
            let computed: Vec<i32> = computed.into_iter().map(i32::from).collect();
            assert_eq!(computed, expected(zero.into(), [0, 255]), "{scale}, {zero}");
        }
    }
}

#[test]
fn sums_become_numbers_with_a_point() {
    let (rows, depth) = (5, 33);
    let shape = Shape {
        groups: 1,
        rows,
        depth,
    };
    let weights = signed(&integers(rows * depth, 5));
    let values = signed(&integers(10 * depth, 6));
    let centred: Vec<i32> = values.iter().map(|x| i32::from(*x)).collect();
    let matrix = Quantized {
        values: &values,
        zero: 0,
    };
    let (scales, bias) = ([0.5, 0.1, 0.01, 3.0, -1.0], [0.0, 1.0, -2.0, 0.3, 7.0]);
    let finish = Scaled {
        scales: &scales,
        bias: &bias,
    };
    let sums = sums(&weights, &[], &centred, rows);
    let expected: Vec<f32> = sums
        .iter()
        .zip((0..rows).cycle())
        .map(|(sum, row)| *sum as f32 * scales[row] + bias[row])
        .collect();
    assert_eq!(product(&shape, (&weights, &[]), matrix, &finish), expected);
}

/// A convolution of a square window, with half of it around the image.
#[derive(Clone, Copy, Debug)]
struct Case {
    groups: usize,
    channels: usize,
    rows: usize,
    window: usize,
    stride: usize,
    dilation: usize,
    image: [usize; 2],
}

const PLAIN: Case = Case {
    groups: 1,
    channels: 3,
    rows: 5,
    window: 3,
    stride: 1,
    dilation: 1,
    image: [9, 11],
};

fn cases() -> Vec<Case> {
    let point = Case { window: 1, ..PLAIN };
    let depthwise = Case {
        groups: 6,
        channels: 1,
        rows: 1,
        ..PLAIN
    };
    let mut cases = Vec::new();
    for case in [PLAIN, point, depthwise] {
        cases.push(case);
        for image in [[1, 1], [3, 3], [7, 7], [8, 16], [5, 33]] {
            cases.push(Case { image, ..case });
        }
        for stride in [2, 3] {
            cases.push(Case { stride, ..case });
        }
        cases.push(Case {
            dilation: 2,
            ..case
        });
    }
    cases.push(Case {
        groups: 2,
        rows: 7,
        ..PLAIN
    });
    cases.push(Case {
        groups: 3,
        channels: 1,
        rows: 2,
        ..PLAIN
    });
    cases.push(Case { window: 5, ..PLAIN });
    // Sums that numbers with a point hold exactly, and some that they may not.
    for window in [5, 16, 17] {
        cases.push(Case {
            window,
            image: [20, 20],
            ..depthwise
        });
    }
    cases
}

impl Case {
    fn output(&self) -> [usize; 2] {
        let reach = (self.window - 1) * self.dilation;
        self.image
            .map(|size| (size + 2 * (self.window / 2)).saturating_sub(reach + 1) / self.stride + 1)
    }

    /// The numbers that the window sees for a pixel, channel by channel.
    fn seen(&self, image: &[i32], [y, x]: [usize; 2]) -> Vec<i32> {
        let [height, width] = self.image;
        let half = self.window / 2;
        let place = |channel: usize, row: usize, column: usize| {
            let y = (y * self.stride + row * self.dilation).checked_sub(half)?;
            let x = (x * self.stride + column * self.dilation).checked_sub(half)?;
            (y < height && x < width).then(|| image[(channel * height + y) * width + x])
        };
        let window = 0..self.window * self.window;
        (0..self.channels)
            .flat_map(|channel| window.clone().map(move |at| (channel, at)))
            .map(|(channel, at)| place(channel, at / self.window, at % self.window).unwrap_or(0))
            .collect()
    }

    /// Channel by channel.
    fn expected(&self, weights: &[i8], zeros: &[i32], image: &[i32]) -> Vec<i32> {
        let [height, width] = self.output();
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [y, x]));
        let of_group = |group: usize| {
            let size = self.channels * self.image[0] * self.image[1];
            let image = &image[group * size..(group + 1) * size];
            let columns: Vec<i32> = pixels
                .clone()
                .flat_map(|pixel| self.seen(image, pixel))
                .collect();
            let depth = self.channels * self.window * self.window;
            let rows = group * self.rows..(group + 1) * self.rows;
            let sums = sums(
                &weights[rows.start * depth..rows.end * depth],
                zeros.get(rows).unwrap_or_default(),
                &columns,
                self.rows,
            );
            let of_row = move |row: usize| sums.clone().into_iter().skip(row).step_by(self.rows);
            (0..self.rows).flat_map(of_row).collect::<Vec<i32>>()
        };
        (0..self.groups).flat_map(of_group).collect()
    }

    fn geometry(&self) -> Geometry {
        let window = Window {
            size: [self.window; 2],
            strides: [self.stride; 2],
            dilations: [self.dilation; 2],
        };
        Geometry::new(window, self.image, [self.window / 2; 2], self.output())
    }

    fn check(&self, zero: u8, zeros: &[i32]) {
        let shape = Shape {
            groups: self.groups,
            rows: self.rows,
            depth: self.channels * self.window * self.window,
        };
        let weights = signed(&integers(self.groups * self.rows * shape.depth, 7));
        let image = integers(
            self.groups * self.channels * self.image[0] * self.image[1],
            8,
        );
        let centred: Vec<i32> = image
            .iter()
            .map(|x| i32::from(*x) - i32::from(zero))
            .collect();
        let expected = self.expected(&weights, zeros, &centred);
        let packed = shape.pack(&weights, zeros);
        let weights = Weights {
            shape: &shape,
            packed: &packed,
            zeros,
        };
        let mut output = vec![0; expected.len()];
        let image = Quantized {
            values: &image,
            zero: zero.into(),
        };
        let done = weights.convolve(&self.geometry(), image, &Summed { bias: &[] }, &mut output);
        done.unwrap();
        assert_eq!(output, expected, "{self:?}, from {zero}");
    }
}

#[test]
fn convolutions_of_all_shapes_are_those_of_a_plain_loop() {
    for case in cases() {
        let rows = (case.groups * case.rows) as i32;
        let zeros: Vec<i32> = (0..rows).map(|row| (100 - 31 * row) % 128).collect();
        case.check(0, &[]);
        case.check(131, &[]);
        case.check(255, &zeros);
    }
}

#[test]
fn slices_of_wrong_sizes_are_refused() {
    let shape = Shape {
        groups: 1,
        rows: 4,
        depth: 6,
    };
    let packed = vec![0; shape.packed_len()];
    let run = |packed: &[i8], zeros: &[i32], values: &[u8], mut output: Vec<i32>| {
        let weights = Weights {
            shape: &shape,
            packed,
            zeros,
        };
        let matrix = Quantized { values, zero: 0 };
        let done = weights.product(matrix, &Summed { bias: &[] }, &mut output);
        done.map_err(|error| error.to_string())
    };
    let zeros = [0; 4];
    assert_eq!(run(&packed, &zeros, &[1; 12], vec![0; 8]), Ok(()));
    let short = run(&packed[1..], &[], &[1; 12], vec![0; 8]).unwrap_err();
    assert_eq!(short, "23 numbers for the weights, which has 24");
    run(&packed, &zeros[1..], &[1; 12], vec![0; 8]).unwrap_err();
    run(&packed, &[], &[1; 11], vec![0; 8]).unwrap_err();
    run(&packed, &[], &[1; 12], vec![0; 9]).unwrap_err();
}
