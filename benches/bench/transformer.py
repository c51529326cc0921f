"""Transformers, written as exporters write them."""

from dataclasses import dataclass

import numpy as np

from graph import Graph

SEQUENCE = 128
VOCABULARY = 30522


@dataclass
class Shape:
    layers: int
    width: int
    heads: int
    inner: int
    fused_norm: bool  # opset 17's LayerNormalization, or the operators that it stands for


def layer_norm(graph: Graph, x: str, shape: Shape) -> str:
    scale = graph.constant(graph.random.uniform(0.5, 1.5, shape.width))
    bias = graph.bias(shape.width)
    if shape.fused_norm:
        return graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)
    centred = graph.op("Sub", x, graph.op("ReduceMean", x, axes=[-1]))
    square = graph.op("Pow", centred, graph.constant(2))
    variance = graph.op("ReduceMean", square, axes=[-1])
    deviation = graph.op("Sqrt", graph.op("Add", variance, graph.constant(1e-12)))
    normal = graph.op("Div", centred, deviation)
    return graph.op("Add", graph.op("Mul", normal, scale), bias)


def attention(graph: Graph, x: str, shape: Shape, mask: str | None) -> str:
    size = shape.width // shape.heads

    def heads(order):
        linear = graph.linear(x, (shape.width, shape.width))
        split = graph.reshape(linear, [1, -1, shape.heads, size])
        return graph.op("Transpose", split, perm=order)

    query, key, value = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
    scores = graph.op("MatMul", query, key)
    scores = graph.op("Div", scores, graph.constant(size**0.5))
    if mask:
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    joined = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    joined = graph.reshape(joined, [1, -1, shape.width])
    return graph.linear(joined, (shape.width, shape.width))


def inner(graph: Graph, x: str, shape: Shape) -> str:
    x = graph.gelu(graph.linear(x, (shape.width, shape.inner)))
    return graph.linear(x, (shape.inner, shape.width))


def encoder(name: str, shape: Shape):
    """A text encoder: tokens to vectors, and the first token's through a pooler."""
    graph = Graph(name)
    tokens, mask, types = (
        graph.input(input, [1, SEQUENCE], np.int64)
        for input in ("input_ids", "attention_mask", "token_type_ids")
    )
    parts = [
        graph.op("Gather", graph.normal([rows, shape.width], 0.5), indices, axis=0)
        for rows, indices in (
            (VOCABULARY, tokens),
            (2, types),
            (512, graph.constant([range(SEQUENCE)], np.int64)),
        )
    ]
    x = graph.op("Add", graph.op("Add", parts[0], parts[1]), parts[2])
    x = layer_norm(graph, x, shape)
    mask = graph.op("Unsqueeze", mask, graph.constant([1, 2], np.int64))
    mask = graph.op("Cast", mask, to=1)
    mask = graph.op("Mul", graph.op("Sub", graph.constant(1), mask), graph.constant(-1e4))
    for _ in range(shape.layers):
        x = layer_norm(graph, graph.op("Add", attention(graph, x, shape, mask), x), shape)
        x = layer_norm(graph, graph.op("Add", inner(graph, x, shape), x), shape)
    first = graph.op("Gather", x, graph.constant(0, np.int64), axis=1)
    pooled = graph.op("Tanh", graph.gemm(first, (shape.width, shape.width)))
    return graph.model(x, pooled)


def bert_tiny():
    return encoder("bert-tiny", Shape(2, 128, 2, 512, fused_norm=False))


def bert_mini():
    return encoder("bert-mini", Shape(4, 256, 4, 1024, fused_norm=False))


def minilm():
    return encoder("minilm", Shape(6, 384, 12, 1536, fused_norm=True))


def vit_tiny():
    """A vision transformer for pictures of 224 x 224 in patches of 16 x 16."""
    shape = Shape(12, 192, 3, 768, fused_norm=True)
    graph = Graph("vit-tiny")
    pixels = graph.input("pixels", [1, 3, 224, 224])
    weights = graph.normal([shape.width, 3, 16, 16], 1 / 768**0.5)
    x = graph.op("Conv", pixels, weights, graph.bias(shape.width), strides=[16, 16])
    x = graph.op("Transpose", graph.reshape(x, [1, shape.width, -1]), perm=[0, 2, 1])
    x = graph.op("Concat", graph.normal([1, 1, shape.width], 0.5), x, axis=1)
    x = graph.op("Add", x, graph.normal([1, 197, shape.width], 0.5))
    for _ in range(shape.layers):
        normal = layer_norm(graph, x, shape)
        x = graph.op("Add", x, attention(graph, normal, shape, None))
        x = graph.op("Add", x, inner(graph, layer_norm(graph, x, shape), shape))
    first = graph.op("Gather", layer_norm(graph, x, shape), graph.constant(0, np.int64), axis=1)
    return graph.model(graph.gemm(first, (shape.width, 1000)))
