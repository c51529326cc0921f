"""Compare packed models with ONNX Runtime, or with the outputs that onnx ships.

    python compare.py                             the light models of the onnx package
    python compare.py model.onnx                  those, and a model of your own
    python compare.py --cases pytorch-converted   small cases with expected outputs

See README.md beside this file. The exit code is 1 if anything is wrong or fails.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
KINDS = ["pytorch-converted", "pytorch-operator", "simple"]
SEED = 20
TOLERANCE = 1e-3  # of the largest number in the reference
TOP = 5

# The protocol's datatypes with a JSON form, and what numpy calls them.
DATATYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
NAMES = {np.dtype(dtype): name for name, dtype in DATATYPES.items()}


class Refused(Exception):
    """`glovebox pack` says no."""


class Failed(Exception):
    """Anything else that keeps a model from being compared."""


# The glovebox command


class Glovebox:
    """Packs and runs models with the command line, in a folder of its own."""

    def __init__(self, binary, cache_dir, timeout, folder):
        self.folder = Path(folder)
        # Each packed model leaves its machine code in the cache: gigabytes nobody wants to keep.
        self.command = [str(binary), "--cache-dir", str(cache_dir or self.folder / "cache")]
        self.timeout = timeout
        self.wasm = self.folder / "model.wasm"

    def call(self, *arguments):
        """Standard output, how the command failed if it did, and the seconds it took."""
        start = time.monotonic()
        try:
            done = subprocess.run(
                [*self.command, *map(str, arguments)],
                capture_output=True,
                timeout=self.timeout,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"`{arguments[0]}` took more than {self.timeout} s") from None
        except OSError as error:
            raise Failed(str(error)) from None
        seconds = time.monotonic() - start
        if done.returncode == 0:
            return done.stdout, None, seconds
        return done.stdout, error_line(done), seconds

    def warm_up(self):
        """The first pack on a machine compiles the runtime; no model's time should hold that."""
        relu = helper.make_node("Relu", ["x"], ["y"])
        info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([relu], "warm-up", info[:1], info[1:])
        opset = [helper.make_opsetid("", 13)]
        path = self.folder / "warm-up.onnx"
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
        self.pack(path)

    def pack(self, path):
        """The packer's report, with the seconds that packing took."""
        stdout, error, seconds = self.call("pack", path, "-o", self.wasm, "--json")
        if error:
            raise Refused(error)
        return json.loads(stdout) | {"seconds": seconds}

    def infer(self, inputs):
        """The outputs by name for the inputs by name, and the seconds that it took."""
        request = self.folder / "request.json"
        tensors = [as_json(name, array) for name, array in inputs.items()]
        try:
            request.write_text(json.dumps({"inputs": tensors}, allow_nan=False))
        except ValueError:
            raise Failed("an input is NaN or infinite, which JSON cannot hold") from None
        stdout, error, seconds = self.call("run", self.wasm, "--tensors", request)
        if error:
            raise Failed(error)
        answer = json.loads(stdout)
        return {tensor["name"]: from_json(tensor) for tensor in answer["outputs"]}, seconds


def error_line(done):
    """The line with `error:`, else whatever was written last."""
    lines = done.stderr.decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]


def as_json(name, array):
    """A tensor of the protocol. Python writes floats with repr, so no digit is lost."""
    if array.dtype not in NAMES:
        raise Failed(f"input {name!r} is {array.dtype}, which has no JSON form")
    return {
        "name": name,
        "datatype": NAMES[array.dtype],
        "shape": list(array.shape),
        "data": array.ravel().tolist(),
    }


def from_json(tensor):
    """An array; `null`, which stands for NaN and infinities, becomes NaN."""
    dtype = DATATYPES[tensor["datatype"]]
    data = [math.nan if element is None else element for element in tensor["data"]]
    return np.array(data, dtype).reshape(tensor["shape"])


# What is asked, and what should come


def fed_inputs(graph):
    """Inputs that a caller gives: in old files weights are listed as inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def random_inputs(graph):
    """An array for each input; dimensions without a size are 1."""
    random = np.random.default_rng(SEED)
    return {value.name: random_input(random, value) for value in fed_inputs(graph)}


def random_input(random, value):
    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.dim_value > 0 else 1 for dim in tensor.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind == "f":
        return np.asarray(random.standard_normal(shape), dtype)
    if dtype.kind in "biu":
        return np.asarray(random.integers(0, 2, shape), dtype)
    raise Failed(f"input {value.name!r}: no random values of type {dtype}")


def onnxruntime_outputs(path, inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


# Light models and their weights


def made_constants(graph):
    """The shapes of what ConstantOfShape nodes make; light models make all weights so."""
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {
        node.output[0]: tuple(int(size) for size in shapes[node.input[0]])
        for node in graph.node
        if node.op_type == "ConstantOfShape" and node.input[0] in shapes
    }


def weights_bytes(graph):
    """Initializers, Constant nodes and what ConstantOfShape makes, if any other node takes it."""
    taken = set()
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            taken.update(node.input)
    sizes = {name: 4 * math.prod(shape) for name, shape in made_constants(graph).items()}
    for tensor in graph.initializer:
        sizes[tensor.name] = tensor_bytes(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            sizes[node.output[0]] = sum(tensor_bytes(a.t) for a in node.attribute if a.HasField("t"))
    return sum(size for name, size in sizes.items() if name in taken)


def tensor_bytes(tensor):
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def with_random_weights(model):
    """The model with random numbers where all weights are one same number.

    As shipped, all channels of a layer are equal, and so are all scores: mistakes in the order of
    weights cannot show. A final Softmax hides errors too, so what goes into it becomes an output.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    random = np.random.default_rng(SEED)
    made = made_constants(graph)
    roles = weight_roles(graph)
    for name, shape in made.items():
        array = random_weights(random, shape, roles.get(name))
        graph.initializer.append(numpy_helper.from_array(array, name))
        if copy.ir_version < 4:  # there, each initializer is an input too
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    nodes = [node for node in graph.node if node.output[0] not in made]
    del graph.node[:]
    graph.node.extend(nodes)
    outputs = {value.name: value for value in graph.output}
    for node in nodes:
        if node.op_type == "Softmax" and node.output[0] in outputs:
            logits = onnx.ValueInfoProto()
            logits.CopyFrom(outputs[node.output[0]])
            logits.name = node.input[0]
            graph.output.append(logits)
    return copy


def weight_roles(graph):
    """For each tensor the operator that takes it, and as which input; Unsqueeze does not count."""
    roles = {}
    for node in reversed(graph.node):
        for position, name in enumerate(node.input):
            through = node.op_type == "Unsqueeze" and node.output[0] in roles
            roles[name] = roles[node.output[0]] if through else (node.op_type, position)
    return roles


def random_weights(random, shape, role):
    """Numbers of such size that a signal neither fades nor explodes from layer to layer."""
    if role in (("BatchNormalization", 1), ("BatchNormalization", 4)) or role and role[0] == "Mul":
        array = random.uniform(0.5, 1.5, shape)  # scales and variances
    elif len(shape) < 2:
        array = random.normal(0, 0.1, shape)  # biases and means
    else:
        inputs = math.prod([size for size in shape if size > 1][1:])
        array = random.standard_normal(shape, np.float32) * math.sqrt(2 / inputs)
    return np.asarray(array, np.float32)


# Comparing


def compare(expected, found):
    """How far the outputs are from the reference, and the first thing that is wrong."""
    result = {"abs_error": 0.0, "rel_error": 0.0, "top5": None, "wrong": None}
    if set(expected) != set(found):
        result["wrong"] = f"the outputs are {sorted(found)}, expected {sorted(expected)}"
        return result
    for name, reference in expected.items():
        if wrong := compare_output(result, reference, found[name]):
            result["wrong"] = result["wrong"] or f"output {name!r}: {wrong}"
    return result


def compare_output(result, expected, found):
    """Takes one output into the result; says what is wrong with it."""
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        return (
            f"{found.dtype} {list(found.shape)}, "
            f"expected {expected.dtype} {list(expected.shape)}"
        )
    if expected.dtype.kind not in "biuf":
        return None if np.array_equal(expected, found) else "its strings differ"
    finite = np.isfinite(expected.astype(np.float64))
    if not np.array_equal(finite, np.isfinite(found.astype(np.float64))):
        return "it is not finite in the same places"
    expected, found = (array.astype(np.float64) for array in (expected, found))
    largest = np.abs(expected[finite]).max(initial=0)
    absolute = np.abs(expected - found)[finite].max(initial=0)
    relative = absolute / largest if largest else absolute
    result["abs_error"] = max(result["abs_error"], float(absolute))
    result["rel_error"] = max(result["rel_error"], float(relative))
    top = compare_top(expected, found, TOLERANCE * largest)
    result["top5"] = "differs" if "differs" in (top, result["top5"]) else top or result["top5"]
    if relative > TOLERANCE:
        return f"relative error {relative:.1e}"
    return "another top-5" if top == "differs" else None


def compare_top(expected, found, tolerance):
    """`same`, `tied` or `differs`; `flat` if the scores are one same number; None for no scores."""
    if max(expected.shape, default=1) != expected.size or expected.size <= TOP:
        return None
    expected, found = expected.ravel(), found.ravel()
    if np.ptp(expected) <= tolerance:
        return "flat"
    best, best_found = (np.argsort(-scores, kind="stable")[:TOP] for scores in (expected, found))
    if np.array_equal(best, best_found):
        return "same"
    apart = np.abs(expected[best] - expected[best_found]).max()
    return "tied" if apart <= tolerance else "differs"


def check_model(glovebox, name, path):
    """Packs and runs one model, and compares it with ONNX Runtime."""
    result = {"name": name, "status": "failed"}
    try:
        graph = onnx.load(path).graph
        result["weights_bytes"] = weights_bytes(graph)
        report = glovebox.pack(path)
        result |= {
            "pack_seconds": report["seconds"],
            "wasm_bytes": report["bytes"],
            "image_bytes": report["image_bytes"],
        }
        if result["weights_bytes"]:  # tree ensembles keep theirs in attributes, not in tensors
            result["image_to_weights"] = report["image_bytes"] / result["weights_bytes"]
        inputs = random_inputs(graph)
        found, result["run_seconds"] = glovebox.infer(inputs)
        result |= compare(onnxruntime_outputs(path, inputs), found)
        result["status"] = "wrong" if result["wrong"] else "passed"
    except Refused as error:
        result |= {"status": "refused", "error": str(error)}
    except Exception as error:  # one broken model must not end the comparison
        result["error"] = str(error)
    return result


def check_case(glovebox, name, folder):
    """Packs one case, and compares it with the outputs that are shipped with it."""
    result = {"name": name, "status": "failed"}
    try:
        path = folder / "model.onnx"
        graph = onnx.load(path).graph
        data = folder / "test_data_set_0"
        inputs = shipped(data, "input", fed_inputs(graph))
        expected = shipped(data, "output", graph.output)
        report = glovebox.pack(path)
        result["pack_seconds"] = report["seconds"]
        found, result["run_seconds"] = glovebox.infer(inputs)
        result |= compare(expected, found)
        result["status"] = "wrong" if result["wrong"] else "passed"
    except Refused as error:
        result |= {"status": "refused", "error": str(error)}
    except Exception as error:  # one broken case must not end the comparison
        result["error"] = str(error)
    return result


def shipped(folder, kind, values):
    """The tensors of a case by name; a file holds one, in the graph's order."""
    arrays = {}
    for index, value in enumerate(values):
        if not value.type.HasField("tensor_type"):
            raise Refused(f"{kind} {value.name!r} is no tensor; the protocol knows only tensors")
        tensor = onnx.load_tensor(folder / f"{kind}_{index}.pb")
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind in "OSU":
            text = [s.decode() if isinstance(s, bytes) else s for s in array.ravel()]
            array = np.array(text, np.object_).reshape(array.shape)
        arrays[value.name] = array
    return arrays


# Printing


def mib(size):
    return f"{size / (1 << 20):.1f}"


COLUMNS = [
    ("model", 28, lambda r: r["name"]),
    ("weights MiB", 11, lambda r: mib(r["weights_bytes"])),
    ("image MiB", 9, lambda r: mib(r["image_bytes"])),
    ("ratio", 7, lambda r: f"{r['image_to_weights']:.3f}"),
    ("wasm MiB", 8, lambda r: mib(r["wasm_bytes"])),
    ("pack s", 7, lambda r: f"{r['pack_seconds']:.1f}"),
    ("run s", 6, lambda r: f"{r['run_seconds']:.1f}"),
    ("max abs", 8, lambda r: f"{r['abs_error']:.1e}"),
    ("max rel", 8, lambda r: f"{r['rel_error']:.1e}"),
    ("top 5", 7, lambda r: r["top5"] or "-"),
    ("result", 8, lambda r: r["status"]),
]


def print_row(cells):
    first, *rest = zip(cells, COLUMNS, strict=True)
    line = f"{first[0]:<{first[1][1]}} " + " ".join(f"{c:>{column[1]}}" for c, column in rest)
    print(line.rstrip(), flush=True)


def print_model(result):
    def cell(show):
        try:
            return show(result)
        except KeyError:
            return "-"

    print_row([cell(show) for _, _, show in COLUMNS])
    if why := result.get("wrong") or result.get("error"):
        print(f"    {why}", flush=True)


def print_case(result):
    why = result.get("wrong") or result.get("error")
    if why is None:
        why = f"relative error {result['rel_error']:.1e}"
    print(f"{result['status']:<8} {result['name']}: {why}", flush=True)


# The command line


def models(arguments, folder):
    """Name and path of each model; those with random weights are made when their turn comes."""
    light = {path.stem.removeprefix("light_"): path for path in (DATA / "light").glob("*.onnx")}
    kinds = ["shipped", "random"] if arguments.weights == "both" else [arguments.weights]
    for name, path in sorted(light.items(), key=lambda item: light_weights(item[1])):
        if arguments.only not in name:
            continue
        for weights in kinds:
            if weights == "random":
                path = Path(folder) / f"{name}.onnx"
                onnx.save(with_random_weights(onnx.load(light[name])), path)
            yield f"{name} ({weights})", path
            if weights == "random":
                path.unlink()
    for path in arguments.models:
        if arguments.only in path.stem:
            yield path.stem, path


def light_weights(path):
    return weights_bytes(onnx.load(path).graph)


def check_models(glovebox, arguments, folder):
    print_row([title for title, _, _ in COLUMNS])
    for name, path in models(arguments, folder):
        result = check_model(glovebox, name, path)
        print_model(result)
        yield result


def check_cases(glovebox, arguments):
    for kind in arguments.cases:
        for model in sorted((DATA / kind).glob("*/model.onnx")):
            name = f"{kind}/{model.parent.name.removeprefix('test_')}"
            if arguments.only not in name:
                continue
            result = check_case(glovebox, name, model.parent)
            print_case(result)
            yield result


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files beside the light models")
    parser.add_argument(
        "--glovebox",
        type=Path,
        default=REPOSITORY / "target" / "release" / "glovebox",
        help="the glovebox binary [default: %(default)s]",
    )
    parser.add_argument("--cache-dir", type=Path, help="keep machine code there")
    parser.add_argument(
        "--cases",
        action="append",
        choices=KINDS,
        default=[],
        help="compare the cases of this kind instead of models; may be given again",
    )
    parser.add_argument(
        "--weights",
        choices=["both", "shipped", "random"],
        default="both",
        help="the weights of light models: one same number, as shipped, or random",
    )
    parser.add_argument("--only", default="", metavar="NAME", help="only what has this in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one command")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="glovebox-zoo-") as folder:
        glovebox = Glovebox(
            arguments.glovebox.resolve(), arguments.cache_dir, arguments.timeout, folder
        )
        try:
            glovebox.warm_up()
        except (Refused, Failed) as error:
            sys.exit(f"error: {arguments.glovebox} does not work: {error}")
        checks = (
            check_cases(glovebox, arguments)
            if arguments.cases
            else check_models(glovebox, arguments, folder)
        )
        results = list(checks)
    counts = Counter(result["status"] for result in results)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    allowed = {"passed", "refused"} if arguments.cases else {"passed"}
    sys.exit(0 if results and set(counts) <= allowed else 1)


if __name__ == "__main__":
    main()
