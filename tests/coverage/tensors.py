"""Arrays as binary tensors of Open Inference Protocol, and back."""

import json
import struct

import ml_dtypes
import numpy as np
from onnx import TensorProto, numpy_helper

DATATYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}


class NoForm(Exception):
    """A value that the protocol cannot carry."""


def as_array(value):
    """A case's value as an array of a datatype of the protocol."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        raise NoForm("a sequence, an optional or a map")
    array = np.asarray(value)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype not in NAMES:
        raise NoForm(f"datatype {array.dtype}")
    return array


def write_request(inputs):
    """The body that asks for all outputs as bytes, and the length of its JSON."""
    parts = [payload(array) for _, array in inputs]
    tensors = [
        {
            "name": name,
            "datatype": NAMES[array.dtype],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, array), part in zip(inputs, parts, strict=True)
    ]
    header = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return b"".join([header, *parts]), len(header)


def payload(array):
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<")).tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def read_answer(body, header_length):
    """The outputs by name."""
    header = json.loads(body[:header_length])
    arrays, at = {}, header_length
    for tensor in header["outputs"]:
        end = at + tensor["parameters"]["binary_data_size"]
        arrays[tensor["name"]] = read_tensor(tensor, body[at:end])
        at = end
    return arrays


def read_tensor(tensor, data):
    dtype = DATATYPES[tensor["datatype"]]
    if dtype != object:
        return np.frombuffer(data, dtype).reshape(tensor["shape"])
    texts = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return np.array(texts, object).reshape(tensor["shape"])
