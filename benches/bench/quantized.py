"""Models in 8-bit integers, as ONNX Runtime's own tools make them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from graph import SEED


class RandomPictures(CalibrationDataReader):
    """What the ranges of activations are taken from."""

    def __init__(self, shape: list[int], count: int = 8):
        random = np.random.default_rng(SEED)
        pictures = (random.standard_normal(shape, np.float32) for _ in range(count))
        self.feeds = iter([{"pixels": picture} for picture in pictures])

    def get_next(self):
        return next(self.feeds, None)


def dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights are integers, activations become some while it runs."""
    return through_files(model, lambda source, target: quantize_dynamic(source, target))


def static(model: onnx.ModelProto, form: QuantFormat) -> onnx.ModelProto:
    """As QOperator only convolutions: the rest would become operators of ONNX Runtime alone."""
    kinds = ["Conv"] if form == QuantFormat.QOperator else None

    def quantize(source: Path, target: Path) -> None:
        quantize_static(
            source,
            target,
            RandomPictures([1, 3, 64, 64]),
            quant_format=form,
            op_types_to_quantize=kinds,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )

    return through_files(model, quantize)


def through_files(model: onnx.ModelProto, quantize: Callable[[Path, Path], None]):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "integer.onnx"
        onnx.save(model, source)
        quantize(source, target)
        return onnx.load(target)
