//! Softmax, normalisations and curves are those of plain loops in double precision, for rows of all lengths,
//! and panels hold what rows do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "tests and their reference"
)]

use glovebox_kernels::{Curve, Normalization, Rows, softmax};

/// Largest difference, as a part of what it is compared with.
const TOLERANCE: f64 = 1e-6;

/// Around the edges of vectors (4) and of unrolled loops (32, 64), and beyond what is summed up at once.
const LENGTHS: [usize; 14] = [1, 3, 4, 5, 17, 31, 32, 33, 64, 100, 128, 197, 1000, 30_522];

/// Numbers from `-spread / 2` to `spread / 2`, always the same.
fn noise(count: usize, spread: f32) -> Vec<f32> {
    let mut state = 12_345u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * spread
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[track_caller]
fn assert_close(values: &[f32], expected: &[f64], parts_of: &[f64]) {
    assert_eq!(values.len(), expected.len());
    for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
        let difference = (f64::from(*value) - expected).abs();
        let is_close = difference <= TOLERANCE * parts_of[index].abs();
        assert!(is_close, "number {index} is {value}, not {expected}");
    }
}

fn softmax_of(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |x: &f32| (f64::from(*x) - f64::from(largest)).exp();
    let sum: f64 = row.iter().map(power).sum();
    row.iter().map(|x| power(x) / sum).collect()
}

#[test]
fn softmax_is_that_of_a_plain_loop() {
    for (length, spread) in LENGTHS
        .into_iter()
        .flat_map(|length| [(length, 1.0), (length, 16.0)])
    {
        let rows = noise(3 * length, spread);
        let mut values = rows.clone();
        softmax(length, &mut values).unwrap();
        let expected: Vec<f64> = rows.chunks(length).flat_map(softmax_of).collect();
        assert_close(&values, &expected, &expected);
    }
}

#[test]
fn softmax_of_equal_numbers_is_equal_however_large_they_are() {
    for number in [0.0, -1.0, 3e38, -3e38, f32::MIN_POSITIVE] {
        let mut row = [number; 37];
        softmax(37, &mut row).unwrap();
        assert_close(&row, &[1.0 / 37.0; 37], &[1.0 / 37.0; 37]);
    }
}

#[test]
fn what_is_masked_has_no_part_in_a_softmax() {
    for mask in [f32::NEG_INFINITY, -1e4, -3e38] {
        let mut row = noise(50, 8.0);
        let seen = softmax_of(&row[..41]);
        row[41..].fill(mask);
        softmax(50, &mut row).unwrap();
        assert_close(&row[..41], &seen, &seen);
        assert_eq!(row[41..], [0.0; 9]);
    }
}

#[test]
fn softmax_of_what_is_no_number_is_none() {
    for number in [f32::NAN, -f32::NAN, f32::INFINITY] {
        for place in [0, 31, 40] {
            let mut row = noise(41, 8.0);
            row[place] = number;
            softmax(41, &mut row).unwrap();
            assert!(row[place].is_nan(), "{number} at {place}");
            assert!(number.is_infinite() || row.iter().all(|x| x.is_nan()));
        }
    }
    let mut row = [f32::NEG_INFINITY; 9];
    softmax(9, &mut row).unwrap();
    assert!(row.iter().all(|x| x.is_nan()));
}

/// The numbers, and what each of them is a part of: the largest of the terms it is the sum of.
fn normalized(row: &[f32], scale: &[f32], bias: &[f32], epsilon: f32) -> (Vec<f64>, Vec<f64>) {
    let length = row.len() as f64;
    let mean = row.iter().copied().map(f64::from).sum::<f64>() / length;
    let square = |x: &f32| (f64::from(*x) - mean).powi(2);
    let variance = row.iter().map(square).sum::<f64>() / length;
    let factor = (variance + f64::from(epsilon)).sqrt().recip();
    let mut expected = Vec::new();
    let mut parts_of = Vec::new();
    for ((x, scale), bias) in row.iter().zip(scale).zip(bias) {
        let (scale, bias) = (f64::from(*scale), f64::from(*bias));
        let scaled = (f64::from(*x) - mean) * factor * scale;
        expected.push(scaled + bias);
        // A number near the mean is known as well as the others of its row are.
        parts_of.push(scaled.abs().max(bias.abs()).max(scale.abs()));
    }
    (expected, parts_of)
}

#[track_caller]
fn assert_normalized(rows: &[f32], length: usize, epsilon: f32) {
    let (scale, bias) = (noise(length, 4.0), noise(2 * length, 1.0).split_off(length));
    let mut values = rows.to_vec();
    let normalization = Normalization {
        epsilon,
        scale: &scale,
        bias: &bias,
    };
    normalization.normalize(&mut values).unwrap();
    for (row, values) in rows.chunks(length).zip(values.chunks(length)) {
        let (expected, parts_of) = normalized(row, &scale, &bias, epsilon);
        assert_close(values, &expected, &parts_of);
    }
}

#[test]
fn normalisation_is_that_of_a_plain_loop() {
    for (length, spread) in LENGTHS
        .into_iter()
        .flat_map(|length| [(length, 1.0), (length, 1e15)])
    {
        assert_normalized(&noise(3 * length, spread), length, 1e-12);
    }
}

#[test]
fn normalisation_of_numbers_far_from_zero_is_exact() {
    let far: Vec<f32> = noise(3 * 100, 8.0).iter().map(|x| x + 1e5).collect();
    assert_normalized(&far, 100, 1e-5);
}

#[test]
fn normalisation_of_equal_numbers_is_the_bias() {
    for number in [0.0, 0.1, -7.0, 1e6] {
        assert_normalized(&[number; 37], 37, 1e-5);
    }
}

#[test]
fn normalisation_of_what_is_no_number_is_none() {
    let mut row = noise(19, 1.0);
    row[18] = f32::NAN;
    let normalization = Normalization {
        epsilon: 1e-5,
        scale: &[1.0; 19],
        bias: &[0.0; 19],
    };
    normalization.normalize(&mut row).unwrap();
    assert!(row.iter().all(|x| x.is_nan()));
}

#[test]
fn rows_of_other_lengths_are_refused() {
    let normalization = Normalization {
        epsilon: 1e-5,
        scale: &[1.0; 4],
        bias: &[0.0; 4],
    };
    assert!(normalization.normalize(&mut [0.0; 7]).is_err());
    let short = Normalization {
        bias: &[0.0; 3],
        ..normalization
    };
    assert!(short.normalize(&mut [0.0; 8]).is_err());
    assert!(softmax(4, &mut [0.0; 7]).is_err());
    softmax(0, &mut []).unwrap();
}

/// The error function by its series, or for large numbers by its continued fraction.
///
/// <https://dlmf.nist.gov/7.6#E2>, <https://dlmf.nist.gov/7.9#E1>
fn erf(x: f64) -> f64 {
    let (square, root) = (x * x, std::f64::consts::PI.sqrt());
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for index in 1..200 {
            term *= 2.0 * square / f64::from(2 * index + 1);
            sum += term;
        }
        return sum * 2.0 / root * (-square).exp();
    }
    let fraction = (1..200).rev().fold(x.abs(), |below, index| {
        x.abs() + f64::from(index) / 2.0 / below
    });
    (1.0 - (-square).exp() / root / fraction).copysign(x)
}

/// Small, large and tiny ones, on both sides of zero, and not a multiple of a vector.
fn arguments() -> Vec<f32> {
    let mut arguments: Vec<f32> = (-4000..=4000).map(|step| step as f32 / 400.0).collect();
    arguments.extend([
        1e-20, -1e-20, 1e-30, 3.92, -3.92, 50.0, -50.0, 1e4, -1e4, 0.0,
    ]);
    arguments
}

#[track_caller]
fn assert_curve(curve: Curve, function: impl Fn(f64) -> f64, part_of: impl Fn(f64, f64) -> f64) {
    let arguments = arguments();
    let mut values = arguments.clone();
    curve.apply(&mut values);
    let doubles = arguments.iter().copied().map(f64::from);
    let expected: Vec<f64> = doubles.clone().map(&function).collect();
    let parts_of: Vec<f64> = doubles
        .zip(&expected)
        .map(|(x, y)| part_of(x, *y))
        .collect();
    assert_close(&values, &expected, &parts_of);
}

#[test]
fn the_error_function_is_that_of_its_series() {
    assert_curve(Curve::Erf, erf, |_, y| y);
}

#[test]
fn gelu_is_what_its_formula_says() {
    let gelu = |x: f64| x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2));
    assert_curve(Curve::Gelu, gelu, |x, _| x);
}

#[test]
fn gelu_by_tanh_is_what_its_formula_says() {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let gelu = |x: f64| x / 2.0 * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh());
    assert_curve(Curve::GeluTanh, gelu, |x, _| x);
}

#[test]
fn sigmoid_and_silu_are_what_their_formulas_say_also_next_to_zero() {
    // Far below, a sigmoid has no number of single precision.
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x.max(-87.0)).exp());
    assert_curve(Curve::Sigmoid, sigmoid, |_, y| y);
    assert_curve(Curve::Silu, |x| x * sigmoid(x), |_, y| y);
}

#[test]
fn curves_of_what_is_no_number_are_none() {
    for curve in [
        Curve::Erf,
        Curve::Gelu,
        Curve::GeluTanh,
        Curve::Sigmoid,
        Curve::Silu,
    ] {
        let mut numbers = [0.0, f32::NAN, 1.0, -f32::NAN, 2.0];
        curve.apply(&mut numbers);
        assert_eq!(numbers.map(f32::is_nan), [false, true, false, true, false]);
    }
}

#[test]
fn gelu_does_not_change_its_sign_far_from_zero() {
    for curve in [Curve::Gelu, Curve::GeluTanh] {
        let mut numbers = noise(4000, 40.0);
        let signs: Vec<bool> = numbers.iter().map(|x| *x >= 0.0).collect();
        curve.apply(&mut numbers);
        for (value, is_positive) in numbers.iter().zip(signs) {
            assert!(if is_positive {
                *value >= 0.0
            } else {
                *value <= 0.0
            });
        }
    }
}

/// As tract asks for them: a column more than there is, for what is read ahead.
fn panels_of(rows: Rows, width: usize, numbers: &[f32]) -> (Vec<f32>, usize) {
    let panel = (rows.length + 1) * width;
    let mut panels = vec![0f32; rows.count.div_ceil(width) * panel];
    // SAFETY: any number is four bytes.
    let (_, bytes, _) = unsafe { panels.align_to_mut::<u8>() };
    rows.pack(width, 4 * panel, numbers, bytes).unwrap();
    (panels, panel)
}

#[test]
fn panels_hold_what_rows_do() {
    for width in [1, 4, 6, 8, 16] {
        for (count, length) in [(1, 1), (3, 5), (4, 4), (8, 17), (16, 32), (37, 31), (50, 3)] {
            let stride = length + 2;
            let numbers = noise(count * stride - 2, 1.0);
            let rows = Rows {
                count,
                length,
                stride,
            };
            let (panels, panel) = panels_of(rows, width, &numbers);
            let mut expected = vec![0f32; panels.len()];
            for (row, column) in (0..count).flat_map(|row| (0..length).map(move |at| (row, at))) {
                let place = row / width * panel + column * width + row % width;
                expected[place] = numbers[row * stride + column];
            }
            assert_eq!(
                panels, expected,
                "{count} rows of {length} in panels of {width}"
            );
        }
    }
}

#[test]
fn panels_without_room_for_all_rows_are_refused() {
    let rows = Rows {
        count: 5,
        length: 3,
        stride: 3,
    };
    let mut panels = [0u8; 4 * 2 * 12 + 4];
    let start = panels.as_ptr().align_offset(4);
    let panels = &mut panels[start..start + 4 * 2 * 12];
    let numbers = [1.0; 15];
    rows.pack(4, 48, &numbers, panels).unwrap();
    assert!(rows.pack(4, 44, &numbers, panels).is_err());
    assert!(rows.pack(4, 48, &numbers[..14], panels).is_err());
    assert!(rows.pack(4, 48, &numbers, &mut panels[..92]).is_err());
    assert!(rows.pack(4, 48, &numbers, &mut panels[1..]).is_err());
}
