//! Products and convolutions of integers, in the sandbox, are those of plain loops to the last bit.
//!
//! `guest/kernels/tests` asks the same of shapes of all kinds, without a sandbox.

use std::fs;

use serde_json::{Value, json};

use crate::harness::command::Glovebox;
use crate::harness::files::{Manifest, manifest, temporary};
use crate::harness::once::outputs_of;
use crate::harness::onnx::{Graph, INT8, INT32, Node, OPEN, UINT8, noise};

/// Rows, steps and columns, around the edges of tiles (4, 8), of pairs and of unrolled loops (32).
const PRODUCTS: [[usize; 3]; 7] = [
    [1, 1, 1],
    [1, 33, 17],
    [3, 2, 4],
    [7, 31, 5],
    [8, 32, 8],
    [9, 65, 12],
    [17, 130, 9],
];

/// Channels in, height, width, channels out, size of the kernel, stride, groups.
const CONVOLUTIONS: [[usize; 7]; 7] = [
    [1, 8, 8, 4, 3, 1, 1],
    [3, 11, 7, 5, 3, 2, 1],
    [4, 5, 5, 8, 1, 1, 1],
    [8, 7, 9, 17, 3, 1, 1],
    [6, 9, 20, 6, 3, 1, 6],
    [4, 6, 6, 8, 5, 3, 2],
    [16, 6, 6, 16, 1, 2, 1],
];

/// Zero points of what goes in, of weights and of what comes out.
const ZEROS: [u8; 3] = [131, 0, 7];
const SCALES: [f32; 3] = [0.02, 0.01, 0.4];

/// Integers of all sizes, the same each time; the first are the extremes.
fn integers(count: usize, seed: u32) -> Vec<u8> {
    let numbers = noise(count, seed).into_iter();
    let numbers = numbers.map(|number| (number * 16.0 * 255.0 + 128.0) as u8);
    let extremes = [0x80, 0xff, 0x7f, 0x00].into_iter();
    extremes.chain(numbers).take(count).collect()
}

/// A graph, what goes in, and what has to come out of each of its outputs.
struct Case {
    graph: Graph,
    inputs: Vec<Value>,
    expected: Vec<(String, Vec<i64>)>,
}

impl Case {
    /// Each with the scales and zero points of all nodes.
    fn new() -> Self {
        let names = ["x", "w", "y"];
        let mut graph = Graph::new().weights_of(INT8, "w_zero_signed", &[], &[0]);
        for ((name, zero), scale) in names.iter().zip(ZEROS).zip(SCALES) {
            graph = graph
                .weights(&format!("{name}_scale"), &[], &[scale])
                .weights_of(UINT8, &format!("{name}_zero"), &[], &[zero]);
        }
        Self {
            graph,
            inputs: Vec::new(),
            expected: Vec::new(),
        }
    }

    fn input(mut self, name: &str, shape: &[usize], data: &[u8]) -> Self {
        let declared: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
        self.graph = self.graph.bytes(name, &declared);
        let input = json!({ "name": name, "datatype": "UINT8", "shape": shape, "data": data });
        self.inputs.push(input);
        self
    }

    fn output(mut self, datatype: u64, name: &str, rank: usize, values: Vec<i64>) -> Self {
        self.graph = self.graph.output_of(datatype, name, &vec![OPEN; rank]);
        self.expected.push((name.to_owned(), values));
        self
    }

    fn with(mut self, graph: impl FnOnce(Graph) -> Graph) -> Self {
        self.graph = graph(self.graph);
        self
    }

    fn check(self) {
        let outputs = outputs_of(self.graph, &self.inputs);
        assert_eq!(outputs.len(), self.expected.len());
        for ((found, values), (name, expected)) in outputs.iter().zip(&self.expected) {
            assert_eq!(found, name);
            let values: Vec<i64> = values.iter().map(|x| x.as_i64().unwrap()).collect();
            assert_eq!(values, *expected, "{name}");
        }
    }
}

/// How far integers are from a zero point.
fn from_zero(integers: &[u8], zero: u8) -> Vec<i64> {
    let zero = i64::from(zero);
    integers.iter().map(|x| i64::from(*x) - zero).collect()
}

fn signed(integers: &[u8]) -> Vec<i64> {
    let signed = integers.iter().map(|x| x.cast_signed().into());
    signed.collect()
}

/// Row by row.
fn product([m, k, n]: [usize; 3], a: &[i64], b: &[i64]) -> Vec<i64> {
    let value = |row: usize, column: usize| {
        let step = |step: usize| a[row * k + step] * b[step * n + column];
        (0..k).map(step).sum()
    };
    (0..m)
        .flat_map(|row| (0..n).map(move |column| value(row, column)))
        .collect()
}

/// Sums as ONNX Runtime makes integers of eight bits of them.
fn requantized(sums: &[i64], factor: f32) -> Vec<i64> {
    let [x, w, y] = SCALES;
    let scale = x * w * factor / y;
    let zero = i64::from(ZEROS[2]);
    let value = |sum: &i64| ((*sum as f32 * scale).round_ties_even() as i64 + zero).clamp(0, 255);
    sums.iter().map(value).collect()
}

#[test]
fn products_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, shape) in PRODUCTS.into_iter().enumerate() {
        let [m, k, n] = shape;
        let seed = 11 + 2 * index as u32;
        let (a, b) = (integers(m * k, seed), integers(k * n, seed + 1));
        let centred = from_zero(&a, ZEROS[0]);
        let of_signed = product(shape, &centred, &signed(&b));
        let of_unsigned = product(shape, &centred, &from_zero(&b, ZEROS[1]));
        let [x, w, u, s, y, z] =
            ["x", "w", "u", "s", "y", "z"].map(|name| format!("{name}{index}"));
        let linear = |w: &str, zero: &str, y: &str| {
            let inputs = [
                &x, "x_scale", "x_zero", w, "w_scale", zero, "y_scale", "y_zero",
            ];
            Node::new("QLinearMatMul", y, &inputs, &[y])
        };
        let integer = Node::new(
            "MatMulInteger",
            &s,
            &[&x, &w, "x_zero", "w_zero_signed"],
            &[&s],
        );
        let (by_signed, by_unsigned) = (linear(&w, "w_zero_signed", &y), linear(&u, "w_zero", &z));
        case = case
            .input(&x, &[m, k], &a)
            .with(|graph| {
                graph
                    .weights_of(INT8, &w, &[k, n], &b)
                    .weights_of(UINT8, &u, &[k, n], &b)
                    .node(integer)
                    .node(by_signed)
                    .node(by_unsigned)
            })
            .output(INT32, &s, 2, of_signed.clone())
            .output(UINT8, &y, 2, requantized(&of_signed, 1.0))
            .output(UINT8, &z, 2, requantized(&of_unsigned, 1.0));
    }
    case.check();
}

/// A convolution with half a kernel around the picture, which stands for zero.
fn convolution(shape: [usize; 7], picture: &[i64], kernel: &[i64]) -> Vec<i64> {
    let [channels, height, width, filters, size, stride, groups] = shape;
    let (half, per_group) = (size / 2, channels / groups);
    let pixel = |channel: usize, y: usize, x: usize| {
        let (y, x) = (y.checked_sub(half)?, x.checked_sub(half)?);
        (y < height && x < width).then(|| picture[(channel * height + y) * width + x])
    };
    let mut values = Vec::new();
    for filter in 0..filters {
        let first = filter / (filters / groups) * per_group;
        for y in (0..height).step_by(stride) {
            for x in (0..width).step_by(stride) {
                let taps = (0..per_group * size * size).map(|tap| {
                    let (channel, place) = (tap / (size * size), tap % (size * size));
                    let (row, column) = (place / size, place % size);
                    let weight = kernel[filter * per_group * size * size + tap];
                    weight * pixel(first + channel, y + row, x + column).unwrap_or(0)
                });
                values.push(taps.sum());
            }
        }
    }
    values
}

#[test]
fn convolutions_are_those_of_a_plain_loop() {
    let mut case = Case::new();
    for (index, shape) in CONVOLUTIONS.into_iter().enumerate() {
        let [channels, height, width, filters, size, stride, groups] = shape;
        let seed = 41 + 2 * index as u32;
        let picture = integers(channels * height * width, seed);
        let dims = [filters, channels / groups, size, size];
        let kernel = integers(dims.iter().product(), seed + 1);
        let sums = convolution(shape, &from_zero(&picture, ZEROS[0]), &signed(&kernel));
        let pixels = sums.len() / filters;
        let bias: Vec<i32> = (0..filters as i32)
            .map(|filter| filter * 700 - 1000)
            .collect();
        let factors: Vec<f32> = (1..=filters).map(|filter| filter as f32 * 0.3).collect();
        let scales: Vec<f32> = factors.iter().map(|factor| SCALES[1] * factor).collect();
        let by_row = sums.chunks_exact(pixels).zip(&bias).zip(&factors);
        let expected = by_row.flat_map(|((sums, bias), factor)| {
            let sums: Vec<i64> = sums.iter().map(|sum| sum + i64::from(*bias)).collect();
            requantized(&sums, *factor)
        });
        let expected = expected.collect();
        let [x, w, c, f, zeros, s, y] =
            ["x", "w", "c", "f", "zeros", "s", "y"].map(|name| format!("{name}{index}"));
        let half = (size / 2) as i64;
        let window = |node: Node| {
            node.ints("pads", &[half; 4])
                .ints("strides", &[stride as i64; 2])
                .int("group", groups as i64)
        };
        let linear = [
            &x, "x_scale", "x_zero", &w, &f, &zeros, "y_scale", "y_zero", &c,
        ];
        let linear = window(Node::new("QLinearConv", &y, &linear, &[&y]));
        let integer = [&x, &w, "x_zero", "w_zero_signed"];
        let integer = window(Node::new("ConvInteger", &s, &integer, &[&s]));
        let bias: Vec<u8> = bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
        case = case
            .input(&x, &[1, channels, height, width], &picture)
            .with(|graph| {
                graph
                    .weights_of(INT8, &w, &dims, &kernel)
                    .weights_of(INT32, &c, &[filters], &bias)
                    .weights_of(INT8, &zeros, &[filters], &vec![0; filters])
                    .weights(&f, &[filters as u64], &scales)
                    .node(linear)
                    .node(integer)
            })
            .output(UINT8, &y, 4, expected)
            .output(INT32, &s, 4, sums);
    }
    case.check();
}

/// What ONNX Runtime gives: a product of 32 bits makes ties of halves, which go to even numbers.
#[test]
fn halves_are_rounded_as_onnx_runtime_does() {
    let values = [5, 15, 25, 35, 45, 55, 65, 75];
    let expected = vec![0, 2, 2, 4, 4, 6, 6, 8];
    let inputs =
        |x: &str| [x, "tenth", "zero", "w", "one", "w_zero", "one", "zero"].map(String::from);
    let node = |op: &str, x: &str, y: &str| {
        let inputs = inputs(x);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Node::new(op, y, &inputs, &[y])
    };
    let graph = |dims: &[usize]| {
        let graph = Graph::new()
            .weights("tenth", &[], &[0.1])
            .weights("one", &[], &[1.0])
            .weights_of(UINT8, "zero", &[], &[0])
            .weights_of(INT8, "w_zero", &[], &[0]);
        graph.weights_of(INT8, "w", dims, &[1])
    };
    let cases = [
        ("QLinearMatMul", [1, 1].as_slice(), [8, 1].as_slice()),
        ("QLinearConv", &[1, 1, 1, 1], &[1, 1, 2, 4]),
    ];
    for (op, dims, shape) in cases {
        let mut case = Case {
            graph: graph(dims).node(node(op, "x", "y")),
            inputs: Vec::new(),
            expected: Vec::new(),
        };
        case = case.input("x", shape, &values);
        case.output(UINT8, "y", shape.len(), expected.clone())
            .check();
    }
}

/// Rows that are quantised while the model runs, as the tools of ONNX Runtime make models.
fn dynamic(layers: usize, width: usize) -> Graph {
    let shape = [8, width as i64];
    let mut graph = Graph::new()
        .input("x0", &shape)
        .output(&format!("x{layers}"), &shape)
        .weights("scale", &[], &[1.0 / 512.0]);
    for layer in 0..layers {
        let weights = integers(width * width, 3 + layer as u32);
        let [x, w, q, s, z, sums, cast, scales, scaled, b] = [
            "x", "w", "q", "s", "z", "sums", "cast", "scales", "scaled", "b",
        ]
        .map(|name| format!("{name}{layer}"));
        let y = format!("x{}", layer + 1);
        graph = graph
            .weights_of(INT8, &w, &[width, width], &weights)
            .weights(&b, &[width as u64], &noise(width, 5))
            .node(Node::new("DynamicQuantizeLinear", &q, &[&x], &[&q, &s, &z]))
            .node(Node::new("MatMulInteger", &sums, &[&q, &w, &z], &[&sums]))
            .node(Node::new("Cast", &cast, &[&sums], &[&cast]).int("to", 1))
            .node(Node::new("Mul", &scales, &[&s, "scale"], &[&scales]))
            .node(Node::new("Mul", &scaled, &[&cast, &scales], &[&scaled]))
            .node(Node::new("Add", &y, &[&scaled, &b], &[&y]));
    }
    graph
}

/// The same with a point.
fn with_a_point(layers: usize, width: usize) -> Graph {
    let shape = [8, width as i64];
    let mut graph = Graph::new()
        .input("x0", &shape)
        .output(&format!("x{layers}"), &shape);
    for layer in 0..layers {
        let weights = integers(width * width, 3 + layer as u32);
        let weights: Vec<f32> = weights
            .iter()
            .map(|weight| f32::from(weight.cast_signed()) / 512.0)
            .collect();
        let [x, w, product, b] = ["x", "w", "product", "b"].map(|name| format!("{name}{layer}"));
        let y = format!("x{}", layer + 1);
        graph = graph
            .weights(&w, &[width as u64; 2], &weights)
            .weights(&b, &[width as u64], &noise(width, 5))
            .node(Node::new("MatMul", &product, &[&x, &w], &[&product]))
            .node(Node::new("Add", &y, &[&product, &b], &[&y]));
    }
    graph
}

/// Where tract's generic products would take several times as many.
#[test]
fn a_quantised_model_takes_fewer_instructions_than_with_a_point() {
    const WIDTH: usize = 512;
    let dir = temporary();
    let graphs = [
        ("integers", dynamic(3, WIDTH)),
        ("numbers", with_a_point(3, WIDTH)),
    ];
    let files = graphs.map(|(name, graph)| {
        let onnx = dir.path().join(name).with_extension("onnx");
        let wasm = onnx.with_extension("wasm");
        fs::write(&onnx, graph.model()).unwrap();
        let pack = Glovebox::new("pack").arg(&onnx).option("--output", &wasm);
        pack.run().success();
        (name, wasm)
    });
    let fuel = "fuel = 100000000000\ncpu = \"30s\"";
    let components = files
        .each_ref()
        .map(|(name, wasm)| (*name, wasm.as_path(), fuel));
    let host = Manifest::new(&manifest(&components)).up().serve();
    let data = noise(8 * WIDTH, 9);
    let input = json!({ "name": "x0", "datatype": "FP32", "shape": [8, WIDTH], "data": data });
    let [integers, numbers] = files.map(|(name, _)| {
        let answer = host
            .client()
            .infer(name, &json!({ "inputs": [input] }))
            .ok();
        let values = answer["outputs"][0]["data"].as_array().unwrap().iter();
        let values: Vec<f64> = values.map(|x| x.as_f64().unwrap()).collect();
        let series = format!("glovebox_guest_fuel_total{{model=\"{name}\"}}");
        (values, host.client().metric(&series))
    });
    let largest = numbers
        .0
        .iter()
        .fold(0f64, |largest, x| largest.max(x.abs()));
    for (integer, number) in integers.0.iter().zip(&numbers.0) {
        assert!(
            (integer - number).abs() <= 0.05 * largest,
            "{integer} ≠ {number}"
        );
    }
    assert!(integers.1 < numbers.1, "{} ≥ {}", integers.1, numbers.1);
}
