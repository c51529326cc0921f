"""The models: which there are, how they are made, and what they are asked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import QuantFormat
from safetensors.numpy import save_file

import artifact
import light
import paths
import quantized
import sequence
import transformer
import vision
from graph import SEED

SCRIPTS = [file.read_bytes() for file in sorted(paths.MAKERS)]


@dataclass
class Model:
    """A model of the benchmark. `group` says which average it counts in."""

    name: str
    group: str
    make: Callable[[], onnx.ModelProto]
    quantized: bool = False  # rounding makes outputs differ between engines

    def file(self) -> Path:
        """The ONNX file; scripts and seeds decide what is in it."""
        file = artifact.path(paths.MODELS, self.name, ".onnx", *SCRIPTS)
        if not file.exists():
            onnx.save(self.make(), file.with_suffix(".new"))
            file.with_suffix(".new").rename(file)
        return file

    def inputs(self) -> Path:
        """Its inputs, in the format safetensors."""
        file = self.file().with_suffix(".inputs")
        if not file.exists():
            graph = onnx.load(self.file()).graph
            save_file(random_inputs(graph), file)
        return file


def random_inputs(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Dimensions without a size are 1. In old files weights are listed as inputs too."""
    random = np.random.default_rng(SEED)
    weights = {tensor.name for tensor in graph.initializer}
    fed = [value for value in graph.input if value.name not in weights]
    return {value.name: random_input(random, value) for value in fed}


def random_input(random: np.random.Generator, value: onnx.ValueInfoProto) -> np.ndarray:
    tensor = value.type.tensor_type
    shape = [size.dim_value if size.dim_value > 0 else 1 for size in tensor.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if value.name == "input_ids":
        return random.integers(0, transformer.VOCABULARY, shape, dtype)
    if value.name == "attention_mask":
        return np.asarray(np.arange(shape[-1]) < 100, dtype).reshape(shape)
    if dtype.kind == "f":
        return np.asarray(random.standard_normal(shape), dtype)
    return random.integers(0, 2, shape, dtype)


def classifier(name: str, file: str | None = None) -> Model:
    return Model(name, "zoo", lambda: light.load(file or name))


def bundled(name: str) -> Model:
    path = paths.REPOSITORY / "models" / name / f"{name}.onnx"
    return Model(name, "other", lambda: onnx.load(path))


def bert_mini_int8() -> onnx.ModelProto:
    return quantized.dynamic(transformer.bert_mini())


def cnn_int8(form: QuantFormat) -> onnx.ModelProto:
    return quantized.static(vision.small_cnn(), form)


ALL = [
    classifier("squeezenet"),
    classifier("shufflenet"),
    classifier("inception_v1"),
    classifier("inception_v2"),
    classifier("alexnet", "bvlc_alexnet"),
    classifier("resnet50"),
    classifier("densenet121"),
    classifier("zfnet512"),
    classifier("vgg19"),
    Model("bert-tiny", "zoo", transformer.bert_tiny),
    Model("bert-mini", "zoo", transformer.bert_mini),
    Model("minilm", "zoo", transformer.minilm),
    Model("mobilenet-v2", "other", vision.mobilenet_v2),
    Model("efficientnet", "other", vision.efficientnet),
    Model("resnet18", "other", vision.resnet18),
    Model("vit-tiny", "other", transformer.vit_tiny),
    Model("unet", "other", vision.unet),
    Model("yolo", "other", vision.yolo),
    Model("lstm", "other", sequence.lstm),
    Model("gru", "other", sequence.gru),
    Model("tcn", "other", sequence.tcn),
    Model("mlp", "other", sequence.mlp),
    Model("bert-mini-int8", "other", bert_mini_int8, quantized=True),
    Model("cnn-int8-qdq", "other", lambda: cnn_int8(QuantFormat.QDQ), quantized=True),
    Model("cnn-int8-qop", "other", lambda: cnn_int8(QuantFormat.QOperator), quantized=True),
    bundled("digits"),
    bundled("wine"),
]
