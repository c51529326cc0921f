"""Train the digits model and write every file that depends on it.

Run it in this folder, in a virtual environment that has requirements.txt:

    python train.py

It writes digits.onnx, labels.txt, examples/*.png and expected.json, fills the
measured part of README.md, and ends with an error if an example in model.toml
does not come out as it says there. The seed is fixed.
"""

import json
import os
import tomllib
from pathlib import Path

# One core, so that sums are added up in the same order however many cores there
# are. This must be set before jax is imported.
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # Linux
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
SEED = 20
EPOCHS = 80
BATCH = 64
PEAK_RATE = 0.003
DROPOUT = 0.3
MORE_CASES = 40  # held-out rows in expected.json, besides the examples
LABELS = [str(n) for n in range(10)]


def load():
    """The scans as 8-bit grey levels [n,8,8], the classes, and the split."""
    scans = load_digits()
    levels = np.round(scans.images * 255 / 16).astype(np.uint8)
    train, held_out = train_test_split(
        np.arange(len(levels)), test_size=0.25, stratify=scans.target, random_state=SEED
    )
    return levels, scans.target, train, held_out


def to_tensor(levels):
    """8-bit levels [n,8,8] as the model's input [n,1,8,8], values 0 to 1."""
    return (levels.astype(np.float32) / np.float32(255))[:, None]


def initial_weights(key):
    shapes = {
        "conv1": (16, 1, 3, 3),
        "conv2": (32, 16, 3, 3),
        "hidden": (48, 32 * 4 * 4),
        "scores": (10, 48),
    }
    weights = {}
    for name, shape in shapes.items():
        key, part = jax.random.split(key)
        spread = np.sqrt(2 / np.prod(shape[1:]))
        weights[name + ".weight"] = spread * jax.random.normal(part, shape)
        weights[name + ".bias"] = jnp.zeros(shape[0])
    return weights


def logits(weights, images, dropout_key=None):
    """The network up to the softmax; the same steps as in export()."""
    x = images
    for name in ("conv1", "conv2"):
        x = jax.lax.conv(x, weights[name + ".weight"], (1, 1), "SAME")
        x = jax.nn.relu(x + weights[name + ".bias"][:, None, None])
    x = x.reshape(x.shape[0], 32, 4, 2, 4, 2).max(axis=(3, 5))
    x = x.reshape(x.shape[0], -1)
    if dropout_key is not None:
        keep = jax.random.bernoulli(dropout_key, 1 - DROPOUT, x.shape)
        x = jnp.where(keep, x / (1 - DROPOUT), 0)
    x = jax.nn.relu(x @ weights["hidden.weight"].T + weights["hidden.bias"])
    return x @ weights["scores.weight"].T + weights["scores.bias"]


def shifted(images, rng):
    """Each image moved by -1, 0 or 1 pixel along each axis, black filled in."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, len(images)))
    rows = down[:, None] + np.arange(8)
    columns = right[:, None] + np.arange(8)
    which = np.arange(len(images))[:, None, None]
    return padded[which, 0, rows[:, :, None], columns[:, None, :]][:, None]


@jax.jit
def step(weights, mean, square, number, rate, images, classes, key):
    """One step of Adam on one batch."""

    def loss(weights):
        right = jax.nn.one_hot(classes, 10) * 0.95 + 0.005  # smoothed labels
        return -(right * jax.nn.log_softmax(logits(weights, images, key))).sum(1).mean()

    value, slope = jax.value_and_grad(loss)(weights)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, slope)
    weights = jax.tree.map(
        lambda w, m, s: w
        - rate * (m / (1 - 0.9**number)) / (jnp.sqrt(s / (1 - 0.999**number)) + 1e-8),
        weights,
        mean,
        square,
    )
    return weights, mean, square, value


def train_network(images, classes):
    rng = np.random.default_rng(SEED)
    key = jax.random.key(SEED)
    weights = initial_weights(key)
    mean = jax.tree.map(jnp.zeros_like, weights)
    square = mean
    batches = len(images) // BATCH
    number = 0
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        total = 0.0
        for batch in range(batches):
            number += 1
            rows = order[batch * BATCH : (batch + 1) * BATCH]
            rate = PEAK_RATE * 0.5 * (1 + np.cos(np.pi * number / (EPOCHS * batches)))
            weights, mean, square, value = step(
                weights,
                mean,
                square,
                float(number),
                float(rate),
                shifted(images[rows], rng),
                classes[rows],
                jax.random.fold_in(key, number),
            )
            total += float(value)
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1:3} of {EPOCHS}: loss {total / batches:.4f}")
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


def export(weights, path):
    def node(kind, name, inputs, output, **attributes):
        return helper.make_node(kind, inputs, [output], name=name, **attributes)

    def with_weights(value, name):
        return [value, name + ".weight", name + ".bias"]

    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}
    nodes = [
        node("Conv", "conv1", with_weights("image", "conv1"), "conv1.out", **conv),
        node("Relu", "relu1", ["conv1.out"], "relu1.out"),
        node("Conv", "conv2", with_weights("relu1.out", "conv2"), "conv2.out", **conv),
        node("Relu", "relu2", ["conv2.out"], "relu2.out"),
        node("MaxPool", "pool", ["relu2.out"], "pool.out", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "flatten", ["pool.out"], "flatten.out", axis=1),
        node("Gemm", "hidden", with_weights("flatten.out", "hidden"), "hidden.out", transB=1),
        node("Relu", "relu3", ["hidden.out"], "relu3.out"),
        node("Gemm", "logits", with_weights("relu3.out", "scores"), "logits.out", transB=1),
        node("Softmax", "softmax", ["logits.out"], "scores", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="glovebox models/digits/train.py",
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(model, tensor):
    return model.run(["scores"], {"image": tensor})[0]


def case(model, tensor, file=None):
    """One entry of expected.json: what onnxruntime answers to one image."""
    scores = run(model, tensor)[0]
    entry = {"file": file} if file else {}
    entry["data"] = [float(v) for v in tensor.ravel()]
    entry["shape"] = list(tensor.shape)
    entry["scores"] = [float(v) for v in scores]
    entry["label"] = LABELS[scores.argmax()]
    return entry


def write_examples(levels, classes, rows, answers):
    """The first held-out image of each class that the model gets right."""
    for digit in range(10):
        row = next(r for r, a in zip(rows, answers) if classes[r] == digit == a)
        Image.fromarray(levels[row]).save(HERE / f"examples/{digit}.png")
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


def measured(classes, answers, trained_on, train_right):
    table = np.zeros((10, 10), int)
    np.add.at(table, (classes, answers), 1)
    right = int(np.trace(table))
    lines = [
        f"Held-out accuracy: **{right / len(classes):.2%}** "
        f"({right} of {len(classes)} images). "
        f"On the {trained_on} images it was trained on: {train_right:.2%}.",
        "",
        "Rows are the true digit, columns the model's answer.",
        "",
        "| | " + " | ".join(LABELS) + " |",
        "|---" * 11 + "|",
    ]
    for label, row in zip(LABELS, table):
        lines.append(f"| **{label}** | " + " | ".join(str(n) if n else "·" for n in row) + " |")
    return "\n".join(lines) + "\n", right / len(classes)


def main():
    levels, classes, train, held_out = load()
    images = to_tensor(levels)
    print(f"{len(train)} images to train on, {len(held_out)} held out")

    weights = train_network(images[train], classes[train])
    path = HERE / "digits.onnx"
    export(weights, path)
    count = sum(value.size for value in weights.values())
    print(f"wrote digits.onnx: {count} parameters, {path.stat().st_size} bytes")
    (HERE / "labels.txt").write_text("".join(label + "\n" for label in LABELS))

    model = session(path)
    answers = run(model, images[held_out]).argmax(1)
    in_jax = np.asarray(jax.nn.softmax(logits(weights, images[held_out])))
    gap = np.abs(in_jax - run(model, images[held_out])).max()
    assert gap < 1e-4, f"the exported model differs from the trained one by {gap}"
    train_right = (run(model, images[train]).argmax(1) == classes[train]).mean()
    text, accuracy = measured(classes[held_out], answers, len(train), train_right)
    write_card(text)
    print(f"held-out accuracy {accuracy:.4f}, wrote it to README.md")

    (HERE / "examples").mkdir(exist_ok=True)
    used = list(write_examples(levels, classes, held_out, answers))
    cases = []
    for digit in range(10):
        name = f"examples/{digit}.png"
        decoded = np.asarray(Image.open(HERE / name))
        assert decoded.dtype == np.uint8 and decoded.shape == (8, 8), name
        cases.append(case(model, to_tensor(decoded[None]), name))
    others = [row for row in held_out if row not in used][:MORE_CASES]
    cases += [case(model, images[row : row + 1]) for row in others]
    write_expected(cases)
    print(f"wrote {len(used)} examples, and expected.json with {len(cases)} cases")

    config = tomllib.loads((HERE / "model.toml").read_text())
    stated = {e["input"]: e["label"] for e in config["example"]}
    answered = {c["file"]: c["label"] for c in cases if "file" in c}
    assert stated == answered, f"model.toml says {stated}, the model says {answered}"
    print("every example in model.toml comes out as it says there")


if __name__ == "__main__":
    main()
