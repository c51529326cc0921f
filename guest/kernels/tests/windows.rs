//! Convolutions, pooling and normalisation are those of plain loops, for all kinds of windows.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their reference"
)]

use glovebox_kernels::{
    Filter, Finish, Geometry, Response, Window, convolve_depthwise, pool_max, pool_mean,
};

/// A window on images, as a plain loop sees it.
#[derive(Clone, Copy, Debug)]
struct Case {
    size: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
    input: [usize; 2],
}

const PLAIN: Case = Case {
    size: [3, 3],
    strides: [1, 1],
    dilations: [1, 1],
    before: [1, 1],
    after: [1, 1],
    input: [9, 11],
};

/// Rows of one, of less than a panel, of several; with borders, steps and gaps of all kinds.
fn cases() -> Vec<Case> {
    let point = Case {
        size: [1, 1],
        before: [0, 0],
        after: [0, 0],
        ..PLAIN
    };
    let mut cases = vec![PLAIN, point];
    for input in [[1, 1], [3, 3], [7, 7], [8, 16], [5, 33]] {
        cases.push(Case { input, ..PLAIN });
        cases.push(Case { input, ..point });
    }
    for strides in [[2, 2], [1, 2], [2, 1], [3, 3]] {
        cases.push(Case { strides, ..PLAIN });
        cases.push(Case { strides, ..point });
    }
    for size in [[1, 3], [3, 1], [2, 2], [5, 5], [7, 7]] {
        let before = [3, 3];
        cases.push(Case {
            size,
            before,
            ..PLAIN
        });
    }
    // Large enough for Winograd's way, with patches that do not fill a row.
    for (input, before) in [([12, 16], [1, 1]), ([13, 13], [0, 1]), ([40, 14], [1, 1])] {
        cases.push(Case {
            input,
            before,
            ..PLAIN
        });
    }
    // Windows that move on by less than they see, by more, and over gaps.
    for (size, strides, dilations) in [
        ([5, 5], [2, 2], [1, 1]),
        ([2, 2], [4, 3], [1, 1]),
        ([3, 3], [1, 1], [2, 3]),
        ([3, 3], [2, 2], [2, 1]),
    ] {
        cases.push(Case {
            size,
            strides,
            dilations,
            input: [20, 37],
            ..PLAIN
        });
    }
    cases.push(Case {
        before: [2, 0],
        after: [0, 2],
        ..PLAIN
    });
    cases
}

impl Case {
    fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let reach = (self.size[axis] - 1) * self.dilations[axis] + 1;
            let padded = self.before[axis] + self.input[axis] + self.after[axis];
            (padded - reach) / self.strides[axis] + 1
        })
    }

    fn geometry(&self) -> Geometry {
        let window = Window {
            size: self.size,
            strides: self.strides,
            dilations: self.dilations,
        };
        Geometry::new(window, self.input, self.before, self.output())
    }

    fn input_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn output_pixels(&self) -> usize {
        self.output()[0] * self.output()[1]
    }

    fn places(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The pixels that a window sees: the window's place and the pixel of the image.
    fn seen(&self, pixel: usize) -> Vec<(usize, usize)> {
        let [_, columns] = self.output();
        let first = [pixel / columns, pixel % columns];
        let mut seen = Vec::new();
        for place in 0..self.places() {
            let at = [place / self.size[1], place % self.size[1]];
            let [row, column] = [0, 1].map(|axis| {
                let at = first[axis] * self.strides[axis] + at[axis] * self.dilations[axis];
                at.checked_sub(self.before[axis])
                    .filter(|at| *at < self.input[axis])
            });
            if let (Some(row), Some(column)) = (row, column) {
                seen.push((place, row * self.input[1] + column));
            }
        }
        seen
    }
}

/// Numbers that look random, the same in each run.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |index: usize| ((index * 7919 + seed * 104_729) % 2003) as f32 / 1000.0 - 1.0;
    (0..count).map(number).collect()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= 1e-4 * expected.abs().max(1.0),
            "{what}: {found} for {expected} at {index}"
        );
    }
}

/// A convolution in groups by a plain loop, with all that can be fused.
fn convolved(
    case: &Case,
    [groups, rows, channels]: [usize; 3],
    filter: &[f32],
    image: &[f32],
    finish: &Finish<'_>,
) -> Vec<f32> {
    let mut output = Vec::new();
    for row in 0..groups * rows {
        for pixel in 0..case.output_pixels() {
            let mut sum = finish.bias.get(row).copied().unwrap_or_default();
            for channel in 0..channels {
                let image = &image[(row / rows * channels + channel) * case.input_pixels()..];
                let filter = &filter[(row * channels + channel) * case.places()..];
                let seen = case.seen(pixel).into_iter();
                sum += seen
                    .map(|(place, at)| filter[place] * image[at])
                    .sum::<f32>();
            }
            sum += finish.addend.map_or(0.0, |addend| addend[output.len()]);
            output.push(sum.max(finish.least).min(finish.most));
        }
    }
    output
}

#[test]
fn a_convolution_is_that_of_a_plain_loop() {
    // Rows around a vector (4) and what is in the cache together (16); depths beyond a part (256).
    let shapes = [
        [1, 1, 1],
        [1, 4, 3],
        [1, 5, 2],
        [1, 17, 33],
        [1, 19, 150],
        [2, 16, 16],
        [1, 3, 300],
        [3, 2, 4],
        [2, 18, 5],
    ];
    for case in cases() {
        for [groups, rows, channels] in shapes {
            let all = groups * rows;
            let filter = numbers(all * channels * case.places(), 1);
            let image = numbers(groups * channels * case.input_pixels(), 2);
            let (bias, addend) = (numbers(all, 3), numbers(all * case.output_pixels(), 4));
            for (bias, addend, least, most) in [
                (&[][..], None, f32::NEG_INFINITY, f32::INFINITY),
                (&bias[..], Some(&addend[..]), 0.0, 6.0),
            ] {
                let finish = Finish {
                    bias,
                    addend,
                    least,
                    most,
                };
                let sizes = Filter {
                    groups,
                    rows,
                    channels,
                    places: case.places(),
                };
                let expected = convolved(&case, [groups, rows, channels], &filter, &image, &finish);
                let mut output = vec![f32::NAN; expected.len()];
                let packed = sizes.pack(&filter);
                assert_eq!(packed.len(), sizes.packed_len());
                sizes
                    .convolve(&packed, &case.geometry(), &image, &finish, &mut output)
                    .unwrap();
                assert_close(&output, &expected, &format!("{case:?} {sizes:?}"));
            }
        }
    }
}

#[test]
fn a_depthwise_convolution_is_that_of_a_plain_loop() {
    for case in cases() {
        for (channels, multiple, is_added) in [(1, 1, true), (3, 1, false), (2, 3, true)] {
            let all = channels * multiple;
            let filter = numbers(all * case.places(), 1);
            let image = numbers(channels * case.input_pixels(), 2);
            let (bias, addend) = (numbers(all, 3), numbers(all * case.output_pixels(), 4));
            let finish = Finish {
                bias: &bias,
                addend: is_added.then_some(&addend),
                least: -0.5,
                most: 0.5,
            };
            let expected = convolved(&case, [channels, multiple, 1], &filter, &image, &finish);
            let mut output = vec![f32::NAN; expected.len()];
            let geometry = case.geometry();
            convolve_depthwise(
                &filter,
                all,
                multiple,
                &geometry,
                &image,
                &finish,
                &mut output,
            )
            .unwrap();
            assert_close(
                &output,
                &expected,
                &format!("{case:?} {channels} x {multiple}"),
            );
        }
    }
}

#[test]
fn pooling_is_that_of_a_plain_loop() {
    const CHANNELS: usize = 3;
    for case in cases() {
        let image = numbers(CHANNELS * case.input_pixels(), 5);
        let pool = |of: &dyn Fn(Vec<f32>) -> f32| -> Vec<f32> {
            let channels = image.chunks_exact(case.input_pixels());
            let pixels = 0..case.output_pixels();
            let seen = |image: &[f32], pixel| {
                let seen = case.seen(pixel).into_iter();
                seen.map(|(_, at)| image[at]).collect()
            };
            channels
                .flat_map(|image| pixels.clone().map(move |pixel| of(seen(image, pixel))))
                .collect()
        };
        let sees_all = (0..case.output_pixels()).all(|pixel| !case.seen(pixel).is_empty());
        let mut output = vec![f32::NAN; CHANNELS * case.output_pixels()];
        pool_max(CHANNELS, &case.geometry(), &image, &mut output).unwrap();
        let max = |seen: Vec<f32>| seen.into_iter().fold(f32::NEG_INFINITY, f32::max);
        if sees_all {
            assert_close(&output, &pool(&max), &format!("maximum, {case:?}"));
        }
        pool_mean(CHANNELS, &case.geometry(), true, &image, &mut output).unwrap();
        let places = case.places() as f32;
        let mean = |seen: Vec<f32>| seen.iter().sum::<f32>() / places;
        assert_close(
            &output,
            &pool(&mean),
            &format!("mean with border, {case:?}"),
        );
        pool_mean(CHANNELS, &case.geometry(), false, &image, &mut output).unwrap();
        let mean = |seen: Vec<f32>| seen.iter().sum::<f32>() / seen.len().max(1) as f32;
        assert_close(&output, &pool(&mean), &format!("mean, {case:?}"));
    }
}

#[test]
fn a_response_is_normalised_by_its_neighbours() {
    const PIXELS: usize = 7;
    for (channels, size) in [(1, 1), (3, 5), (8, 5), (8, 4)] {
        for beta in [0.75, 0.5] {
            let response = Response {
                size,
                alpha: 0.3,
                beta,
                bias: 1.5,
            };
            let image = numbers(channels * PIXELS, 6);
            let mut expected = Vec::new();
            for channel in 0..channels {
                for pixel in 0..PIXELS {
                    let first = channel.saturating_sub((size - 1) / 2);
                    let last = (channel + size / 2).min(channels - 1);
                    let square = |channel: usize| image[channel * PIXELS + pixel].powi(2);
                    let sum: f32 = (first..=last).map(square).sum();
                    let base = response.bias + response.alpha / size as f32 * sum;
                    expected.push(image[channel * PIXELS + pixel] / base.powf(beta));
                }
            }
            let mut output = vec![f32::NAN; image.len()];
            response.normalize(channels, &image, &mut output).unwrap();
            assert_close(
                &output,
                &expected,
                &format!("{channels} channels, {response:?}"),
            );
        }
    }
}

#[test]
fn slices_of_the_wrong_size_are_refused() {
    let geometry = PLAIN.geometry();
    let image = numbers(PLAIN.input_pixels() - 1, 1);
    let mut output = vec![0.0; PLAIN.output_pixels()];
    let error = pool_max(1, &geometry, &image, &mut output).unwrap_err();
    assert_eq!(error.to_string(), "98 numbers for the image, which has 99");
}
