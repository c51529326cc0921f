"""Make the models of the tests of ai.onnx.ml, and what ONNX Runtime answers.

    python3 -m venv /tmp/venv-trees && /tmp/venv-trees/bin/pip install --no-deps -r tests/trees/requirements.txt
    /tmp/venv-trees/bin/python tests/trees/make.py

Small models by scikit-learn, LightGBM and XGBoost, converted by skl2onnx and onnxmltools; and some by hand,
which have what none of these writes. The data are iris, linnerud, breast cancer and diabetes as
scikit-learn ships them (BSD-3-Clause; iris and breast cancer are from the UCI repository, CC BY 4.0).
expected.json has a few rows for each model, which it was not trained on, and the answers.
"""

import json
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
import pandas
import xgboost
from onnx import TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR

HERE = Path(__file__).resolve().parent
SEED = 7
ROWS = 10  # answers of each model
OPSETS = {"": 17, "ai.onnx.ml": 3}
ML = "ai.onnx.ml"
DATATYPES = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "object": "BYTES",
}

random = np.random.default_rng(SEED)


def split(data, target):
    """Rows to train on, in any order, and rows to ask for."""
    order = random.permutation(len(data))
    train, asked = order[ROWS:], order[:ROWS]
    return data[train], target[train], data[asked]


def iris():
    """With the names of the species."""
    loaded = load_iris()
    names = np.array([str(name) for name in loaded.target_names], dtype=object)
    return split(loaded.data.astype(np.float32), names[loaded.target])


def cancer():
    """The first eight columns; 0 or 1."""
    loaded = load_breast_cancer()
    return split(loaded.data[:, :8].astype(np.float32), loaded.target)


def diabetes():
    loaded = load_diabetes()
    return split(loaded.data.astype(np.float32), loaded.target.astype(np.float32))


def linnerud():
    """Three numbers to three."""
    loaded = load_linnerud()
    return split(loaded.data.astype(np.float32), loaded.target.astype(np.float32))


def with_gaps(data):
    data = data.copy()
    data[random.random(data.shape) < 0.2] = np.nan
    return data


def converted(model, width, zipmap=True):
    options = {} if zipmap else {id(model): {"zipmap": False}}
    types = [("features", FloatTensorType([None, width]))]
    return to_onnx(model, initial_types=types, options=options, target_opset=OPSETS)


def forest():
    x, y, asked = iris()
    model = RandomForestClassifier(8, max_depth=4, random_state=SEED).fit(x, y)
    return converted(model, 4), {"features": asked}


def forest_of_two():
    x, y, asked = cancer()
    model = RandomForestClassifier(6, max_depth=3, random_state=SEED).fit(x, y)
    return converted(model, 8, zipmap=False), {"features": asked}


def boosted():
    x, y, asked = cancer()
    model = GradientBoostingClassifier(n_estimators=12, max_depth=2, random_state=SEED)
    return converted(model.fit(x, y), 8, zipmap=False), {"features": asked}


def missing():
    x, y, asked = iris()
    model = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, random_state=SEED)
    return converted(model.fit(with_gaps(x), y), 4), {"features": with_gaps(asked)}


def many_outputs():
    x, y, asked = linnerud()
    model = RandomForestRegressor(8, max_depth=3, random_state=SEED).fit(x, y)
    return converted(model, 3), {"features": asked}


def logistic():
    x, y, asked = iris()
    return converted(LogisticRegression(max_iter=1000).fit(x, y), 4), {"features": asked}


def logistic_of_two():
    x, y, asked = cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    return converted(model, 8), {"features": asked}


def linear():
    x, y, asked = linnerud()
    model = make_pipeline(Normalizer("l2"), LinearRegression()).fit(x, y)
    return converted(model, 3), {"features": asked}


def svc():
    x, y, asked = iris()
    model = SVC(kernel="rbf", probability=True, random_state=SEED).fit(x[:60], y[:60])
    return converted(model, 4), {"features": asked}


def svc_of_two():
    x, y, asked = cancer()
    scaler = StandardScaler()
    model = make_pipeline(scaler, SVC(kernel="poly", degree=3, coef0=1.0)).fit(x[:80], y[:80])
    return converted(model, 8, zipmap=False), {"features": asked}


def svr():
    x, y, asked = diabetes()
    return converted(SVR(C=50.0).fit(x[:60], y[:60]), 10), {"features": asked}


def species():
    """A text for each row and no scores."""
    x, y, asked = iris()
    model = converted(LogisticRegression(max_iter=1000).fit(x, y), 4, zipmap=False)
    return select_model_inputs_outputs(model, "label"), {"features": asked}


def tumours():
    """A whole number for each row and no scores."""
    x, y, asked = cancer()
    model = RandomForestClassifier(6, max_depth=3, random_state=SEED).fit(x, y)
    model = converted(model, 8, zipmap=False)
    return select_model_inputs_outputs(model, "label"), {"features": asked}


def columns():
    """A column of texts among numbers, some of which are missing, each an input of its own."""
    x, y, asked = iris()
    names = ["sepal_length", "sepal_width", "petal_length"]

    def frame(data):
        frame = pandas.DataFrame(with_gaps(data[:, :3]), columns=names)
        widths = np.array(["narrow", "middle", "wide"], dtype=object)
        frame["petal_width"] = widths[np.digitize(data[:, 3], [0.8, 1.7])]
        return frame

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer([("n", numbers, names), ("t", texts, ["petal_width"])])
    model = make_pipeline(prepare, LogisticRegression(max_iter=1000)).fit(frame(x), y)
    types = [(name, FloatTensorType([None, 1])) for name in names]
    types.append(("petal_width", StringTensorType([None, 1])))
    asked = frame(asked)
    asked.loc[0, "petal_width"] = "unheard of"
    inputs = {name: asked[[name]].to_numpy(np.float32) for name in names}
    inputs["petal_width"] = asked[["petal_width"]].to_numpy(object)
    return to_onnx(model, initial_types=types, target_opset=OPSETS), inputs


def light():
    """With a column of categories, which LightGBM asks for one by one."""
    x, y, asked = cancer()

    def with_categories(data):
        data = data.copy()
        data[:, 0] = np.floor(data[:, 0]) % 7
        return data

    x = with_categories(x)
    y = np.isin(x[:, 0], [1, 4, 6]) & (y == 1)
    model = lightgbm.LGBMClassifier(n_estimators=6, num_leaves=6, verbose=-1, random_state=SEED)
    model.fit(x, y.astype(int), categorical_feature=[0])
    types = [("features", ToolsFloat([None, 8]))]
    graph = onnxmltools.convert_lightgbm(model, initial_types=types, target_opset=15)
    return graph, {"features": with_gaps(with_categories(asked))}


def extreme():
    x, y, asked = iris()
    classes = np.unique(y, return_inverse=True)[1]
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=3, random_state=SEED).fit(x, classes)
    types = [("features", ToolsFloat([None, 4]))]
    graph = onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15)
    return graph, {"features": with_gaps(asked)}


def extreme_regression():
    x, y, asked = diabetes()
    model = xgboost.XGBRegressor(n_estimators=4, max_depth=3, random_state=SEED).fit(x, y)
    types = [("features", ToolsFloat([None, 10]))]
    graph = onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15)
    return graph, {"features": with_gaps(asked)}


# By hand.

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def grown(prefix, targets, trees=5, depth=3):
    """Trees of all modes, on three features that are small whole numbers or missing."""
    lists = {name: [] for name in ["treeids", "nodeids", "featureids", "modes", "values",
                                   "truenodeids", "falsenodeids", "missing_value_tracks_true"]}
    leaves = {name: [] for name in ["treeids", "nodeids", "ids", "weights"]}
    for tree in range(trees):
        for node in range(2 ** (depth + 1) - 1):
            is_leaf = node >= 2**depth - 1
            lists["treeids"].append(tree)
            lists["nodeids"].append(node)
            lists["featureids"].append(0 if is_leaf else int(random.integers(3)))
            lists["modes"].append("LEAF" if is_leaf else MODES[random.integers(6)])
            lists["values"].append(0.0 if is_leaf else float(random.integers(-2, 3)))
            lists["truenodeids"].append(0 if is_leaf else 2 * node + 1)
            lists["falsenodeids"].append(0 if is_leaf else 2 * node + 2)
            lists["missing_value_tracks_true"].append(int(random.integers(2)))
            for target in random.permutation(targets)[: 1 + targets // 2] if is_leaf else []:
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(node)
                leaves["ids"].append(int(target))
                leaves["weights"].append(float(np.float32(random.normal())))
    attributes = {f"nodes_{name}": values for name, values in lists.items()}
    return attributes | {f"{prefix}_{name}": values for name, values in leaves.items()}


def asked_of_modes():
    asked = random.integers(-3, 4, (24, 3)).astype(np.float32)
    return {"x": with_gaps(asked)}


def by_hand(operator, attributes, outputs, inputs, version=3):
    """A model of one node; its inputs are as these are."""
    types = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE,
             "int64": TensorProto.INT64, "object": TensorProto.STRING}
    node = helper.make_node(operator, list(inputs), [name for name, *_ in outputs], domain=ML,
                            name="node", **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info(name, types[str(value.dtype)], ["N", *value.shape[1:]])
         for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, of, ["N", *rest]) for name, of, *rest in outputs],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, version)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8), inputs


def modes(aggregate, transform, targets):
    attributes = grown("target", targets) | {
        "n_targets": targets,
        "aggregate_function": aggregate,
        "post_transform": transform,
        "base_values": [float(base) for base in range(1, targets + 1)],
    }
    outputs = [("y", TensorProto.FLOAT, targets)]
    return by_hand("TreeEnsembleRegressor", attributes, outputs, asked_of_modes())


def classes(transform, count, base):
    attributes = grown("class", count) | {
        "classlabels_strings": [f"class {i}" for i in range(count)],
        "post_transform": transform,
        "base_values": base,
    }
    outputs = [("label", TensorProto.STRING), ("scores", TensorProto.FLOAT, count)]
    return by_hand("TreeEnsembleClassifier", attributes, outputs, asked_of_modes())


def doubles():
    """Thresholds and weights that FP32 cannot have."""
    attributes = grown("target", 1) | {"n_targets": 1}
    for name in ["nodes_values", "target_weights"]:
        exact = np.array(attributes.pop(name)) + 1e-9
        attributes[f"{name}_as_tensor"] = onnx.numpy_helper.from_array(exact, name)
    asked = asked_of_modes()["x"].astype(np.float64) + random.integers(0, 2, (24, 1)) * 1e-9
    outputs = [("y", TensorProto.FLOAT, 1)]
    return by_hand("TreeEnsembleRegressor", attributes, outputs, {"x": asked})


def sets():
    """TreeEnsemble of version 5, with a set of numbers."""
    attributes = {
        "n_targets": 2,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": [0, 2],
        "nodes_featureids": [0, 1, 2],
        "nodes_modes": helper.make_tensor("modes", TensorProto.UINT8, [3], [6, 0, 4]),
        "nodes_splits": helper.make_tensor("splits", TensorProto.FLOAT, [3], [0.0, 1.0, -1.0]),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 4],
        "nodes_falseleafs": [1, 1, 1],
        "nodes_missing_value_tracks_true": [1, 0, 0],
        "leaf_targetids": [0, 1, 0, 1, 0],
        "leaf_weights": helper.make_tensor("w", TensorProto.FLOAT, [5], [1.5, -2, 3, 4.25, 5]),
        "membership_values": helper.make_tensor("m", TensorProto.FLOAT, [4], [-2, 3, 1, 0]),
    }
    outputs = [("y", TensorProto.FLOAT, 2)]
    return by_hand("TreeEnsemble", attributes, outputs, asked_of_modes(), version=5)


def labels_of(keys, values, asked, **default):
    kind = TensorProto.STRING if "strings" in next(iter(values)) else TensorProto.INT64
    outputs = [("y", kind)]
    return by_hand("LabelEncoder", keys | values | default, outputs, {"x": asked}, version=4)


def labels_to_numbers():
    asked = np.array(["a", "ä", "", "b", "unknown"], dtype=object)
    return labels_of({"keys_strings": ["b", "a", "ä"]}, {"values_int64s": [7, 8, 9]}, asked)


def floats_to_labels():
    asked = np.array([np.nan, 0.0, -0.0, 1.5, 2.0], dtype=np.float32)
    keys, values = {"keys_floats": [float("nan"), 0.0, 1.5]}, {"values_strings": ["none", "0", "x"]}
    return labels_of(keys, values, asked, default_string="other")


def feature_vectors():
    """Of the first input all columns, of the second one less than it has, of the third one more."""
    inputs = {name: random.normal(size=(6, 2)).astype(np.float32) for name in "abc"}
    attributes = {"inputdimensions": [2, 1, 3]}
    outputs = [("y", TensorProto.FLOAT, 6)]
    return by_hand("FeatureVectorizer", attributes, outputs, inputs, version=1)


CATEGORIES = ["cat", "", "dög"]
ASKED_TEXTS = np.array(["dög", "cat", "", "Cat", "cow"], dtype=object)
ASKED_NUMBERS = np.array([7, -3, 0, 2, 1, 9], dtype=np.int64)


def mapped(operator, attributes, to, asked):
    """Between texts and numbers, in the direction that the input asks for."""
    return by_hand(operator, attributes, [("y", to)], {"x": asked}, version=1)


def categories_to_numbers():
    attributes = {"cats_strings": CATEGORIES, "cats_int64s": [7, -3, 0], "default_int64": 4}
    return mapped("CategoryMapper", attributes, TensorProto.INT64, ASKED_TEXTS)


def numbers_to_categories():
    attributes = {"cats_strings": CATEGORIES, "cats_int64s": [7, -3, 0]}
    return mapped("CategoryMapper", attributes, TensorProto.STRING, ASKED_NUMBERS)


def first_labels_to_numbers():
    """LabelEncoder of version 1."""
    attributes = {"classes_strings": CATEGORIES}
    return mapped("LabelEncoder", attributes, TensorProto.INT64, ASKED_TEXTS)


def numbers_to_first_labels():
    """LabelEncoder of version 1."""
    attributes = {"classes_strings": CATEGORIES, "default_string": "other"}
    return mapped("LabelEncoder", attributes, TensorProto.STRING, ASKED_NUMBERS)


MODELS = {
    "forest": forest,
    "forest-of-two": forest_of_two,
    "boosted": boosted,
    "missing": missing,
    "many-outputs": many_outputs,
    "logistic": logistic,
    "logistic-of-two": logistic_of_two,
    "linear": linear,
    "svc": svc,
    "svc-of-two": svc_of_two,
    "svr": svr,
    "columns": columns,
    "light": light,
    "extreme": extreme,
    "extreme-regression": extreme_regression,
    "sums": lambda: modes("SUM", "NONE", 1),
    "averages": lambda: modes("AVERAGE", "SOFTMAX", 3),
    "least": lambda: modes("MIN", "NONE", 2),
    "most": lambda: modes("MAX", "LOGISTIC", 3),
    "classes": lambda: classes("SOFTMAX_ZERO", 3, [0.5, 0.0, -0.5]),
    "classes-of-two": lambda: classes("LOGISTIC", 2, [0.25]),
    "doubles": doubles,
    "sets": sets,
    "labels-to-numbers": labels_to_numbers,
    "floats-to-labels": floats_to_labels,
    "species": species,
    "tumours": tumours,
    "feature-vectors": feature_vectors,
    "categories-to-numbers": categories_to_numbers,
    "numbers-to-categories": numbers_to_categories,
    "first-labels-to-numbers": first_labels_to_numbers,
    "numbers-to-first-labels": numbers_to_first_labels,
}


def written(name, value):
    """A tensor as the tests read it."""
    array = np.asarray(value)
    if array.dtype.kind in "US":
        array = array.astype(object)
    flat = [None if isinstance(n, float) and np.isnan(n) else n for n in array.ravel().tolist()]
    datatype = DATATYPES[str(array.dtype)]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": flat}


def without_maps(name, value):
    """What ONNX Runtime gives as maps is a tensor, and the names of its columns."""
    if not isinstance(value, list):
        return written(name, value)
    classes = list(value[0])
    scores = np.array([[row[key] for key in classes] for row in value], dtype=np.float32)
    return written(name, scores) | {"classes": [str(key) for key in classes]}


def tidy(model):
    """Leaves out what is only information, and puts in order what converters list in none."""
    for node in model.graph.node:
        kept = [a for a in node.attribute if a.name != "nodes_hitrates"]
        del node.attribute[:]
        node.attribute.extend(kept)
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)


def main():
    warnings.simplefilter("ignore")
    expected = {}
    for name, make in MODELS.items():
        model, inputs = make()
        model.graph.name = name  # some converters make one up
        tidy(model)
        onnx.save(model, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(model.SerializeToString())
        answers = session.run(None, inputs)
        outputs = [output.name for output in session.get_outputs()]
        expected[name] = {
            "inputs": [written(*pair) for pair in inputs.items()],
            "outputs": [without_maps(*pair) for pair in zip(outputs, answers, strict=True)],
        }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
