"""How far outputs are from those of native ONNX Runtime."""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-3
TOP = 5


@dataclass
class Comparison:
    """The largest difference of two elements, by the largest magnitude of the reference's tensor;
    the worst of all outputs. Whether the five best classes are the same, where there are classes.
    """

    error: float
    top5: bool | None

    def is_close(self) -> bool:
        return self.error <= TOLERANCE


def compare(reference: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> Comparison:
    pairs = [(expected, found.get(name)) for name, expected in reference.items()]
    tops = [top for pair in pairs if (top := same_top(*pair)) is not None]
    return Comparison(max(error(*pair) for pair in pairs), all(tops) if tops else None)


def error(expected: np.ndarray, found: np.ndarray | None) -> float:
    """Infinite if the tensor is missing, or of another type or shape."""
    if found is None or (expected.dtype, expected.shape) != (found.dtype, found.shape):
        return float("inf")
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    difference = np.abs(expected - found).max(initial=0)
    largest = np.abs(expected).max(initial=0)
    relative = float(difference / largest if largest else difference)
    return float("inf") if np.isnan(relative) else relative


def same_top(expected: np.ndarray, found: np.ndarray | None) -> bool | None:
    """Classes whose scores differ by less than the tolerance may change places."""
    if found is None or expected.size <= TOP or max(expected.shape) != expected.size:
        return None
    expected, found = expected.ravel(), found.ravel()
    best, best_found = (np.argsort(-scores, kind="stable")[:TOP] for scores in (expected, found))
    apart = np.abs(expected[best] - expected[best_found]).max()
    return bool(apart <= TOLERANCE * np.abs(expected).max())
