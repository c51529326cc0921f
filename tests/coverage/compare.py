"""What is wrong with an answer."""

import numpy as np

# What bfloat16 can tell apart is coarser than the tolerance of the cases: two steps of it.
BFLOAT16_RTOL = 2**-6


def difference(expected, found, rtol, atol):
    """Nothing if the arrays agree, as the runner of the onnx package sees it, else what does not."""
    if found.dtype != expected.dtype:
        return f"is {found.dtype}, expected {expected.dtype}"
    if found.shape != expected.shape:
        return f"has shape {list(found.shape)}, expected {list(expected.shape)}"
    if expected.dtype == object:
        texts = [t.decode() if isinstance(t, bytes) else str(t) for t in expected.ravel()]
        return None if list(found.ravel()) == texts else "has other texts"
    if expected.dtype.kind in "biu":
        close = found == expected
    else:
        rtol = max(rtol, BFLOAT16_RTOL) if expected.dtype.name == "bfloat16" else rtol
        expected, found = expected.astype(np.float64), found.astype(np.float64)
        close = np.isclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)
    return None if close.all() else f"{np.count_nonzero(~close)} of {close.size} numbers differ"
