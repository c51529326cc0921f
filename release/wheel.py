"""A wheel that carries the program, as those of ruff and uv do: `pip install` puts it beside python.

    wheel.py VERSION --program FILE --glibc 2.34 --licences FILE... --sbom FILE --output FOLDER

The same bytes for the same input; SOURCE_DATE_EPOCH is the time of all files.
"""

import argparse
import base64
import hashlib
import os
import pathlib
import time
import zipfile

# `glovebox` belongs to somebody else there.
NAME = "glovebox-inference"
SUMMARY = "Serverless machine-learning inference in a WebAssembly sandbox"
DESCRIPTION = """\
Glovebox packs an ONNX model into one WebAssembly component that imports nothing, and serves it: every request
gets a fresh instance, with hard limits on memory and CPU time.

    $ pip install glovebox-inference
    $ glovebox pack model.onnx
    $ glovebox up --from model.wasm

The package holds the program `glovebox`, for Linux on x86-64, and no Python modules.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--glibc", required=True)
    parser.add_argument("--licences", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--sbom", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    options = parser.parse_args()

    tag = f"py3-none-manylinux_{options.glibc.replace('.', '_')}_x86_64"
    stem = f"{NAME.replace('-', '_')}-{options.version}"
    info = f"{stem}.dist-info"
    licences = {file.name: file.read_bytes() for file in options.licences}
    metadata = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {options.version}",
        f"Summary: {SUMMARY}",
        "License-Expression: Apache-2.0",
        *(f"License-File: {name}" for name in licences),
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Rust",
        "Classifier: Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
        "",
        DESCRIPTION,
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: glovebox release", "Root-Is-Purelib: false", f"Tag: {tag}", ""]
    files = {
        f"{stem}.data/scripts/glovebox": options.program.read_bytes(),
        f"{info}/METADATA": "\n".join(metadata).encode(),
        f"{info}/WHEEL": "\n".join(wheel).encode(),
        f"{info}/sboms/{options.sbom.name}": options.sbom.read_bytes(),
        **{f"{info}/licenses/{name}": text for name, text in licences.items()},
    }
    record = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()

    date = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", 315532800)))[:6]
    with zipfile.ZipFile(options.output / f"{stem}-{tag}.whl", "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if "/scripts/" in name else 0o100644) << 16
            archive.writestr(entry, data)


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
