"""Compare minilm.onnx with two other ways to compute it, on the sentences of sentences.txt.

    python models/minilm/check.py [--glovebox target/release/glovebox]

The references are a forward pass in NumPy, written from the paper and the package's weights and
sharing nothing with build.py, and ONNX Runtime. With --glovebox the model is also packed and asked,
sentence by sentence and all together. Ends with an error if any of them is further from the NumPy
pass than TOLERANCE, or a cosine is below COSINE.
"""

import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from build import HERE, package
from safetensors.numpy import load_file
from tokenizers import Tokenizer

COSINE = 0.99999
TOLERANCE = 1e-4
MAX_TOKENS = 256  # as in model.toml


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x)


class Bert:
    """BERT as Devlin et al. (2018) describe it, in float64, one sentence at a time, so that there is
    neither padding nor a mask."""

    def __init__(self, source):
        weights = load_file(source / "model.safetensors")
        self.weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
        config = json.loads((source / "config.json").read_text())
        self.heads, self.layers = config["num_attention_heads"], config["num_hidden_layers"]
        self.epsilon = config["layer_norm_eps"]

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, x, name):
        query, key, value = (
            np.stack(np.split(self.linear(x, f"{name}.self.{part}"), self.heads, axis=-1))
            for part in ("query", "key", "value")
        )
        scores = np.einsum("hqd,hkd->hqk", query, key) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.concatenate(list(np.einsum("hqk,hkd->hqd", shares, value)), axis=-1)
        return self.linear(mixed, f"{name}.output.dense")

    def embed(self, ids):
        """The mean of the last hidden states, of length 1."""
        tables = {part: self.weights[f"embeddings.{part}_embeddings.weight"] for part in ("word", "position", "token_type")}
        x = tables["word"][ids] + tables["position"][: len(ids)] + tables["token_type"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in (f"encoder.layer.{index}" for index in range(self.layers)):
            x = self.norm(x + self.attention(x, f"{layer}.attention"), f"{layer}.attention.output.LayerNorm")
            wide = self.linear(x, f"{layer}.intermediate.dense")
            wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
            x = self.norm(x + self.linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        pooled = x.mean(0)
        return pooled / np.linalg.norm(pooled)


def runtime(folder, tokenizer, sentences):
    """ONNX Runtime on all sentences at once, padded to the longest."""
    session = onnxruntime.InferenceSession(folder / "minilm.onnx", providers=["CPUExecutionProvider"])
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(sentences)
    part = lambda name: np.array([getattr(row, name) for row in rows], np.int64)
    mask = part("attention_mask")
    feeds = {"input_ids": part("ids"), "attention_mask": mask, "token_type_ids": part("type_ids")}
    (hidden,) = session.run(None, feeds)
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def glovebox(binary, folder, sentences):
    """The packed model, by `glovebox run`: all sentences as a list, and each as a text of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        packed, body = Path(temporary) / "minilm.wasm", Path(temporary) / "body"
        subprocess.run([binary, "pack", folder / "minilm.onnx", "-o", packed], check=True)

        def ask(content_type, text):
            body.write_text(text)
            command = [binary, "run", packed, "--input", body, "--content-type", content_type]
            return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

        together = [row["embedding"] for row in ask("application/json", json.dumps(sentences))]
        alone = [ask("text/plain", sentence)["embedding"] for sentence in sentences]
    return np.array(together), np.array(alone)


def compare(name, vectors, reference):
    cosines = (vectors * reference).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(reference, axis=1)
    off = np.abs(vectors - reference).max()
    print(f"{name:<34} lowest cosine {cosines.min():.9f}, largest difference {off:.1e}")
    return cosines.min() >= COSINE and off <= TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, help="as for build.py")
    parser.add_argument("--folder", type=Path, default=HERE, help="where build.py wrote")
    parser.add_argument("--glovebox", type=Path, help="the binary, to compare the packed model too")
    arguments = parser.parse_args()
    sentences = (HERE / "sentences.txt").read_text().splitlines()
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    bert = Bert(arguments.package or package())
    reference = np.array([bert.embed(row.ids) for row in tokenizer.encode_batch(sentences)])
    print(f"{len(sentences)} sentences, against the forward pass in NumPy:")
    found = {"ONNX Runtime, padded": runtime(arguments.folder, tokenizer, sentences)}
    if arguments.glovebox:
        together, alone = glovebox(arguments.glovebox.resolve(), arguments.folder, sentences)
        found |= {"Glovebox, a list, padded": together, "Glovebox, one by one": alone}
    good = [compare(name, vectors, reference) for name, vectors in found.items()]
    if not all(good):
        raise SystemExit(f"off by more than {TOLERANCE}, or a cosine below {COSINE}")


if __name__ == "__main__":
    main()
