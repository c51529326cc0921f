"""A guest in Python: a softmax regression on a wine's analysis, without any package.

componentize-py calls `Model`; it is imported once, when the component is made, and what it has
computed by then is part of the component.
"""

import json
import math
from array import array

from componentize_py_types import Err
from wit_world.exports import model as wit

from weights import BIAS, FIELDS, LABELS, WEIGHTS


def probabilities(features):
    """The probability of each class."""
    sums = [b + sum(w * x for w, x in zip(row, features)) for row, b in zip(WEIGHTS, BIAS)]
    largest = max(sums)
    powers = [math.exp(s - largest) for s in sums]
    return [p / sum(powers) for p in powers]


def features_of(body):
    """The numbers of a record, a JSON object, in the order of the columns."""
    try:
        record = json.loads(body)
        return [float(record[field]) for field in FIELDS]
    except (ValueError, TypeError, KeyError) as error:
        raise Err(wit.Error_InvalidInput(f"not a record of a wine: {error!r}"))


class Model:
    def signature(self):
        return wit.ModelSignature(
            inputs=[wit.TensorSpec("features", wit.Datatype.FP32, [-1, len(FIELDS)])],
            outputs=[wit.TensorSpec("probabilities", wit.Datatype.FP32, [-1, len(LABELS)])],
            media=["application/json"],
            name="python-wine",
            version="1",
            properties=[],
        )

    def infer(self, inputs, outputs):
        # The host has checked the tensors against the signature.
        numbers, columns = array("f", inputs[0].data), len(FIELDS)
        rows = [numbers[at : at + columns] for at in range(0, len(numbers), columns)]
        answer = array("f", [p for row in rows for p in probabilities(row)])
        shape = [len(rows), len(LABELS)]
        return [wit.Tensor("probabilities", wit.Datatype.FP32, shape, answer.tobytes())]

    def predict(self, input):
        scores = probabilities(features_of(input.body))
        best = max(range(len(scores)), key=scores.__getitem__)
        answer = {"label": LABELS[best], "score": scores[best]}
        return wit.Media("application/json", json.dumps(answer).encode())
