"""Search sentences.txt by meaning, with a running Glovebox. Needs nothing but Python.

    glovebox up --from models/minilm/minilm.onnx
    python models/minilm/search.py "a late train"
"""

import json
import sys
import urllib.request
from pathlib import Path

PREDICT = "http://127.0.0.1:3000/v2/models/minilm/predict"
BEST = 3


def embed(texts):
    """A vector of length 1 for each text."""
    request = urllib.request.Request(PREDICT, json.dumps(texts).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return [row["embedding"] for row in json.load(answer)]


def main():
    if len(sys.argv) < 2:
        raise SystemExit(f'usage: python {sys.argv[0]} "what to look for" ...')
    sentences = (Path(__file__).parent / "sentences.txt").read_text().splitlines()
    vectors = embed(sentences)
    for query, wanted in zip(sys.argv[1:], embed(sys.argv[1:])):
        # Vectors have length 1, so that the sum of products is the cosine.
        cosines = [sum(a * b for a, b in zip(wanted, vector)) for vector in vectors]
        print(query)
        for cosine, sentence in sorted(zip(cosines, sentences), reverse=True)[:BEST]:
            print(f"  {cosine:.3f}  {sentence[:80]}")


if __name__ == "__main__":
    main()
