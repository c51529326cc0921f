"""Networks for series and for tables."""

import numpy as np

from graph import Graph

STEPS = 64


def lstm():
    """Two layers and a classifier on the last step."""
    return recurrent("LSTM", gates=4)


def gru():
    return recurrent("GRU", gates=3, linear_before_reset=1)


def recurrent(kind: str, gates: int, inputs: int = 64, hidden: int = 128, **attributes):
    graph = Graph(kind.lower())
    x = graph.input("series", [STEPS, 1, inputs])
    for size in (inputs, hidden):
        weights = [
            graph.normal([1, gates * hidden, columns], hidden**-0.5) for columns in (size, hidden)
        ]
        bias = graph.normal([1, 2 * gates * hidden], 0.1)
        outputs = 3 if kind == "LSTM" else 2
        every, *_ = graph.op(
            kind, x, *weights, bias, outputs=outputs, hidden_size=hidden, **attributes
        )
        x = graph.op("Squeeze", every, graph.constant([1], np.int64))
    last = graph.op("Gather", x, graph.constant(STEPS - 1, np.int64), axis=0)
    return graph.model(graph.gemm(last, (hidden, 10)))


def mlp():
    """Four layers for a table of 256 columns."""
    graph = Graph("mlp")
    x = graph.input("columns", [1, 256])
    sizes = (256, 1024, 1024, 512, 10)
    for index, layer in enumerate(zip(sizes, sizes[1:])):
        x = graph.gemm(x if index == 0 else graph.op("Relu", x), layer)
    return graph.model(graph.op("Softmax", x, axis=-1))


def tcn():
    """Dilated causal convolutions over a series."""
    graph = Graph("tcn")
    x = graph.input("series", [1, 16, 512])
    before = 16
    for dilation in (1, 2, 4, 8, 16, 32):
        y = x
        for channels in ((before, 64), (64, 64)):
            options = {"kernel": (3,), "dilation": dilation, "causal": True}
            y = graph.op("Relu", graph.conv(y, channels, **options))
        if before != 64:
            x = graph.conv(x, (before, 64), kernel=(1,))
        x = graph.op("Relu", graph.op("Add", x, y))
        before = 64
    return graph.model(graph.conv(x, (64, 8), kernel=(1,)))
