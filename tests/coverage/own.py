"""Cases of ours, for what the package has none: functions of a model, older versions of operators, and
attributes that are easily overlooked. The answers are computed here, by what ONNX says of the operators."""

import numpy as np
from onnx import parser

FUNCTIONS = """
<ir_version: 10, opset_import: ["" : 21, "own" : 1]>
calls (float[N, 4] x) => (float[N, 4] y) {
    a = own.scaled <factor: float = 3.0> (x)
    b = own.twice (a)
    y = own.scaled (b)
}
<domain: "own", opset_import: ["" : 21, "own" : 1]>
twice (x) => (y) {
    half = own.scaled <factor: float = 0.5> (x)
    y = Sub (x, half)
}
<domain: "own", opset_import: ["" : 21]>
scaled <factor: float = 2.0> (x) => (y) {
    factor = Constant <value_float: float = @factor> ()
    y = Mul (x, factor)
}
"""
RNN = """
<ir_version: 8, opset_import: ["" : 17]>
rnn (float[5, 2, 3] x, float[1, 4, 3] w, float[1, 4, 4] r) => (float[5, 1, 2, 4] y, float[1, 2, 4] last) {
    y, last = RNN <hidden_size = 4, activations = ["Relu"], direction = "DIRECTION"> (x, w, r)
}
"""
CELU = """
<ir_version: 8, opset_import: ["" : 17]>
celu (float[N, 4] x) => (float[N, 4] y) { y = Celu <alpha: float = 0.3> (x) }
"""
UPSAMPLE = """
<ir_version: 4, opset_import: ["" : 9]>
upsample (float[1, 2, 2, 3] x) => (float[1, 2, 4, 9] y)
<float[4] scales = {1.0, 1.0, 2.0, 3.0}>
{ y = Upsample <mode = "nearest"> (x, scales) }
"""
RESIZE = UPSAMPLE.replace(": 9]", ": 10]").replace("Upsample", "Resize")
LOG_SUM_EXP = """
<ir_version: 10, opset_import: ["" : OPSET]>
log_sum_exp (float[2, 3] x) => (float[2] y) { NODE }
"""
LOG_SUM_EXP_13 = LOG_SUM_EXP.replace("OPSET", "13").replace(
    "NODE", "y = ReduceLogSumExp <axes = [1], keepdims = 0> (x)"
)
LOG_SUM_EXP_18 = LOG_SUM_EXP.replace("OPSET", "18").replace(
    "NODE",
    "axes = Constant <value_ints = [-1]> ()  y = ReduceLogSumExp <keepdims = 0> (x, axes)",
)
MASKED_MAX = """
<ir_version: 10, opset_import: ["" : 18]>
most (float[2, 3] x) => (float[2, 1] y) {
    axes = Constant <value_ints = [1]> ()
    y = ReduceMax (x, axes)
}
"""


def own_cases():
    """Names, models, and data sets of inputs and outputs."""
    random = np.random.default_rng(1)

    def numbers(*shape):
        return random.standard_normal(shape).astype(np.float32)

    recurrent = [numbers(5, 2, 3), numbers(1, 4, 3), numbers(1, 4, 4)]
    matrix, image = numbers(3, 4), numbers(1, 2, 2, 3)
    large = np.array([[1000, 1001, 1002], [-1000, -np.inf, -1000]], np.float32)
    sums = np.array([1002 + np.log(np.exp(-2) + np.exp(-1) + 1), np.log(2) - 1000], np.float32)
    nothing = np.array([[-np.inf] * 3, [1, np.inf, 2]], np.float32)
    repeated = image.repeat(2, axis=2).repeat(3, axis=3)
    below = 0.3 * (np.exp(matrix / np.float32(0.3)) - 1)
    most = np.array([[-np.inf], [np.inf]], np.float32)
    return [
        # Three times, less half of it, and twice that.
        case("functions", FUNCTIONS, [matrix], [3 * matrix]),
        case("rnn_relu", RNN.replace("DIRECTION", "forward"), recurrent, layer(*recurrent)),
        case("rnn_relu_reverse", RNN.replace("DIRECTION", "reverse"), recurrent, backwards(*recurrent)),
        case("celu_alpha", CELU, [matrix], [np.where(matrix > 0, matrix, below)]),
        case("upsample_9_nearest", UPSAMPLE, [image], [repeated]),
        case("resize_10_nearest", RESIZE, [image], [repeated]),
        case("reduce_log_sum_exp_13_large", LOG_SUM_EXP_13, [large], [sums]),
        case("reduce_log_sum_exp_18_large", LOG_SUM_EXP_18, [large], [sums]),
        case("reduce_max_infinite", MASKED_MAX, [nothing], [most]),
    ]


def case(name, text, inputs, outputs):
    outputs = [output.astype(np.float32) for output in outputs]
    return name, parser.parse_model(text), [(inputs, outputs)]


def layer(x, w, r):
    """A recurrent layer; its states, and the last one."""
    state, states = np.zeros((x.shape[1], w.shape[1]), np.float32), []
    for step in x:
        state = np.maximum(step @ w[0].T + state @ r[0].T, 0)
        states.append(state)
    return [np.stack(states)[:, None], state[None]]


def backwards(x, w, r):
    """The same from the end of the sequences to their start."""
    states, last = layer(x[::-1], w, r)
    return [states[::-1], last]
