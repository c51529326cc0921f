"""The cases of the onnx package's backend test: models, what they are asked, what they answer."""

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from architectures import architecture_cases
from own import own_cases
from tensors import as_array

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
# Kinds of cases that lie in files; those of kind `node` are made by code of the package.
KINDS = ["pytorch-converted", "pytorch-operator", "real", "simple"]
# Some cases are made of random numbers.
SEED = 20
EXPANDED = "_expanded"
RTOL, ATOL = 1e-3, 1e-7
# Before it, each constant is an input too.
CONSTANTS_IR_VERSION = 4


@dataclass
class Case:
    """A model and one or more questions to it, each with its answer; both in the graph's order."""

    kind: str
    name: str
    model: onnx.ModelProto
    data: list
    rtol: float = RTOL
    atol: float = ATOL

    @property
    def id(self):
        return f"{self.kind}/{self.name.removeprefix('test_')}"

    @property
    def is_expansion(self):
        """Whether it is the function, made of other operators, that defines the case's operator."""
        return self.kind == "node" and EXPANDED in self.name

    @property
    def base(self):
        """The id of the case that this one is the expansion of."""
        return self.id.partition(EXPANDED)[0]

    def with_constants(self):
        """The case with all inputs but the first as constants of the model, where exporters put what
        says how to compute: axes, sizes, scales. Nothing if there is none to put there."""
        first, *others = self.inputs()
        (inputs, outputs), *more = self.data
        if more:
            return None
        kept, constants = (0, [first]) if not others else (1, others)
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.ir_version = max(model.ir_version, CONSTANTS_IR_VERSION)
        for value, array in zip(constants, inputs[kept:], strict=True):
            model.graph.initializer.append(numpy_helper.from_array(as_array(array), value.name))
        names = {value.name for value in constants}
        values = [value for value in model.graph.input if value.name not in names]
        del model.graph.input[:]
        model.graph.input.extend(values)
        return replace(self, model=model, data=[(inputs[:kept], outputs)])

    def inputs(self):
        """What a caller gives: in old files weights are listed as inputs too."""
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return [value for value in self.model.graph.input if value.name not in weights]

    def outputs(self):
        return list(self.model.graph.output)


def collect():
    """All cases, sorted by id."""
    cases = node_cases() + [case for kind in KINDS for case in file_cases(kind)]
    cases += [Case("own", *case) for case in own_cases() + architecture_cases()]
    return sorted(cases, key=lambda case: case.id)


def node_cases():
    np.random.seed(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that overflow, as they should
        from onnx.backend.test.loader import load_model_tests

        loaded = load_model_tests(kind="node")
    return [Case("node", c.name, c.model, c.data_sets, c.rtol, c.atol) for c in loaded]


def file_cases(kind):
    for folder in sorted((DATA / kind).iterdir()):
        note, model = folder / "data.json", folder / "model.onnx"
        about = json.loads(note.read_text()) if note.exists() else {}
        tolerances = about.get("rtol", RTOL), about.get("atol", ATOL)
        if model.exists():
            case = Case(kind, folder.name, onnx.load(model), [], *tolerances)
            case.data = [shipped(case, data) for data in sorted(folder.glob("test_data_set_*"))]
            yield case
        elif "url" in about:
            yield light_case(kind, folder.name, about["url"], tolerances)


def shipped(case, folder):
    """What lies in the files of a data set."""
    return (
        [load(folder / f"input_{i}.pb", value) for i, value in enumerate(case.inputs())],
        [load(folder / f"output_{i}.pb", value) for i, value in enumerate(case.outputs())],
    )


def load(path, value):
    """An array; a message that is no tensor stays as it is."""
    if value.type.WhichOneof("value") != "tensor_type":
        return path.read_bytes()
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def light_case(kind, name, url, tolerances):
    """A whole network. Its weights are made in the graph, its input by the runner of the package."""
    path = DATA.parents[3] / url
    case = Case(kind, name, onnx.load(path), [], *tolerances)
    inputs = [ramp(value) for value in case.inputs()]
    stem = path.with_suffix("")
    outputs = [
        load(stem.with_name(f"{stem.name}_output_{i}.pb"), value)
        for i, value in enumerate(case.outputs())
    ]
    case.data = [(inputs, outputs)]
    return case


def ramp(value):
    """Numbers from 0 up to 1, as the package's runner gives them to these networks."""
    shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)
