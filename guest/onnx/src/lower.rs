//! Operators that tract has not, or reads otherwise, as nodes of simpler operators.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use crate::ops::FLIP;

/// Writes the nodes of a graph, and of the graphs inside it, in terms that tract understands.
pub(crate) fn lower(graph: &mut GraphProto, opset: i64) {
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        for attribute in &mut node.attribute {
            let inner = attribute.g.iter_mut().chain(&mut attribute.graphs);
            inner.for_each(|graph| lower(graph, opset));
        }
        let mut body = Body::new(&node);
        let result = match node.op_type.as_str() {
            _ if !["", "ai.onnx"].contains(&node.domain.as_str()) => None,
            "Celu" => Some(vec![body.celu()]),
            "GRU" | "LSTM" | "RNN" => body.recurrent(),
            "LpPool" => Some(vec![body.lp_pool()]),
            "Pad" => body.pad(),
            "ReduceLogSumExp" => Some(vec![body.log_sum_exp(opset)]),
            "SwiGLU" => Some(vec![body.swiglu()]),
            "Swish" if body.alpha() != 1.0 => Some(vec![body.swish()]),
            _ => None,
        };
        match result {
            Some(results) => graph.node.extend(body.finish(&results)),
            None => graph.node.push(node),
        }
    }
}

/// The nodes that take the place of one.
struct Body<'a> {
    node: &'a NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'a> Body<'a> {
    fn new(node: &'a NodeProto) -> Self {
        Self {
            node,
            nodes: Vec::new(),
        }
    }

    /// The nodes, whose results have the names of what the node has made.
    fn finish(mut self, results: &[String]) -> Vec<NodeProto> {
        for (result, output) in results.iter().zip(&self.node.output) {
            let nodes = self.nodes.iter_mut();
            let names = nodes.flat_map(|node| node.input.iter_mut().chain(&mut node.output));
            for name in names.filter(|name| *name == result) {
                name.clone_from(output);
            }
        }
        self.nodes
    }

    /// The name of an input, or nothing.
    fn input(&self, index: usize) -> &'a str {
        self.node.input.get(index).map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node
            .attribute
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// Adds a node; the name of its output.
    fn add(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let (outer, number) = (self.node, self.nodes.len());
        let output = outer.output.first().map_or("", String::as_str);
        let output = format!("{output}/{op}.{number}");
        self.nodes.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.clone()],
            name: format!("{}/{op}.{number}", outer.name),
            op_type: op.to_owned(),
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    /// A list of whole numbers.
    fn list(&mut self, values: &[i64]) -> String {
        let value = AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(TensorProto {
                data_type: DataType::Int64 as i32,
                dims: vec![values.len() as i64],
                int64_data: values.to_vec(),
                ..TensorProto::default()
            }),
            ..AttributeProto::default()
        };
        self.add("Constant", &[], vec![value])
    }

    /// A number, of the datatype that `like` has.
    fn number(&mut self, value: f32, like: &str) -> String {
        let value = AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(TensorProto {
                data_type: DataType::Float as i32,
                float_data: vec![value],
                ..TensorProto::default()
            }),
            ..AttributeProto::default()
        };
        let constant = self.add("Constant", &[], vec![value]);
        self.add("CastLike", &[&constant, like], Vec::new())
    }

    /// max(0, x) + min(0, alpha * (exp(x / alpha) - 1)); tract leaves out to multiply by alpha.
    fn celu(&mut self) -> String {
        let x = self.input(0);
        let alpha = self.number(self.alpha(), x);
        let (zero, one) = (self.number(0.0, x), self.number(1.0, x));
        let scaled = self.add("Div", &[x, &alpha], Vec::new());
        let power = self.add("Exp", &[&scaled], Vec::new());
        let less = self.add("Sub", &[&power, &one], Vec::new());
        let below = self.add("Mul", &[&less, &alpha], Vec::new());
        let below = self.add("Min", &[&below, &zero], Vec::new());
        let above = self.add("Max", &[x, &zero], Vec::new());
        self.add("Add", &[&above, &below], Vec::new())
    }

    /// The mean of powers is their sum divided by the size of the window, which counts the border.
    fn lp_pool(&mut self) -> String {
        let p = self.attribute("p").map_or(2, |attribute| attribute.i) as f32;
        let kernel = self.attribute("kernel_shape");
        let size: i64 = kernel.map_or(1, |kernel| kernel.ints.iter().product());
        let windows = self
            .node
            .attribute
            .iter()
            .filter(|attribute| attribute.name != "p");
        let mut windows: Vec<AttributeProto> = windows.cloned().collect();
        windows.push(whole("count_include_pad", 1));
        let x = self.input(0);
        let (p, root) = (self.number(p, x), self.number(1.0 / p, x));
        let size = self.number(size as f32, x);
        let positive = self.add("Abs", &[x], Vec::new());
        let powers = self.add("Pow", &[&positive, &p], Vec::new());
        let mean = self.add("AveragePool", &[&powers], windows);
        let sum = self.add("Mul", &[&mean, &size], Vec::new());
        self.add("Pow", &[&sum, &root], Vec::new())
    }

    /// The value of a border may be a list of one, which tract would not take. Nothing without a value.
    fn pad(&mut self) -> Option<Vec<String>> {
        let value = self.node.input.get(2).filter(|value| !value.is_empty())?;
        let shape = self.list(&[]);
        let value = self.add("Reshape", &[value, &shape], Vec::new());
        let mut node = self.node.clone();
        node.input.get_mut(2)?.clone_from(&value);
        self.nodes.push(node);
        Some(Vec::new())
    }

    /// Relative to the largest number, whose power would be infinite in tract's.
    fn log_sum_exp(&mut self, opset: i64) -> String {
        let x = self.input(0);
        let inputs: Vec<&str> = self.node.input.iter().map(String::as_str).collect();
        let asked = self.node.attribute.clone();
        let mut kept = asked.clone();
        kept.retain(|attribute| attribute.name != "keepdims");
        kept.push(whole("keepdims", 1));
        let (least, most) = (self.number(f32::MIN, x), self.number(f32::MAX, x));
        let mut largest = |attributes| {
            let largest = self.add("ReduceMax", &inputs, attributes);
            // The difference of two infinite numbers would be no number.
            let largest = self.add("Max", &[&largest, &least], Vec::new());
            self.add("Min", &[&largest, &most], Vec::new())
        };
        let (beside, before) = (largest(kept), largest(asked.clone()));
        let difference = self.add("Sub", &[x, &beside], Vec::new());
        let powers = self.add("Exp", &[&difference], Vec::new());
        let sum = self.sum(&powers, inputs.get(1).copied(), asked, opset);
        let logarithm = self.add("Log", &[&sum], Vec::new());
        self.add("Add", &[&logarithm, &before], Vec::new())
    }

    /// The sum along axes, which it took as an input before others did.
    fn sum(
        &mut self,
        x: &str,
        axes: Option<&str>,
        mut attributes: Vec<AttributeProto>,
        opset: i64,
    ) -> String {
        let given = attributes.iter().find(|attribute| attribute.name == "axes");
        let axes = match (axes, given.filter(|_| opset >= 13)) {
            (Some(axes), _) => Some(axes.to_owned()),
            (None, Some(given)) => Some(self.list(&given.ints.clone())),
            (None, None) => None,
        };
        if axes.is_some() {
            attributes.retain(|attribute| attribute.name != "axes");
        }
        let inputs: Vec<&str> = [x].into_iter().chain(axes.as_deref()).collect();
        self.add("ReduceSum", &inputs, attributes)
    }

    /// An attribute that is 1 if it is not there.
    fn alpha(&self) -> f32 {
        let alpha = self.attribute("alpha");
        alpha.map_or(1.0, |attribute| attribute.f)
    }

    /// x * sigmoid(alpha * x)
    fn swish(&mut self) -> String {
        let x = self.input(0);
        let alpha = self.number(self.alpha(), x);
        let scaled = self.add("Mul", &[x, &alpha], Vec::new());
        let gate = self.add("Sigmoid", &[&scaled], Vec::new());
        self.add("Mul", &[x, &gate], Vec::new())
    }

    fn swiglu(&mut self) -> String {
        let swish = self.swish();
        self.add("Mul", &[&swish, self.input(1)], Vec::new())
    }

    /// A recurrent layer as tract takes it: from the start of its sequences to their end, and with a
    /// state to begin with, which tract can make only for a batch of known size.
    fn recurrent(&mut self) -> Option<Vec<String>> {
        let is_batch_first = self.attribute("layout").is_some_and(|layout| layout.i != 0);
        let direction = self.attribute("direction");
        let direction = direction.map_or(Vec::new(), |direction| direction.s.to_ascii_lowercase());
        let mut node = self.node.clone();
        self.begin(&mut node, &direction, is_batch_first);
        let mut results = Vec::new();
        if direction == b"reverse" {
            node.attribute
                .retain(|attribute| attribute.name != "direction");
            let time = i64::from(is_batch_first);
            let sequences = self.turned(self.input(0), time);
            node.input.first_mut()?.clone_from(&sequences);
            // Of the outputs, only the first one is a sequence.
            let first = node.output.first_mut().filter(|output| !output.is_empty());
            let turned = first.map(|first| {
                first.push_str("/turned");
                first.clone()
            });
            self.nodes.push(node);
            results.extend(turned.map(|turned| self.turned(&turned, time)));
        } else {
            self.nodes.push(node);
        }
        Some(results)
    }

    /// Gives a recurrent layer zeros to begin with, where it has nothing.
    fn begin(&mut self, node: &mut NodeProto, direction: &[u8], is_batch_first: bool) {
        const STATE: usize = 5;
        const CELLS: usize = 6;
        let states: &[usize] = match node.op_type.as_str() {
            "LSTM" => &[STATE, CELLS],
            _ => &[STATE],
        };
        let Some(hidden) = self.attribute("hidden_size").map(|hidden| hidden.i) else {
            return;
        };
        let directions = if direction == b"bidirectional" { 2 } else { 1 };
        let x = self.input(0);
        for state in states {
            if node.input.len() <= *state {
                node.input.resize(state + 1, String::new());
            }
            let Some(input) = node.input.get_mut(*state).filter(|input| input.is_empty()) else {
                continue;
            };
            let (directions, hidden) = (self.list(&[directions]), self.list(&[hidden]));
            let sizes = self.add("Shape", &[x], Vec::new());
            let batch = self.list(&[i64::from(!is_batch_first)]);
            let batch = self.add("Gather", &[&sizes, &batch], Vec::new());
            let shape = match is_batch_first {
                true => [&batch, &directions, &hidden],
                false => [&directions, &batch, &hidden],
            };
            let shape = self.add("Concat", &shape.map(String::as_str), vec![whole("axis", 0)]);
            let zeros = self.add("ConstantOfShape", &[&shape], Vec::new());
            *input = self.add("CastLike", &[&zeros, x], Vec::new());
        }
    }

    /// A tensor from its end to its start along an axis.
    fn turned(&mut self, tensor: &str, axis: i64) -> String {
        self.add(FLIP, &[tensor], vec![whole("axis", axis)])
    }
}

fn whole(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}
