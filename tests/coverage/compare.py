"""What is wrong with an answer."""

import numpy as np

# What rounding may cost, as a part of the largest number: where a sum cancels out, what is left is as
# wrong as its terms were. For 16 bits, also of each number: two steps of the datatype, as the package's
# own runner has it for bfloat16.
ROUNDING = {"float64": 1e-5, "float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}
STEPS = {"float16": 2**-9, "bfloat16": 2**-6}


def difference(expected, found, rtol, atol):
    """Nothing if the arrays agree, else what does not."""
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
        name = expected.dtype.name
        expected, found = expected.astype(np.float64), found.astype(np.float64)
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        rtol, atol = max(rtol, STEPS.get(name, 0)), max(atol, ROUNDING[name] * largest)
        close = np.isclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)
    return None if close.all() else f"{np.count_nonzero(~close)} of {close.size} numbers differ"
