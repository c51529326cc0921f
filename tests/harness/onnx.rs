//! Writes ONNX files: protobuf by hand, as much of it as the tests need.

/// Where open dimensions are meant.
pub(crate) const OPEN: i64 = -1;

const FLOAT: u64 = 1;
pub(crate) const UINT8: u64 = 2;
pub(crate) const INT8: u64 = 3;
pub(crate) const INT16: u64 = 5;
pub(crate) const INT32: u64 = 6;
const INT64: u64 = 7;
pub(crate) const BOOL: u64 = 9;

/// A graph in the making: the fields of a `GraphProto`.
pub(crate) struct Graph(Message);

/// A node in the making.
pub(crate) struct Node(Message);

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }
}

impl Graph {
    pub(crate) fn new() -> Self {
        Self(Message::default().text(2, "test"))
    }

    pub(crate) fn input(self, name: &str, shape: &[i64]) -> Self {
        Self(self.0.message(11, value_info(name, FLOAT, shape)))
    }

    /// An input of rows of tokens, as many and as long as the caller likes.
    fn tokens(self, name: &str) -> Self {
        Self(self.0.message(11, value_info(name, INT64, &[OPEN, OPEN])))
    }

    /// An input of UINT8.
    pub(crate) fn bytes(self, name: &str, shape: &[i64]) -> Self {
        Self(self.0.message(11, value_info(name, UINT8, shape)))
    }

    pub(crate) fn output(self, name: &str, shape: &[i64]) -> Self {
        Self(self.0.message(12, value_info(name, FLOAT, shape)))
    }

    /// An output of another datatype, as ONNX numbers it.
    pub(crate) fn output_of(self, datatype: u64, name: &str, shape: &[i64]) -> Self {
        Self(self.0.message(12, value_info(name, datatype, shape)))
    }

    /// An initializer whose numbers are in the file.
    pub(crate) fn weights(self, name: &str, dims: &[u64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self(self.0.message(5, tensor(name, dims).bytes(9, &raw)))
    }

    /// An initializer of another datatype, its numbers as bytes.
    pub(crate) fn weights_of(
        self,
        datatype: u64,
        name: &str,
        dims: &[usize],
        bytes: &[u8],
    ) -> Self {
        let tensor = Message::default().int(2, datatype).text(8, name);
        let tensor = dims
            .iter()
            .fold(tensor, |tensor, size| tensor.int(1, *size as u64));
        Self(self.0.message(5, tensor.bytes(9, bytes)))
    }

    /// An initializer whose numbers are in another file.
    pub(crate) fn external_weights(self, name: &str, dims: &[u64], location: &str) -> Self {
        let entry = Message::default().text(1, "location").text(2, location);
        let tensor = tensor(name, dims).message(13, entry).int(14, 1);
        Self(self.0.message(5, tensor))
    }

    pub(crate) fn node(self, node: Node) -> Self {
        Self(self.0.message(1, node.0))
    }

    /// The file.
    pub(crate) fn model(self) -> Vec<u8> {
        self.model_of_opset(17)
    }

    /// The file, in an older version of the operators.
    pub(crate) fn model_of_opset(self, version: u64) -> Vec<u8> {
        let opset = |domain: &str, version| Message::default().text(1, domain).int(2, version);
        Message::default()
            .int(1, 8)
            .text(2, "glovebox tests")
            .message(8, opset("", version))
            .message(8, opset("com.example", 1))
            .message(7, self.0)
            .0
    }
}

impl Node {
    pub(crate) fn new(operator: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let node = Message::default().text(3, name).text(4, operator);
        let node = inputs.iter().fold(node, |node, input| node.text(1, input));
        let node = outputs
            .iter()
            .fold(node, |node, output| node.text(2, output));
        Self(node)
    }

    pub(crate) fn domain(self, domain: &str) -> Self {
        Self(self.0.text(7, domain))
    }

    pub(crate) fn int(self, name: &str, value: i64) -> Self {
        let attribute = Message::default().text(1, name).int(3, value as u64);
        Self(self.0.message(5, attribute.int(20, 2)))
    }

    pub(crate) fn float(self, name: &str, value: f32) -> Self {
        let attribute = Message::default().text(1, name).float(2, value);
        Self(self.0.message(5, attribute.int(20, 1)))
    }

    pub(crate) fn floats(self, name: &str, values: &[f32]) -> Self {
        let attribute = values
            .iter()
            .fold(Message::default().text(1, name), |attribute, value| {
                attribute.float(7, *value)
            });
        Self(self.0.message(5, attribute.int(20, 6)))
    }

    pub(crate) fn texts(self, name: &str, values: &[&str]) -> Self {
        let attribute = values
            .iter()
            .fold(Message::default().text(1, name), |attribute, value| {
                attribute.text(9, value)
            });
        Self(self.0.message(5, attribute.int(20, 8)))
    }

    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        let attribute = values
            .iter()
            .fold(Message::default().text(1, name), |attribute, value| {
                attribute.int(8, *value as u64)
            });
        Self(self.0.message(5, attribute.int(20, 7)))
    }
}

/// What makes a function of `com.example` with one input and one output, put behind a model's bytes,
/// one that the model has.
pub(crate) fn function(name: &str, nodes: Vec<Node>) -> Vec<u8> {
    let function = Message::default().text(1, name).text(4, "x").text(5, "y");
    let function = function.text(10, "com.example");
    let function = nodes
        .into_iter()
        .fold(function, |function, node| function.message(7, node.0));
    Message::default().message(25, function).0
}

fn tensor(name: &str, dims: &[u64]) -> Message {
    let tensor = Message::default().int(2, FLOAT).text(8, name);
    dims.iter()
        .fold(tensor, |tensor, size| tensor.int(1, *size))
}

fn value_info(name: &str, datatype: u64, shape: &[i64]) -> Message {
    let dimension = |size: i64| match size {
        OPEN => Message::default().text(2, "N"),
        size => Message::default().int(1, size as u64),
    };
    let shape = shape.iter().fold(Message::default(), |shape, size| {
        shape.message(1, dimension(*size))
    });
    let tensor = Message::default().int(1, datatype).message(2, shape);
    Message::default()
        .text(1, name)
        .message(2, Message::default().message(1, tensor))
}

/// Numbers that look random, are the same each time, and are never zero.
pub(crate) fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let next = |_| {
        // xorshift32: never 0.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5000001) / 16.0
    };
    (0..count).map(next).collect()
}

/// What [`fixed_only`] makes.
pub(crate) const FIXED_ONLY: &str = "y";

/// Nodes that make `y` of a tensor, as it is, by way of the sizes of `x` as fractions: the engine can
/// prepare them only if it knows those.
pub(crate) fn fixed_only(tensor: &str) -> Vec<Node> {
    vec![
        Node::new("Shape", "shape", &["x"], &["shape"]),
        Node::new("Cast", "fraction", &["shape"], &["fraction"]).int("to", FLOAT as i64),
        Node::new("Floor", "floor", &["fraction"], &["floor"]),
        Node::new("Cast", "sizes", &["floor"], &["sizes"]).int("to", INT64 as i64),
        Node::new("Reshape", "last", &[tensor, "sizes"], &[FIXED_ONLY]),
    ]
}

/// A graph that answers with its input.
pub(crate) fn identity() -> Graph {
    Graph::new()
        .input("x", &[OPEN, 4])
        .output("y", &[OPEN, 4])
        .node(Node::new("Identity", "same", &["x"], &["y"]))
}

/// A model of layers of `width` by `width` weights, one after the other. Another seed makes other
/// weights.
pub(crate) fn dense_layers(seed: u32, layers: usize, width: u64) -> Vec<u8> {
    let mut graph = Graph::new()
        .input("x0", &[1, width as i64])
        .output(&format!("x{layers}"), &[1, width as i64]);
    for layer in 0..layers {
        let seed = (seed * 1000 + layer as u32) * 4 + 7;
        let weights = noise((width * width) as usize, seed);
        let bias = noise(width as usize, seed + 2);
        let names = [
            format!("x{layer}"),
            format!("w{layer}"),
            format!("b{layer}"),
        ];
        let inputs: Vec<_> = names.iter().map(String::as_str).collect();
        let output = format!("x{}", layer + 1);
        graph = graph
            .weights(&names[1], &[width, width], &weights)
            .weights(&names[2], &[width], &bias)
            .node(
                Node::new("Gemm", &format!("layer{layer}"), &inputs, &[&output]).int("transB", 1),
            );
    }
    graph.model()
}

/// A model of texts: a vector of `width` numbers for each of `words` words, and layers of `width` by
/// `width` weights behind.
pub(crate) fn texts(words: u64, layers: usize, width: u64) -> Vec<u8> {
    let mut graph = Graph::new()
        .tokens("input_ids")
        .tokens("attention_mask")
        .output(&format!("x{layers}"), &[OPEN, OPEN, width as i64])
        .weights(
            "words",
            &[words, width],
            &noise((words * width) as usize, 3),
        )
        .node(Node::new(
            "Mul",
            "masked",
            &["input_ids", "attention_mask"],
            &["ids"],
        ))
        .node(Node::new("Gather", "vectors", &["words", "ids"], &["x0"]));
    for layer in 0..layers {
        let weights = noise((width * width) as usize, layer as u32 * 4 + 7);
        let (input, name) = (format!("x{layer}"), format!("w{layer}"));
        let output = format!("x{}", layer + 1);
        let node = format!("layer{layer}");
        graph = graph
            .weights(&name, &[width, width], &weights)
            .node(Node::new("MatMul", &node, &[&input, &name], &[&output]));
    }
    graph.model()
}

/// A model of layers of `channels` by `channels` convolutions of 3 by 3.
pub(crate) fn convolutions(layers: usize, channels: u64) -> Vec<u8> {
    let shape = [1, channels as i64, 14, 14];
    let mut graph = Graph::new()
        .input("x0", &shape)
        .output(&format!("x{layers}"), &shape);
    for layer in 0..layers {
        let weights = noise((channels * channels * 9) as usize, layer as u32 * 4 + 3);
        let (input, kernel) = (format!("x{layer}"), format!("w{layer}"));
        let output = format!("x{}", layer + 1);
        graph = graph
            .weights(&kernel, &[channels, channels, 3, 3], &weights)
            .node(
                Node::new(
                    "Conv",
                    &format!("layer{layer}"),
                    &[&input, &kernel],
                    &[&output],
                )
                .ints("kernel_shape", &[3, 3])
                .ints("pads", &[1, 1, 1, 1]),
            );
    }
    graph.model()
}
