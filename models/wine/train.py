"""Train the wine model and write every file that depends on it.

Run it in this folder, in a virtual environment that has requirements.txt:

    python train.py

It writes wine.onnx, labels.txt, examples/*.json and expected.json, fills the
measured part of README.md, and ends with an error if model.toml does not agree
with the data's fields or with the model's answers. The seed is fixed.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score, train_test_split

HERE = Path(__file__).resolve().parent
SEED = 20
MORE_CASES = 40  # held-out rows in expected.json, besides the examples
LABELS = ["cultivar 1", "cultivar 2", "cultivar 3"]


def load():
    """The records as FP32 [n,13], their classes, the field names, the split."""
    wine = load_wine()
    fields = [name.replace("/", "_") for name in wine.feature_names]
    train, held_out = train_test_split(
        np.arange(len(wine.data)), test_size=0.25, stratify=wine.target, random_state=SEED
    )
    return wine.data.astype(np.float32), wine.target, fields, train, held_out


def untrained():
    return GradientBoostingClassifier(
        n_estimators=60,
        max_depth=2,
        learning_rate=0.1,
        subsample=0.8,
        max_features=4,
        random_state=SEED,
    )


def export(trees, path):
    """Convert to one TreeEnsembleClassifier node that has both outputs."""
    model = to_onnx(
        trees,
        name="wine",
        initial_types=[("features", FloatTensorType([None, 13]))],
        options={id(trees): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 1},
    )
    graph = model.graph
    # skl2onnx ends the graph with an Identity that only renames an output.
    ensemble, rename = graph.node
    assert ensemble.op_type == "TreeEnsembleClassifier" and rename.op_type == "Identity"
    ensemble.name = "trees"
    ensemble.output[1] = rename.output[0]
    graph.node.remove(rename)
    # This attribute is for information only.
    kept = [a for a in ensemble.attribute if a.name != "nodes_hitrates"]
    del ensemble.attribute[:]
    ensemble.attribute.extend(kept)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    # skl2onnx lists these in no fixed order.
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    model.producer_name = "glovebox models/wine/train.py"
    model.producer_version = ""
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(model, tensor):
    """The probabilities, having seen that the label output agrees with them."""
    label, probabilities = model.run(["label", "probabilities"], {"features": tensor})
    assert (label == probabilities.argmax(1)).all()
    return probabilities


def case(model, tensor, file=None):
    """One entry of expected.json: what onnxruntime answers to one record."""
    scores = run(model, tensor)[0]
    entry = {"file": file} if file else {}
    entry["data"] = [float(v) for v in tensor.ravel()]
    entry["shape"] = list(tensor.shape)
    entry["scores"] = [float(v) for v in scores]
    entry["label"] = LABELS[scores.argmax()]
    return entry


def write_examples(records, classes, fields, rows, answers):
    """The first held-out record of each class that the model gets right."""
    for number in range(3):
        row = next(r for r, a in zip(rows, answers) if classes[r] == number == a)
        # The shortest decimal number that gives the same FP32 value.
        record = {field: float(str(value)) for field, value in zip(fields, records[row])}
        path = HERE / f"examples/cultivar-{number + 1}.json"
        path.write_text(json.dumps(record, indent=2) + "\n")
        yield row


def write_expected(cases):
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    source = f"onnxruntime {onnxruntime.__version__}"
    path = HERE / "expected.json"
    path.write_text(f'{{"source":"{source}","cases":[\n{lines}\n]}}\n')


def write_card(text):
    start, end = "<!-- measured: start -->\n", "<!-- measured: end -->\n"
    path = HERE / "README.md"
    card = path.read_text()
    before, rest = card.split(start)
    path.write_text(before + start + "\n" + text + "\n" + end + rest.split(end)[1])


def measured(classes, answers, trained_on, train_right, folds):
    table = np.zeros((3, 3), int)
    np.add.at(table, (classes, answers), 1)
    right = int(np.trace(table))
    lines = [
        f"Held-out accuracy: **{right / len(classes):.2%}** "
        f"({right} of {len(classes)} records). "
        f"On the {trained_on} records it was trained on: {train_right:.2%}.",
        "",
        "So few held-out records say little. A better guide: trained afresh with the same",
        "settings in 5-fold cross-validation over all records, ten times over, the mean",
        f"accuracy is **{folds.mean():.2%}** (worst fold {folds.min():.2%}).",
        "",
        "Rows are the true class, columns the model's answer, on the held-out records.",
        "",
        "| | " + " | ".join(LABELS) + " |",
        "|---" * 4 + "|",
    ]
    for label, row in zip(LABELS, table):
        lines.append(f"| **{label}** | " + " | ".join(str(n) if n else "·" for n in row) + " |")
    return "\n".join(lines) + "\n", right / len(classes)


def main():
    records, classes, fields, train, held_out = load()
    print(f"{len(train)} records to train on, {len(held_out)} held out")

    trees = untrained().fit(records[train], classes[train])
    path = HERE / "wine.onnx"
    export(trees, path)
    print(f"wrote wine.onnx: {trees.estimators_.size} trees, {path.stat().st_size} bytes")
    (HERE / "labels.txt").write_text("".join(label + "\n" for label in LABELS))

    model = session(path)
    gap = np.abs(run(model, records) - trees.predict_proba(records)).max()
    assert gap < 1e-5, f"the exported model differs from the trained one by {gap}"
    answers = run(model, records[held_out]).argmax(1)
    train_right = (run(model, records[train]).argmax(1) == classes[train]).mean()
    splits = RepeatedStratifiedKFold(n_splits=5, n_repeats=10, random_state=SEED)
    folds = cross_val_score(untrained(), records, classes, cv=splits)
    text, accuracy = measured(classes[held_out], answers, len(train), train_right, folds)
    write_card(text)
    print(f"held-out accuracy {accuracy:.4f}, cross-validated {folds.mean():.4f}")

    (HERE / "examples").mkdir(exist_ok=True)
    used = list(write_examples(records, classes, fields, held_out, answers))
    cases = []
    for number, row in enumerate(used):
        name = f"examples/cultivar-{number + 1}.json"
        record = json.loads((HERE / name).read_text())
        tensor = np.array([[record[field] for field in fields]], np.float32)
        assert (tensor[0] == records[row]).all(), name
        cases.append(case(model, tensor, name))
    others = [row for row in held_out if row not in used][:MORE_CASES]
    cases += [case(model, records[row : row + 1]) for row in others]
    write_expected(cases)
    print(f"wrote {len(used)} examples, and expected.json with {len(cases)} cases")

    config = tomllib.loads((HERE / "model.toml").read_text())
    assert config["input"]["fields"] == fields, f"the fields are {fields}"
    stated = {e["input"]: e["label"] for e in config["example"]}
    answered = {c["file"]: c["label"] for c in cases if "file" in c}
    assert stated == answered, f"model.toml says {stated}, the model says {answered}"
    print("every example in model.toml comes out as it says there")


if __name__ == "__main__":
    main()
