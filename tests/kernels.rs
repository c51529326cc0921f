//! Products, convolutions and what is done to rows, for all kinds of shapes, in the sandbox, are those of plain loops.
//!
//! `guest/kernels/tests` asks the same of what surrounds the innermost loops, without a sandbox.

use serde_json::{Value, json};

use crate::harness::once::outputs_of;
use crate::harness::onnx::{Graph, Node, OPEN, noise};

/// Largest difference to a plain loop, as a part of the largest value.
const TOLERANCE: f32 = 1e-5;

/// Rows, steps and columns, around the edges of tiles (4, 8, 16), of what is done in one call (128) and of
/// parts in cache (256).
const PRODUCTS: [[usize; 3]; 17] = [
    [1, 1, 1],
    [1, 31, 17],
    [1, 300, 33],
    [2, 33, 9],
    [3, 2, 3],
    [3, 127, 9],
    [2, 128, 5],
    [9, 129, 8],
    [4, 4, 8],
    [5, 257, 7],
    [7, 15, 16],
    [8, 16, 8],
    [9, 64, 24],
    [16, 256, 16],
    [17, 32, 1],
    [31, 63, 40],
    [33, 512, 5],
];

/// Channels in, height, width, channels out, size of the kernel, stride.
const CONVOLUTIONS: [[usize; 6]; 8] = [
    [1, 8, 8, 4, 3, 1],
    [3, 11, 7, 5, 3, 2],
    [4, 5, 5, 8, 1, 1],
    [8, 7, 9, 17, 3, 1],
    [16, 6, 6, 16, 1, 2],
    [12, 9, 9, 24, 5, 2],
    [32, 4, 4, 33, 3, 1],
    [2, 16, 16, 3, 7, 3],
];

/// A graph, what goes in, and what has to come out of each of its outputs.
struct Case {
    graph: Graph,
    inputs: Vec<Value>,
    expected: Vec<(String, Vec<f32>)>,
}

impl Case {
    fn new() -> Self {
        Self {
            graph: Graph::new(),
            inputs: Vec::new(),
            expected: Vec::new(),
        }
    }

    fn input(mut self, name: &str, declared: &[i64], shape: &[usize], data: &[f32]) -> Self {
        self.graph = self.graph.input(name, declared);
        let input = json!({ "name": name, "datatype": "FP32", "shape": shape, "data": data });
        self.inputs.push(input);
        self
    }

    fn output(mut self, name: &str, rank: usize, values: Vec<f32>) -> Self {
        self.graph = self.graph.output(name, &vec![OPEN; rank]);
        self.expected.push((name.to_owned(), values));
        self
    }

    fn weights(mut self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let shape: Vec<u64> = shape.iter().map(|size| *size as u64).collect();
        self.graph = self.graph.weights(name, &shape, values);
        self
    }

    fn node(mut self, node: Node) -> Self {
        self.graph = self.graph.node(node);
        self
    }

    fn check(self) {
        let outputs = outputs_of(self.graph, &self.inputs);
        assert_eq!(outputs.len(), self.expected.len());
        for ((found, values), (name, expected)) in outputs.iter().zip(&self.expected) {
            assert_eq!(found, name);
            let values: Vec<f32> = values.iter().map(|x| x.as_f64().unwrap() as f32).collect();
            assert_close(name, &values, expected);
        }
    }
}

#[track_caller]
fn assert_close(name: &str, values: &[f32], expected: &[f32]) {
    assert_eq!(values.len(), expected.len(), "{name}");
    let largest = expected
        .iter()
        .fold(0f32, |largest, x| largest.max(x.abs()));
    for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
        let is_close = (value - expected).abs() <= TOLERANCE * largest;
        assert!(is_close, "{name}: value {index} is {value}, not {expected}");
    }
}

/// Row by row: `relu(a * b + bias)`, the bias by column.
fn product([m, k, n]: [usize; 3], a: &[f32], b: &[f32], bias: &[f32]) -> Vec<f32> {
    let value = |row: usize, column: usize| {
        let sum: f32 = (0..k)
            .map(|step| a[row * k + step] * b[step * n + column])
            .sum();
        (sum + bias[column]).max(0.0)
    };
    (0..m)
        .flat_map(|row| (0..n).map(move |column| value(row, column)))
        .collect()
}

#[test]
fn products_of_all_shapes_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, shape) in PRODUCTS.into_iter().enumerate() {
        let [m, k, n] = shape;
        let seed = 7 + 3 * index as u32;
        let (a, b) = (noise(m * k, seed), noise(k * n, seed + 1));
        let bias = noise(n, seed + 2);
        let [x, w, c, xw, sum, y] =
            ["x", "w", "c", "xw", "sum", "y"].map(|name| format!("{name}{index}"));
        case = case
            .input(&x, &[m as i64, k as i64], &[m, k], &a)
            .weights(&w, &[k, n], &b)
            .weights(&c, &[n], &bias)
            .node(Node::new("MatMul", &xw, &[&x, &w], &[&xw]))
            .node(Node::new("Add", &sum, &[&xw, &c], &[&sum]))
            .node(Node::new("Relu", &y, &[&sum], &[&y]))
            .output(&y, 2, product(shape, &a, &b, &bias));
    }
    case.check();
}

#[test]
fn products_whose_rows_are_open_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, m) in [1, 2, 8, 19].into_iter().enumerate() {
        let (k, n) = (37, 21);
        let (a, b, bias) = (noise(m * k, 5), noise(k * n, 6), noise(n, 8));
        let [x, w, c, xw, sum, y] =
            ["x", "w", "c", "xw", "sum", "y"].map(|name| format!("{name}{index}"));
        case = case
            .input(&x, &[OPEN, k as i64], &[m, k], &a)
            .weights(&w, &[k, n], &b)
            .weights(&c, &[n], &bias)
            .node(Node::new("MatMul", &xw, &[&x, &w], &[&xw]))
            .node(Node::new("Add", &sum, &[&xw, &c], &[&sum]))
            .node(Node::new("Relu", &y, &[&sum], &[&y]))
            .output(&y, 2, product([m, k, n], &a, &b, &bias));
        case.check();
        case = Case::new();
    }
}

#[test]
fn products_of_two_inputs_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, shape) in PRODUCTS.into_iter().enumerate() {
        let [m, k, n] = shape;
        let (a, b) = (noise(m * k, 11), noise(k * n, 13));
        let [x, w, y] = ["x", "w", "y"].map(|name| format!("{name}{index}"));
        let expected = product(shape, &a, &b, &vec![0.0; n]);
        let positive = format!("positive{index}");
        case = case
            .input(&x, &[m as i64, k as i64], &[m, k], &a)
            .input(&w, &[k as i64, n as i64], &[k, n], &b)
            .node(Node::new("MatMul", &y, &[&x, &w], &[&y]))
            .node(Node::new("Relu", &positive, &[&y], &[&positive]))
            .output(&positive, 2, expected);
    }
    case.check();
}

/// A convolution with half a kernel of zeros around the picture, row by row.
fn convolution(shape: [usize; 6], picture: &[f32], kernel: &[f32], bias: &[f32]) -> Vec<f32> {
    let [channels, height, width, filters, size, stride] = shape;
    let half = size / 2;
    let pixel = |channel: usize, y: usize, x: usize| {
        let (y, x) = (y.checked_sub(half)?, x.checked_sub(half)?);
        (y < height && x < width).then(|| picture[(channel * height + y) * width + x])
    };
    let mut values = Vec::new();
    for (filter, bias) in bias.iter().enumerate().take(filters) {
        for y in (0..height).step_by(stride) {
            for x in (0..width).step_by(stride) {
                let mut sum = *bias;
                for channel in 0..channels {
                    for (row, column) in (0..size * size).map(|tap| (tap / size, tap % size)) {
                        let weight =
                            kernel[((filter * channels + channel) * size + row) * size + column];
                        sum += weight * pixel(channel, y + row, x + column).unwrap_or(0.0);
                    }
                }
                values.push(if sum > 0.0 { sum } else { sum * 0.01 });
            }
        }
    }
    values
}

#[test]
fn convolutions_of_all_shapes_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, shape) in CONVOLUTIONS.into_iter().enumerate() {
        let [channels, height, width, filters, size, stride] = shape;
        let seed = 29 + 3 * index as u32;
        let picture = noise(channels * height * width, seed);
        let kernel = noise(filters * channels * size * size, seed + 1);
        let bias = noise(filters, seed + 2);
        let [x, w, c, z, y] = ["x", "w", "c", "z", "y"].map(|name| format!("{name}{index}"));
        let half = (size / 2) as i64;
        let node = Node::new("Conv", &z, &[&x, &w, &c], &[&z])
            .ints("pads", &[half; 4])
            .ints("strides", &[stride as i64; 2]);
        let dims = [1, channels, height, width];
        case = case
            .input(&x, &dims.map(|size| size as i64), &dims, &picture)
            .weights(&w, &[filters, channels, size, size], &kernel)
            .weights(&c, &[filters], &bias)
            .node(node)
            .node(Node::new("LeakyRelu", &y, &[&z], &[&y]))
            .output(&y, 4, convolution(shape, &picture, &kernel, &bias));
    }
    case.check();
}

/// A convolution of a series with zeros around it: as many as keep its length.
#[derive(Clone, Copy)]
struct OfSeries {
    channels: usize,
    length: usize,
    filters: usize,
    groups: usize,
    size: usize,
    stride: usize,
    dilation: usize,
}

impl OfSeries {
    fn half(&self) -> usize {
        self.size / 2 * self.dilation
    }

    /// Channel by channel.
    fn expected(&self, series: &[f32], kernel: &[f32], bias: &[f32]) -> Vec<f32> {
        let (of_group, filters) = (self.channels / self.groups, self.filters / self.groups);
        let value = |filter: usize, at: usize| {
            let first = filter / filters * of_group;
            let taps = (0..of_group * self.size).map(|tap| (tap / self.size, tap % self.size));
            let seen = taps.filter_map(|(channel, tap)| {
                let place = (at + tap * self.dilation).checked_sub(self.half())?;
                let weight = kernel[(filter * of_group + channel) * self.size + tap];
                let number = series[(first + channel) * self.length..].get(place)?;
                (place < self.length).then_some(weight * number)
            });
            bias[filter] + seen.sum::<f32>()
        };
        (0..self.filters)
            .flat_map(|filter| {
                (0..self.length)
                    .step_by(self.stride)
                    .map(move |at| (filter, at))
            })
            .map(|(filter, at)| value(filter, at))
            .collect()
    }
}

#[test]
fn convolutions_of_series_are_those_of_a_plain_loop() {
    let plain = OfSeries {
        channels: 6,
        length: 50,
        filters: 12,
        groups: 1,
        size: 3,
        stride: 1,
        dilation: 1,
    };
    let by_channel = OfSeries { groups: 6, ..plain };
    let mut case = Case::new();
    for (index, series) in [
        plain,
        by_channel,
        OfSeries { size: 1, ..plain },
        OfSeries { groups: 2, ..plain },
        OfSeries {
            size: 5,
            stride: 2,
            ..plain
        },
        OfSeries {
            dilation: 4,
            ..by_channel
        },
        OfSeries {
            size: 7,
            stride: 3,
            ..by_channel
        },
        OfSeries { length: 3, ..plain },
    ]
    .into_iter()
    .enumerate()
    {
        let OfSeries {
            channels,
            length,
            filters,
            ..
        } = series;
        let of_group = channels / series.groups;
        let seed = 307 + 3 * index as u32;
        let numbers = noise(channels * length, seed);
        let kernel = noise(filters * of_group * series.size, seed + 1);
        let bias = noise(filters, seed + 2);
        let [x, w, c, y] = ["x", "w", "c", "y"].map(|name| format!("{name}{index}"));
        let node = Node::new("Conv", &y, &[&x, &w, &c], &[&y])
            .ints("pads", &[series.half() as i64; 2])
            .ints("strides", &[series.stride as i64])
            .ints("dilations", &[series.dilation as i64])
            .int("group", series.groups as i64);
        let dims = [1, channels, length];
        case = case
            .input(&x, &dims.map(|size| size as i64), &dims, &numbers)
            .weights(&w, &[filters, of_group, series.size], &kernel)
            .weights(&c, &[filters], &bias)
            .node(node)
            .output(&y, 3, series.expected(&numbers, &kernel, &bias));
    }
    case.check();
}

/// For each pixel of so many channels of so many images: its value, its channel, its index.
fn by_channel(
    values: &[f32],
    channels: usize,
    pixels: usize,
    function: impl Fn(f32, usize, usize) -> f32,
) -> Vec<f32> {
    let value = |(index, value): (usize, &f32)| function(*value, index / pixels % channels, index);
    values.iter().enumerate().map(value).collect()
}

#[test]
fn a_convolution_takes_in_what_follows_it() {
    const IMAGES: usize = 2;
    // Large enough for Winograd's way, and not.
    for (index, [channels, height, width]) in [[16, 13, 12], [3, 5, 6]].into_iter().enumerate() {
        let seed = 101 + 7 * index as u32;
        let pixels = height * width;
        let dims = [IMAGES, channels, height, width];
        let all = dims.iter().product();
        let (picture, other) = (noise(all, seed), noise(all, seed + 1));
        let [before, factor, summand, bias] = [2, 3, 4, 5].map(|part| noise(channels, seed + part));
        let kernel = noise(channels * channels * 9, seed + 6);
        let scaled = by_channel(&picture, channels, pixels, |x, channel, _| {
            (x * before[channel] + summand[channel]).max(0.0)
        });
        let shape = [channels, height, width, channels, 3, 1];
        let images = scaled.chunks_exact(channels * pixels);
        let no_bias = vec![0.0; channels];
        let convolved: Vec<f32> = images
            .flat_map(|image| convolution(shape, image, &kernel, &no_bias))
            // The plain loop has a leak of its own.
            .map(|x| if x > 0.0 { x } else { x * 100.0 })
            .collect();
        let expected = by_channel(&convolved, channels, pixels, |x, channel, index| {
            ((x + bias[channel]) * factor[channel] + summand[channel] + other[index])
                .clamp(0.0, 6.0)
        });
        let [_, declared @ ..] = dims.map(|size| size as i64);
        let open = [OPEN, declared[0], declared[1], declared[2]];
        let by_channel = [1, channels, 1, 1];
        Case::new()
            .input("x", &open, &dims, &picture)
            .input("other", &open, &dims, &other)
            .weights("before", &by_channel, &before)
            .weights("factor", &by_channel, &factor)
            .weights("summand", &by_channel, &summand)
            .weights("kernel", &[channels, channels, 3, 3], &kernel)
            .weights("bias", &[channels], &bias)
            .weights("six", &[], &[6.0])
            .weights("zero", &[], &[0.0])
            .node(Node::new("Mul", "a", &["x", "before"], &["a"]))
            .node(Node::new("Add", "b", &["a", "summand"], &["b"]))
            .node(Node::new("Relu", "c", &["b"], &["c"]))
            .node(Node::new("Conv", "d", &["c", "kernel", "bias"], &["d"]).ints("pads", &[1; 4]))
            .node(Node::new("Mul", "e", &["d", "factor"], &["e"]))
            .node(Node::new("Add", "f", &["e", "summand"], &["f"]))
            .node(Node::new("Add", "g", &["other", "f"], &["g"]))
            .node(Node::new("Clip", "y", &["g", "zero", "six"], &["y"]))
            .output("y", 4, expected)
            .check();
    }
}

/// What a window of 3 x 3 sees at every second pixel, with a border of one.
fn seen(picture: &[f32], height: usize, width: usize) -> Vec<Vec<f32>> {
    let at = |y: usize, x: usize| (y < height && x < width).then(|| picture[y * width + x]);
    let mut windows = Vec::new();
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let places = (0..9).map(|place| (y + place / 3, x + place % 3));
            let inside = places.filter_map(|(y, x)| at(y.checked_sub(1)?, x.checked_sub(1)?));
            windows.push(inside.collect());
        }
    }
    windows
}

#[test]
fn pooling_is_that_of_a_plain_loop() {
    const CHANNELS: usize = 3;
    for (index, [height, width]) in [[7, 9], [1, 1], [18, 35]].into_iter().enumerate() {
        let dims = [1, CHANNELS, height, width];
        let picture = noise(dims.iter().product(), 211 + index as u32);
        let channels = picture.chunks_exact(height * width);
        let windows: Vec<_> = channels
            .flat_map(|image| seen(image, height, width))
            .collect();
        let pool = |of: fn(&[f32]) -> f32| windows.iter().map(|window| of(window)).collect();
        let node = |op: &str, name: &str| {
            let node = Node::new(op, name, &["x"], &[name]).ints("kernel_shape", &[3; 2]);
            node.ints("strides", &[2; 2]).ints("pads", &[1; 4])
        };
        Case::new()
            .input("x", &dims.map(|size| size as i64), &dims, &picture)
            .node(node("MaxPool", "max"))
            .node(node("AveragePool", "mean"))
            .node(node("AveragePool", "padded").int("count_include_pad", 1))
            .output(
                "max",
                4,
                pool(|seen| seen.iter().copied().fold(f32::MIN, f32::max)),
            )
            .output(
                "mean",
                4,
                pool(|seen| seen.iter().sum::<f32>() / seen.len() as f32),
            )
            .output("padded", 4, pool(|seen| seen.iter().sum::<f32>() / 9.0))
            .check();
    }
}

#[test]
fn a_response_is_normalised_by_its_neighbours() {
    const CHANNELS: usize = 6;
    const PIXELS: usize = 5 * 3;
    let dims = [2, CHANNELS, 5, 3];
    let picture = noise(2 * CHANNELS * PIXELS, 307);
    let square = |image: usize, channel: usize, pixel: usize| {
        picture[(image * CHANNELS + channel) * PIXELS + pixel].powi(2)
    };
    let expected = by_channel(&picture, CHANNELS, PIXELS, |x, channel, index| {
        let (image, pixel) = (index / (CHANNELS * PIXELS), index % PIXELS);
        let neighbours = channel.saturating_sub(1)..=(channel + 1).min(CHANNELS - 1);
        let sum: f32 = neighbours
            .map(|channel| square(image, channel, pixel))
            .sum();
        x / (1.0 + 0.5 / 3.0 * sum).powf(0.75)
    });
    let node = Node::new("LRN", "y", &["x"], &["y"]).int("size", 3);
    Case::new()
        .input("x", &[OPEN, CHANNELS as i64, 5, 3], &dims, &picture)
        .node(
            node.float("alpha", 0.5)
                .float("beta", 0.75)
                .float("bias", 1.0),
        )
        .output("y", 4, expected)
        .check();
}

/// Numbers in a row, around the edges of vectors (4) and of unrolled loops (32, 64).
const LENGTHS: [usize; 7] = [1, 3, 17, 33, 64, 197, 384];
/// Rows, of which the graph leaves open how many they are.
const ROWS: usize = 5;

/// What a function makes of each row, in double precision.
fn by_row(rows: &[f32], length: usize, function: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f32> {
    let of_row = |row: &[f32]| function(&row.iter().copied().map(f64::from).collect::<Vec<_>>());
    let values = rows.chunks_exact(length).flat_map(of_row);
    values.map(|value| value as f32).collect()
}

#[test]
fn softmax_is_that_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, length) in LENGTHS.into_iter().enumerate() {
        let rows: Vec<f32> = noise(ROWS * length, 301 + index as u32)
            .iter()
            .map(|x| x * 100.0)
            .collect();
        let [x, y] = ["x", "y"].map(|name| format!("{name}{index}"));
        let expected = by_row(&rows, length, |row| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / sum).collect()
        });
        case = case
            .input(&x, &[OPEN, length as i64], &[ROWS, length], &rows)
            .node(Node::new("Softmax", &y, &[&x], &[&y]).int("axis", -1))
            .output(&y, 2, expected);
    }
    case.check();
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, as exporters wrote it before there was an
/// operator for it.
fn decomposed_normalization([x, scale, bias, y]: [&str; 4]) -> [Node; 9] {
    let [
        mean,
        centred,
        squares,
        variance,
        sum,
        deviation,
        normal,
        scaled,
    ] = [
        "mean",
        "centred",
        "squares",
        "variance",
        "sum",
        "deviation",
        "normal",
        "scaled",
    ]
    .map(|name| format!("{y} {name}"));
    let node =
        |operator, inputs: [&str; 2], output| Node::new(operator, output, &inputs, &[output]);
    let mean_of =
        |input, output| Node::new("ReduceMean", output, &[input], &[output]).ints("axes", &[-1]);
    [
        mean_of(x, &mean),
        node("Sub", [x, &mean], &centred),
        node("Pow", [&centred, "two"], &squares),
        mean_of(&squares, &variance),
        node("Add", [&variance, "epsilon"], &sum),
        Node::new("Sqrt", &deviation, &[&sum], &[&deviation]),
        node("Div", [&centred, &deviation], &normal),
        node("Mul", [&normal, scale], &scaled),
        node("Add", [&scaled, bias], y),
    ]
}

/// Numbers so far from zero that it shows whether the rounding of their mean is made good, as ours
/// alone does.
#[test]
fn normalisations_are_those_of_a_plain_loop_however_they_are_written() {
    const EPSILON: f32 = 1e-6;
    let mut case = Case::new()
        .weights("two", &[], &[2.0])
        .weights("epsilon", &[], &[EPSILON]);
    for (index, length) in LENGTHS.into_iter().enumerate() {
        let seed = 401 + 3 * index as u32;
        let rows: Vec<f32> = noise(ROWS * length, seed)
            .iter()
            .map(|x| x + 1000.0)
            .collect();
        let (factors, summands) = (noise(length, seed + 1), noise(length, seed + 2));
        let [x, scale, bias, y, z] =
            ["x", "scale", "bias", "y", "z"].map(|name| format!("{name}{index}"));
        let expected = by_row(&rows, length, |row| {
            let mean = row.iter().sum::<f64>() / length as f64;
            let squares = row.iter().map(|x| (x - mean).powi(2));
            let variance = squares.sum::<f64>() / length as f64;
            let deviation = (variance + f64::from(EPSILON)).sqrt();
            let terms = factors.iter().zip(&summands);
            let value = |(x, (factor, summand)): (&f64, (&f32, &f32))| {
                (x - mean) / deviation * f64::from(*factor) + f64::from(*summand)
            };
            row.iter().zip(terms).map(value).collect()
        });
        let fused = Node::new("LayerNormalization", &y, &[&x, &scale, &bias], &[&y]);
        case = case
            .input(&x, &[OPEN, length as i64], &[ROWS, length], &rows)
            .weights(&scale, &[length], &factors)
            .weights(&bias, &[length], &summands)
            .node(fused.float("epsilon", EPSILON))
            .output(&y, 2, expected.clone());
        for node in decomposed_normalization([&x, &scale, &bias, &z]) {
            case = case.node(node);
        }
        case = case.output(&z, 2, expected);
    }
    case.check();
}

/// The error function by its series.
///
/// <https://dlmf.nist.gov/7.6#E2>
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for index in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * index + 1);
        sum += term;
    }
    sum * 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp()
}

/// Numbers so small that it shows whether their error function is exact for them, as ours alone is.
#[test]
fn the_error_function_is_that_of_its_series() {
    let small: Vec<f32> = noise(103, 501).iter().map(|x| x / 1000.0).collect();
    let expected = by_row(&small, 103, |row| row.iter().copied().map(erf).collect());
    Case::new()
        .input("x", &[OPEN], &[103], &small)
        .node(Node::new("Erf", "y", &["x"], &["y"]))
        .output("y", 1, expected)
        .check();
}

/// Sigmoids next to zero, where tract's are off by a part of themselves.
#[test]
fn sigmoid_and_silu_are_what_their_formulas_say() {
    let far: Vec<f32> = noise(103, 551).iter().map(|x| x * 10.0 - 20.0).collect();
    let sigmoid = |x: &f64| 1.0 / (1.0 + (-x).exp());
    let silu = |x: &f64| x * sigmoid(x);
    Case::new()
        .input("x", &[OPEN], &[103], &far)
        .node(Node::new("Sigmoid", "y", &["x"], &["y"]))
        .node(Node::new("Sigmoid", "gate", &["x"], &["gate"]))
        .node(Node::new("Mul", "z", &["x", "gate"], &["z"]))
        .output(
            "y",
            1,
            by_row(&far, 103, |row| row.iter().map(sigmoid).collect()),
        )
        .output(
            "z",
            1,
            by_row(&far, 103, |row| row.iter().map(silu).collect()),
        )
        .check();
}

#[test]
fn both_kinds_of_gelu_are_what_their_formulas_say() {
    let numbers: Vec<f32> = noise(103, 601).iter().map(|x| x * 100.0).collect();
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let exact = |x: &f64| x / 2.0 * (1.0 + erf(x / std::f64::consts::SQRT_2));
    let by_tanh = |x: &f64| x / 2.0 * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh());
    let node = |operator, inputs: &[&str], output| Node::new(operator, output, inputs, &[output]);
    let mut case = Case::new().input("x", &[OPEN], &[103], &numbers);
    for (name, value) in [
        ("one", 1.0),
        ("half", 0.5),
        ("three", 3.0),
        ("coefficient", 0.044715),
        ("root of two", std::f32::consts::SQRT_2),
        ("root", root as f32),
    ] {
        case = case.weights(name, &[], &[value]);
    }
    for node in [
        node("Div", &["x", "root of two"], "divided"),
        node("Erf", &["divided"], "erf"),
        node("Add", &["erf", "one"], "more"),
        node("Mul", &["x", "more"], "product"),
        node("Mul", &["product", "half"], "gelu"),
        node("Pow", &["x", "three"], "cube"),
        node("Mul", &["cube", "coefficient"], "part"),
        node("Add", &["x", "part"], "sum"),
        node("Mul", &["sum", "root"], "argument"),
        node("Tanh", &["argument"], "tanh"),
        node("Add", &["tanh", "one"], "more tanh"),
        node("Mul", &["x", "more tanh"], "product tanh"),
        node("Mul", &["product tanh", "half"], "gelu by tanh"),
    ] {
        case = case.node(node);
    }
    case.output(
        "gelu",
        1,
        by_row(&numbers, 103, |row| row.iter().map(exact).collect()),
    )
    .output(
        "gelu by tanh",
        1,
        by_row(&numbers, 103, |row| row.iter().map(by_tanh).collect()),
    )
    .check();
}
