"""The networks that the onnx package carries without their weights.

As they are, each weight is the same number, and so is each output. Random weights take their place,
as in the comparison of tests/zoo.
"""

import sys
from pathlib import Path

import onnx

import paths

sys.path.append(str(paths.REPOSITORY / "tests" / "zoo"))
from compare import with_random_weights  # noqa: E402

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def load(name: str) -> onnx.ModelProto:
    return with_random_weights(onnx.load(FOLDER / f"light_{name}.onnx"))
