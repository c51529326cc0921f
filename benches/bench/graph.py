"""Writes ONNX graphs, node by node, with random weights."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class Graph:
    """A graph under construction. Each operator's method returns the name of its output."""

    def __init__(self, name: str, opset: int = 17):
        self.name = name
        self.opset = opset
        self.random = np.random.default_rng(SEED)
        self.nodes, self.weights, self.inputs = [], [], []

    def input(self, name: str, shape: list[int], dtype=np.float32) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[np.dtype(dtype)], shape))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes):
        names = [f"{kind.lower()}_{len(self.nodes)}_{index}" for index in range(outputs)]
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, names, name, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array, dtype=np.float32) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def normal(self, shape: list[int], deviation: float) -> str:
        return self.constant(self.random.standard_normal(shape, np.float32) * deviation)

    def bias(self, size: int) -> str:
        return self.normal([size], 0.1)

    def conv(
        self,
        x: str,
        channels: tuple[int, int],
        kernel: int | tuple[int, ...] = 3,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        causal: bool = False,
    ) -> str:
        """A convolution that keeps the size, the stride aside. `channels`: in, out."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = [channels[1], channels[0] // groups, *kernel]
        weights = self.normal(shape, math.sqrt(2 / math.prod(shape[1:])))
        spans = [dilation * (size - 1) for size in kernel]
        if causal:
            pads = [*spans, *(0 for _ in spans)]
        else:
            pads = [*(span // 2 for span in spans), *(span - span // 2 for span in spans)]
        return self.op(
            "Conv",
            x,
            weights,
            self.bias(channels[1]),
            kernel_shape=kernel,
            strides=[stride] * len(kernel),
            pads=pads,
            group=groups,
            dilations=[dilation] * len(kernel),
        )

    def batch_norm(self, x: str, channels: int) -> str:
        scale, variance = (self.constant(self.random.uniform(0.5, 1.5, channels)) for _ in range(2))
        return self.op(
            "BatchNormalization", x, scale, self.bias(channels), self.bias(channels), variance
        )

    def linear(self, x: str, sizes: tuple[int, int]) -> str:
        """As exporters write it for more than two dimensions."""
        weights = self.normal(list(sizes), math.sqrt(1 / sizes[0]))
        return self.op("Add", self.op("MatMul", x, weights), self.bias(sizes[1]))

    def gemm(self, x: str, sizes: tuple[int, int]) -> str:
        weights = self.normal([sizes[1], sizes[0]], math.sqrt(2 / sizes[0]))
        return self.op("Gemm", x, weights, self.bias(sizes[1]), transB=1)

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gelu(self, x: str) -> str:
        scaled = self.op("Div", x, self.constant(math.sqrt(2)))
        one = self.op("Add", self.op("Erf", scaled), self.constant(1))
        return self.op("Mul", self.op("Mul", x, one), self.constant(0.5))

    def reshape(self, x: str, shape: list[int]) -> str:
        return self.op("Reshape", x, self.constant(shape, np.int64))

    def classify(self, x: str, channels: int, classes: int = 1000) -> str:
        """What image classifiers end with."""
        flat = self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)
        return self.gemm(flat, (channels, classes))

    def model(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, infos, self.weights)
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, ir_version=8, opset_imports=[opset])
        return onnx.shape_inference.infer_shapes(model)
