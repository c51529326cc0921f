"""Pieces of architectures as exporters write them, with open dimensions: the package's cases have none.
The answers are those of its reference evaluator."""

import numpy as np
from onnx import parser
from onnx.reference import ReferenceEvaluator

HEAD = '<ir_version: 8, opset_import: ["" : 17]> piece '

RESIZE_TO_ANOTHER = """
(float[N, 3, H, W] x, float[M, 3, P, Q] skip) => (float[A, B, C, D] y) {
    of_skip = Shape (skip)
    last = Constant <value_ints = [2, 3]> ()
    size = Gather (of_skip, last)
    of_x = Shape (x)
    first = Constant <value_ints = [0, 1]> ()
    count = Gather (of_x, first)
    sizes = Concat <axis = 0> (count, size)
    y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (x, "", "", sizes)
}"""
DETECTION = """
(float[1, K, 4] boxes, float[1, 1, K] scores, float[1, 8, F, F] features) => (float[R, 8, 7, 7] y)
<int64[1] most = {5}, float[1] overlap = {0.5}, float[1] least = {0.1}> {
    selected = NonMaxSuppression (boxes, scores, most, overlap, least)
    two = Constant <value_int = 2> ()
    box = Gather <axis = 1> (selected, two)
    first = Constant <value_ints = [0]> ()
    of_image = Squeeze (boxes, first)
    regions = Gather <axis = 0> (of_image, box)
    zero = Constant <value_int = 0> ()
    image = Gather <axis = 1> (selected, zero)
    y = RoiAlign <output_height = 7, output_width = 7, sampling_ratio = 2> (features, regions, image)
}"""
RECURRENT = """
(float[S, N, 3] x, float[2, 16, 3] w, float[2, 16, 4] r, float[2, 32] b)
=> (float[A, 2, B, 4] y, float[2, C, 4] state, float[2, D, 4] cells) {
    y, state, cells = LSTM <hidden_size = 4, direction = "bidirectional"> (x, w, r, b)
}"""
REVERSED = """
(float[S, N, 3] x, float[1, 12, 3] w, float[1, 12, 4] r, float[1, 24] b)
=> (float[A, 1, B, 4] y, float[1, C, 4] state) {
    y, state = GRU <hidden_size = 4, direction = "reverse", linear_before_reset = 1> (x, w, r, b)
}"""
ATTENTION = """
(float[N, S, 16] x, int64[N, S] mask, float[16, 48] weights) => (float[A, B, C] y) {
    all = MatMul (x, weights)
    q, k, v = Split <axis = 2> (all)
    of_x = Shape (x)
    first = Constant <value_ints = [0, 1]> ()
    outer = Gather (of_x, first)
    heads = Constant <value_ints = [4, 4]> ()
    split = Concat <axis = 0> (outer, heads)
    q_split = Reshape (q, split)
    q_heads = Transpose <perm = [0, 2, 1, 3]> (q_split)
    k_split = Reshape (k, split)
    k_heads = Transpose <perm = [0, 2, 3, 1]> (k_split)
    v_split = Reshape (v, split)
    v_heads = Transpose <perm = [0, 2, 1, 3]> (v_split)
    scores = MatMul (q_heads, k_heads)
    axes = Constant <value_ints = [1, 2]> ()
    wide = Unsqueeze (mask, axes)
    one = Constant <value_int = 1> ()
    seen = Equal (wide, one)
    never = Constant <value_float = -10000.0> ()
    masked = Where (seen, scores, never)
    shares = Softmax <axis = -1> (masked)
    made = MatMul (shares, v_heads)
    turned = Transpose <perm = [0, 2, 1, 3]> (made)
    width = Constant <value_ints = [16]> ()
    joined = Concat <axis = 0> (outer, width)
    y = Reshape (turned, joined)
}"""
POSITIONS = """
(int64[N, S] ids, float[20, 8] words, float[32, 8] places) => (float[N, S, 8] y) {
    embedded = Gather (words, ids)
    of_ids = Shape (ids)
    one = Constant <value_int = 1> ()
    length = Gather (of_ids, one)
    zero = Constant <value_int = 0> ()
    range = Range (zero, length, one)
    positions = Gather (places, range)
    placed = Add (embedded, positions)
    all = ConstantOfShape <value: tensor = float[1] {1.0}> (of_ids)
    last = Constant <value_ints = [2]> ()
    mask = Unsqueeze (all, last)
    y = Mul (placed, mask)
}"""
CAUSAL_MASK = """
(float[N, S, T] x) => (float[N, S, U] y) {
    of_x = Shape (x)
    one = Constant <value_ints = [1]> ()
    length = Gather (of_x, one)
    square = Concat <axis = 0> (length, length)
    never = Constant <value_float = -10000.0> ()
    all = Expand (never, square)
    mask = Trilu <upper = 1> (all)
    y = Add (x, mask)
}"""


def architecture_cases():
    """Names, models, and data sets of inputs and outputs."""
    random = np.random.default_rng(2)

    def numbers(*shape):
        return random.standard_normal(shape).astype(np.float32)

    boxes = np.array([[[0, 0, 4, 4], [0, 0, 4.1, 4], [5, 5, 9, 9], [1, 1, 3, 3]]], np.float32)
    scores = np.array([[[0.9, 0.8, 0.7, 0.2]]], np.float32)
    layer = [numbers(2, 16, 3), numbers(2, 16, 4), numbers(2, 32)]
    reversed_layer = [numbers(1, 12, 3), numbers(1, 12, 4), numbers(1, 24)]
    ids, mask = np.array([[1, 2, 9], [0, 3, 12]]), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    return [
        case("open_resize_to_another", RESIZE_TO_ANOTHER, numbers(1, 3, 5, 6), numbers(1, 3, 10, 13)),
        case("open_detection", DETECTION, boxes, scores, numbers(1, 8, 12, 12)),
        case("open_lstm", RECURRENT, numbers(6, 2, 3), *layer),
        case("open_gru_reverse", REVERSED, numbers(6, 2, 3), *reversed_layer),
        case("open_attention", ATTENTION, numbers(2, 5, 16), mask, numbers(16, 48)),
        case("open_positions", POSITIONS, ids, numbers(20, 8), numbers(32, 8)),
        case("open_causal_mask", CAUSAL_MASK, numbers(2, 3, 3)),
    ]


def case(name, text, *inputs):
    model = parser.parse_model(HEAD + text)
    named = {value.name: array for value, array in zip(model.graph.input, inputs, strict=True)}
    return name, model, [(list(inputs), ReferenceEvaluator(model).run(None, named))]
