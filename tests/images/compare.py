"""Sends synthetic photos of many sizes to a host that serves the models of `reference.py`, and compares
the tensors that come back with Pillow's. `cargo test` runs it:

    cargo test --release -p glovebox --test scenarios images::photos -- --nocapture

Prints, for each format, how far levels are apart. Fails if any level is more than one apart.
"""

import io
import json
import sys
import urllib.request

import numpy

from reference import CONFIGS, levels, photo

SIZES = [(640, 480), (333, 500), (1024, 683), (97, 211), (15, 16), (1600, 1200)]
FORMATS = {
    "PNG": ("image/png", {}),
    "JPEG 4:4:4": ("image/jpeg", {"subsampling": 0, "quality": 95}),
    "JPEG 4:2:2": ("image/jpeg", {"subsampling": 1, "quality": 85}),
    "JPEG 4:2:0": ("image/jpeg", {"subsampling": 2, "quality": 80}),
    "JPEG progressive": ("image/jpeg", {"subsampling": 2, "quality": 85, "progressive": True}),
    "WebP lossy": ("image/webp", {"quality": 80}),
    "WebP lossless": ("image/webp", {"lossless": True, "method": 0}),
}


def tensor(address, model, content_type, body):
    """What the host makes of a picture."""
    url = f"http://{address}/v2/models/{model}/predict"
    request = urllib.request.Request(url, body, {"content-type": content_type})
    with urllib.request.urlopen(request) as answer:
        output = json.load(answer)["outputs"][0]
    return numpy.array(output["data"]).reshape(output["shape"])


def main(address):
    worst = 0
    print(f"{'':17} {'levels':>8} {'exact':>9} {'most apart':>11}")
    for name, (content_type, options) in FORMATS.items():
        apart = []
        for number, size in enumerate(SIZES):
            file = io.BytesIO()
            photo(*size).save(file, content_type.removeprefix("image/"), **options)
            # Not each size with each model: so many pictures say nothing new.
            for config in list(CONFIGS)[number % 2 :: 2]:
                have = tensor(address, config, content_type, file.getvalue())
                want = levels(file, CONFIGS[config])
                apart.append(numpy.abs(have - want).ravel())
        apart = numpy.concatenate(apart)
        exact = (apart == 0).mean()
        print(f"{name:17} {apart.size:8} {exact:9.4%} {int(apart.max()):11}")
        worst = max(worst, apart.max())
    return 0 if worst <= 1 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
