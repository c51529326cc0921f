"""Make the models of the table tests, their configurations, and what must be answered.

    python3 -m venv /tmp/venv-tables && /tmp/venv-tables/bin/pip install --no-deps -r tests/tables/requirements.txt
    /tmp/venv-tables/bin/python tests/tables/make.py

Linear models are trained by scikit-learn on data sets that it brings (BSD 3-clause: diabetes of Efron et al.
2004, iris of Fisher 1936, linnerud), with its own imputers, encoders and scalers before them. Their ONNX graphs
hold nothing but the linear part; the rest stands in the *.toml beside them. What must be answered is what
scikit-learn predicts from the raw records, so it is right only if [input] and [output] do the same.

Models of series have random weights with a fixed seed. Their series are prepared here in NumPy, and what
must be answered is what ONNX Runtime makes of them.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris, load_linnerud
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent
SEED = 11
FLOAT = TensorProto.FLOAT


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def saved(name, nodes, inputs, outputs, weights, config):
    """Writes a model and its configuration; a session of it."""
    constants = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, HERE / f"{name}.onnx")
    (HERE / f"{name}.toml").write_text(f"# Written by make.py.\n\n{config}")
    return session(model)


def value(name, shape, datatype=FLOAT):
    return helper.make_tensor_value_info(name, datatype, shape)


def toml(value):
    """A value as TOML writes it; JSON does the same for all but tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def fields(key, items):
    return f"{key} = [\n" + "".join(f"    {toml(item)},\n" for item in items) + "]\n"


def linear(inputs, output, classes=False):
    """The nodes behind `inputs`: y = x W + b, and the softmax of it for classes."""
    nodes = []
    if len(inputs) > 1:
        nodes.append(helper.make_node("Concat", inputs, ["columns"], axis=1))
    columns = "columns" if nodes else inputs[0]
    nodes.append(helper.make_node("MatMul", [columns, "W"], ["products"]))
    nodes.append(helper.make_node("Add", ["products", "b"], ["logits" if classes else output]))
    if classes:
        nodes.append(helper.make_node("Softmax", ["logits"], [output], axis=1))
    return nodes


def single(numbers):
    return np.ascontiguousarray(numbers, np.float32)


def diabetes():
    """Numbers with gaps, a category, and a scaled target."""
    data = load_diabetes(scaled=False)
    names = data.feature_names
    table = data.data.astype(object)
    sex = names.index("sex")
    table[:, sex] = table[:, sex].astype(int).astype(str)
    random = np.random.default_rng(SEED)
    gaps = random.random(table.shape) < 0.05
    table[gaps] = np.nan
    numbers = [column for column in range(len(names)) if column != sex]
    pipeline = TransformedTargetRegressor(
        make_pipeline(
            ColumnTransformer(
                [
                    ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
                    (
                        "sex",
                        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
                        [sex],
                    ),
                ]
            ),
            LinearRegression(),
        ),
        transformer=StandardScaler(),
    ).fit(table, data.target)
    columns, model = pipeline.regressor_.named_steps.values()
    medians, scaler = columns.named_transformers_["numbers"].named_steps.values()
    common, encoder = columns.named_transformers_["sex"].named_steps.values()
    target = pipeline.transformer_
    written = [
        {
            "name": names[column],
            "missing": float(medians.statistics_[place]),
            "mean": float(scaler.mean_[place]),
            "scale": float(scaler.scale_[place]),
        }
        for place, column in enumerate(numbers)
    ]
    categories = [str(name) for name in encoder.categories_[0]]
    written.append({"name": "sex", "one_hot": categories, "missing": str(common.statistics_[0]), "unknown": 0})
    config = (
        'name = "diabetes"\n'
        'description = "How far diabetes has progressed after a year, by the measurements at its beginning"\n\n'
        f'[input]\nkind = "record"\n{fields("fields", written)}\n'
        f'[output]\nkind = "regression"\ntensor = "progression"\n'
        f"mean = {float(target.mean_[0])}\nscale = {float(target.scale_[0])}\n"
    )
    width = len(numbers) + len(categories)
    run = saved(
        "diabetes",
        linear(["features"], "progression"),
        [value("features", ["N", width])],
        [value("progression", ["N", 1])],
        {"W": single(model.coef_.reshape(-1, 1)), "b": single(np.ravel(model.intercept_))},
        config,
    )
    rows = list(range(0, len(table), 6))
    sample = table[rows].copy()
    sample[-1, sex] = "3"  # a category that is not known
    values = pipeline.predict(sample)
    features = single(columns.transform(sample))
    have = run.run(None, {"features": features})[0].ravel() * target.scale_[0] + target.mean_[0]
    np.testing.assert_allclose(have, values, rtol=1e-4)
    return {"records": [record(names, row) for row in sample], "values": values.tolist()}


def record(names, row):
    """A row as a client sends it: without some of what is missing, with null for the rest."""
    items = {}
    for place, (name, item) in enumerate(zip(names, row)):
        is_missing = isinstance(item, float) and np.isnan(item)
        if not is_missing:
            items[name] = item
        elif place % 2:
            items[name] = None
    return items


def iris():
    """An input a column, as skl2onnx makes them for pipelines with a ColumnTransformer."""
    data = load_iris()
    model = LogisticRegression(max_iter=500).fit(data.data, data.target)
    names = list(data.feature_names)
    labels = [str(name) for name in data.target_names]
    config = (
        'name = "iris"\ndescription = "The species of an iris by the size of its leaves"\n\n'
        f'[input]\nkind = "record"\n{fields("fields", names)}\n'
        f'[output]\nkind = "classification"\ntensor = "probabilities"\nlabels = {toml(labels)}\n'
    )
    nodes = linear(names, "probabilities", classes=True)
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    run = saved(
        "iris",
        nodes,
        [value(name, ["N", 1]) for name in names],
        [value("label", ["N"], TensorProto.INT64), value("probabilities", ["N", 3])],
        {"W": single(model.coef_.T), "b": single(model.intercept_)},
        config,
    )
    sample = data.data[::5]
    scores = model.predict_proba(sample)
    columns = {name: single(sample[:, [place]]) for place, name in enumerate(names)}
    np.testing.assert_allclose(run.run(["probabilities"], columns)[0], scores, rtol=1e-4, atol=1e-6)
    return {
        "names": names,
        "labels": labels,
        "records": [dict(zip(names, map(float, row))) for row in sample],
        "scores": np.round(scores, 7).tolist(),
    }


def linnerud():
    """Three numbers from three, each scaled back by itself."""
    data = load_linnerud()
    target = StandardScaler().fit(data.target)
    model = LinearRegression().fit(data.data, target.transform(data.target))
    names = [name.lower() for name in data.target_names]
    config = (
        'name = "linnerud"\ndescription = "Weight, waist and pulse by the exercises that somebody can do"\n\n'
        f'[input]\nkind = "record"\nfields = {toml([name.lower() for name in data.feature_names])}\n\n'
        f'[output]\nkind = "regression"\ntensor = "body"\nnames = {toml(names)}\n'
        f"mean = {toml(target.mean_.tolist())}\nscale = {toml(target.scale_.tolist())}\n"
    )
    saved(
        "linnerud",
        linear(["exercises"], "body"),
        [value("exercises", ["N", 3], TensorProto.DOUBLE)],
        [value("body", ["N", 3], TensorProto.DOUBLE)],
        {"W": np.ascontiguousarray(model.coef_.T), "b": model.intercept_},
        config,
    )
    values = target.inverse_transform(model.predict(data.data))
    return {
        "records": [dict(zip([name.lower() for name in data.feature_names], row)) for row in data.data.tolist()],
        "answers": [dict(zip(names, row)) for row in values.tolist()],
    }


def types():
    """Every type that a field can become, passed through."""
    kinds = {
        "single": FLOAT,
        "double": TensorProto.DOUBLE,
        "long": TensorProto.INT64,
        "int": TensorProto.INT32,
        "truth": TensorProto.BOOL,
        "text": TensorProto.STRING,
    }
    config = f'name = "types"\n\n[input]\nkind = "record"\nfields = {toml(list(kinds))}\n'
    saved(
        "types",
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        [value(name, ["N", 1], kind) for name, kind in kinds.items()],
        [value(f"{name}_out", ["N", 1], kind) for name, kind in kinds.items()],
        {},
        config,
    )


def series(random, steps, channels, gap):
    """A walk with gaps, the first step whole."""
    walk = np.cumsum(random.standard_normal((steps, channels)), 0) * 3 + [20, 1013][:channels]
    walk[random.random(walk.shape) < gap] = np.nan
    walk[0] = np.nan_to_num(walk[0], nan=20.0)
    return walk


def carried(walk):
    """Each gap filled with the value before it."""
    for step in range(1, len(walk)):
        gaps = np.isnan(walk[step])
        walk[step, gaps] = walk[step - 1, gaps]
    return walk


def listed(walk):
    return [[None if np.isnan(number) else number for number in step] for step in np.round(walk, 3).tolist()]


CHANNELS = [
    {"name": "temperature", "mean": 20.0, "scale": 5.0, "missing": "last"},
    {"name": "pressure", "mean": 1013.0, "scale": 8.0, "missing": 1013.0},
]


def prepared(walk):
    """As CHANNELS say."""
    filled = np.column_stack([carried(walk[:, :1].copy()), np.nan_to_num(walk[:, 1:], nan=1013.0)])
    return single((filled - [20.0, 1013.0]) / [5.0, 8.0])


def forecast():
    """An LSTM over a series of any length."""
    random = np.random.default_rng(SEED)
    hidden = 8
    weights = {
        "W": single(random.standard_normal((1, 4 * hidden, 2)) * 0.5),
        "R": single(random.standard_normal((1, 4 * hidden, hidden)) * 0.3),
        "B": single(random.standard_normal((1, 8 * hidden)) * 0.1),
        "V": single(random.standard_normal((hidden, 1))),
        "axis": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Transpose", ["series"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "W", "R", "B"], ["", "last"], hidden_size=hidden),
        helper.make_node("Squeeze", ["last", "axis"], ["state"]),
        helper.make_node("MatMul", ["state", "V"], ["next"]),
    ]
    config = (
        'name = "forecast"\ndescription = "The next temperature after a series of weather (random weights)"\n\n'
        f'[input]\nkind = "series"\n{fields("channels", CHANNELS)}\n'
        '[output]\nkind = "regression"\ntensor = "next"\nnames = ["temperature"]\nmean = 20.0\nscale = 5.0\n'
    )
    run = saved("forecast", nodes, [value("series", [1, "T", 2])], [value("next", [1, 1])], weights, config)
    cases = []
    for steps in [1, 2, 3, 7, 24, 100]:
        walk = np.round(series(random, steps, 2, 0.1), 3)
        number = float(run.run(None, {"series": prepared(walk)[None]})[0].item()) * 5 + 20
        cases.append({"series": listed(walk), "temperature": number})
    return cases


def gesture():
    """A convolution over a series of fixed length, channels first."""
    random = np.random.default_rng(SEED + 1)
    weights = {
        "W": single(random.standard_normal((6, 2, 3))),
        "b": single(random.standard_normal(6)),
        "V": single(random.standard_normal((6, 3))),
    }
    nodes = [
        helper.make_node("Conv", ["series", "W", "b"], ["features"], kernel_shape=[3], pads=[1, 1]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("ReduceMean", ["positive"], ["means"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["means", "V"], ["scores"]),
    ]
    labels = ["left", "right", "still"]
    config = (
        'name = "gesture"\ndescription = "Which gesture a series of two sensors is (random weights)"\n\n'
        f'[input]\nkind = "series"\nchannels = ["x", "y"]\nlayout = "channels_steps"\npad = 0.0\nkeep = "end"\n\n'
        f'[output]\nkind = "classification"\ntensor = "scores"\nactivation = "softmax"\nlabels = {toml(labels)}\n'
    )
    run = saved("gesture", nodes, [value("series", [1, 2, 24])], [value("scores", [1, 3])], weights, config)
    cases = []
    for steps in [1, 5, 23, 24, 25, 60]:
        walk = np.round(random.standard_normal((steps, 2)), 3)
        fitted = np.vstack([np.zeros((max(24 - steps, 0), 2)), walk])[-24:]
        logits = run.run(None, {"series": single(fitted.T[None])})[0][0].astype(np.float64)
        scores = np.exp(logits - logits.max())
        cases.append({"series": walk.tolist(), "scores": (scores / scores.sum()).tolist()})
    return {"labels": labels, "cases": cases}


def main():
    types()
    expected = {
        "diabetes": diabetes(),
        "iris": iris(),
        "linnerud": linnerud(),
        "forecast": forecast(),
        "gesture": gesture(),
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
