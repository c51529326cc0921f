"""Convolutional networks, in the shapes of well-known ones."""

from graph import Graph


def conv_norm(graph: Graph, x: str, channels: tuple[int, int], activation: str = "", **options):
    """As exporters write it for inference before they fold the normalisation."""
    x = graph.batch_norm(graph.conv(x, channels, **options), channels[1])
    return activate(graph, x, activation)


def activate(graph: Graph, x: str, activation: str) -> str:
    match activation:
        case "relu6":
            return graph.op("Clip", x, graph.constant(0), graph.constant(6))
        case "silu":
            return graph.silu(x)
        case "leaky":
            return graph.op("LeakyRelu", x, alpha=0.1)
        case "relu":
            return graph.op("Relu", x)
    return x


def mobilenet_v2():
    """Depthwise and 1x1 convolutions."""
    graph = Graph("mobilenet-v2")
    x = graph.input("pixels", [1, 3, 224, 224])
    x = conv_norm(graph, x, (3, 32), "relu6", stride=2)
    blocks = [  # expansion, channels, how often, stride
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    before = 32
    for expansion, channels, times, stride in blocks:
        for index in range(times):
            step = stride if index == 0 else 1
            x = inverted_residual(graph, x, (before, channels), expansion, step)
            before = channels
    x = conv_norm(graph, x, (320, 1280), "relu6", kernel=1)
    return graph.model(graph.classify(x, 1280))


def inverted_residual(graph: Graph, x: str, channels: tuple[int, int], expansion: int, stride: int):
    inner, y = channels[0] * expansion, x
    if expansion > 1:
        y = conv_norm(graph, y, (channels[0], inner), "relu6", kernel=1)
    y = conv_norm(graph, y, (inner, inner), "relu6", stride=stride, groups=inner)
    y = conv_norm(graph, y, (inner, channels[1]), kernel=1)
    return graph.op("Add", x, y) if stride == 1 and channels[0] == channels[1] else y


def efficientnet():
    """The first blocks of EfficientNet-B0's kind: depthwise, squeeze and excitation, SiLU."""
    graph = Graph("efficientnet")
    x = graph.input("pixels", [1, 3, 224, 224])
    x = conv_norm(graph, x, (3, 32), "silu", stride=2)
    blocks = [  # expansion, channels, how often, stride, kernel
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ]
    before = 32
    for expansion, channels, times, stride, kernel in blocks:
        for index in range(times):
            step = stride if index == 0 else 1
            x = excited_block(graph, x, (before, channels), expansion, step, kernel)
            before = channels
    x = conv_norm(graph, x, (320, 1280), "silu", kernel=1)
    return graph.model(graph.classify(x, 1280))


def excited_block(graph, x, channels: tuple[int, int], expansion: int, stride: int, kernel: int):
    inner, y = channels[0] * expansion, x
    if expansion > 1:
        y = conv_norm(graph, y, (channels[0], inner), "silu", kernel=1)
    y = conv_norm(graph, y, (inner, inner), "silu", kernel=kernel, stride=stride, groups=inner)
    squeezed = max(1, channels[0] // 4)
    gate = graph.op("GlobalAveragePool", y)
    gate = graph.silu(graph.conv(gate, (inner, squeezed), kernel=1))
    gate = graph.op("Sigmoid", graph.conv(gate, (squeezed, inner), kernel=1))
    y = conv_norm(graph, graph.op("Mul", y, gate), (inner, channels[1]), kernel=1)
    return graph.op("Add", x, y) if stride == 1 and channels[0] == channels[1] else y


def resnet18():
    graph = Graph("resnet18")
    x = graph.input("pixels", [1, 3, 224, 224])
    x = conv_norm(graph, x, (3, 64), "relu", kernel=7, stride=2)
    x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    before = 64
    for channels in (64, 128, 256, 512):
        for index in range(2):
            stride = 2 if index == 0 and channels > 64 else 1
            x = residual(graph, x, (before, channels), stride)
            before = channels
    return graph.model(graph.classify(x, 512))


def residual(graph: Graph, x: str, channels: tuple[int, int], stride: int = 1) -> str:
    y = conv_norm(graph, x, channels, "relu", stride=stride)
    y = conv_norm(graph, y, (channels[1], channels[1]))
    if channels[0] != channels[1]:
        x = conv_norm(graph, x, channels, kernel=1, stride=stride)
    return graph.op("Relu", graph.op("Add", x, y))


def unet():
    """Down and up again: transposed convolution or resizing, and concatenation."""
    graph = Graph("unet")
    x = graph.input("pixels", [1, 3, 128, 128])
    widths, skips, before = (16, 32, 64, 128), [], 3
    for width in widths:
        x = conv_norm(graph, x, (before, width), "relu")
        x = conv_norm(graph, x, (width, width), "relu")
        skips.append(x)
        x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        before = width
    x = conv_norm(graph, x, (before, before), "relu")
    for level, width in reversed(list(enumerate(widths))):
        x = upsample(graph, x, (before, width), transposed=level % 2 == 0)
        x = graph.op("Concat", x, skips[level], axis=1)
        x = conv_norm(graph, x, (2 * width, width), "relu")
        before = width
    return graph.model(graph.op("Sigmoid", graph.conv(x, (before, 1), kernel=1)))


def upsample(graph: Graph, x: str, channels: tuple[int, int], transposed: bool) -> str:
    if transposed:
        weights = graph.normal([*channels, 2, 2], (1 / channels[0]) ** 0.5)
        return graph.op("ConvTranspose", x, weights, graph.bias(channels[1]), strides=[2, 2])
    scales = graph.constant([1, 1, 2, 2])
    x = graph.op("Resize", x, "", scales, mode="nearest", nearest_mode="floor",
                 coordinate_transformation_mode="asymmetric")  # fmt: skip
    return conv_norm(graph, x, channels, "relu")


def yolo():
    """A detector: LeakyRelu and SiLU, pooling in pyramids, three heads."""
    graph = Graph("yolo")
    x = graph.input("pixels", [1, 3, 256, 256])
    x = conv_norm(graph, x, (3, 16), "leaky", stride=2)
    levels, before = [], 16
    for width in (32, 64, 128, 256):
        x = conv_norm(graph, x, (before, width), "silu", stride=2)
        x = split_block(graph, x, width)
        levels.append(x)
        before = width
    levels[-1] = pooled_pyramid(graph, levels[-1], 256)
    heads = [head(graph, x, width) for x, width in zip(levels[1:], (64, 128, 256))]
    return graph.model(graph.op("Concat", *heads, axis=1))


def split_block(graph: Graph, x: str, width: int) -> str:
    """Half of the channels go through residual convolutions, half pass by."""
    half = width // 2
    left, right = (conv_norm(graph, x, (width, half), "silu", kernel=1) for _ in range(2))
    inner = conv_norm(graph, left, (half, half), "silu", kernel=1)
    left = graph.op("Add", left, conv_norm(graph, inner, (half, half), "silu"))
    return conv_norm(
        graph, graph.op("Concat", left, right, axis=1), (width, width), "silu", kernel=1
    )


def pooled_pyramid(graph: Graph, x: str, width: int) -> str:
    parts = [conv_norm(graph, x, (width, width // 2), "leaky", kernel=1)]
    for _ in range(3):
        pooled = graph.op("MaxPool", parts[-1], kernel_shape=[5, 5], pads=[2, 2, 2, 2])
        parts.append(pooled)
    joined = graph.op("Concat", *parts, axis=1)
    return conv_norm(graph, joined, (2 * width, width), "leaky", kernel=1)


def head(graph: Graph, x: str, width: int, anchors: int = 3, classes: int = 20) -> str:
    """Boxes and scores of each place, as a list."""
    values = classes + 5
    x = graph.conv(x, (width, anchors * values), kernel=1)
    x = graph.op("Transpose", graph.reshape(x, [1, anchors, values, -1]), perm=[0, 1, 3, 2])
    return graph.op("Sigmoid", graph.reshape(x, [1, -1, values]))


def small_cnn():
    """Without normalisation, for quantisation."""
    graph = Graph("small-cnn")
    x = graph.input("pixels", [1, 3, 64, 64])
    before = 3
    for width in (32, 64, 128):
        x = graph.op("Relu", graph.conv(x, (before, width)))
        x = graph.op("Relu", graph.conv(x, (width, width)))
        x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        before = width
    return graph.model(graph.classify(x, 128, 100))
