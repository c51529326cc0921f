"""The contenders: how a worker for each of them is started, and which version it is."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import artifact
import paths
from models import Model
from worker import Failed

REFERENCE = "ort"
# Of machine code; what was made longest ago goes first.
CACHE_SIZE = "8GiB"

ALL = {
    "ort": "ONNX Runtime, native",
    "tract": "tract, native",
    "ort-web": "ONNX Runtime Web, wasm with SIMD in Node",
    "tract-wasm": "tract as it ships, in plain wasmtime, one warm instance",
    "glovebox-bare": "the packed model in plain wasmtime, one warm instance, no limits",
    "glovebox-epochs": "the same with the checks that time is looked at by",
    "glovebox": "the packed model as it is served: a fresh instance each time, all limits",
    "glovebox-native": "the same with its graph outside of the sandbox, in tract",
}
# What is said to `pack` for an engine, and where the packed models are.
PACKING = {
    "glovebox-bare": ([], paths.PACKED),
    "glovebox-epochs": ([], paths.PACKED),
    "glovebox": ([], paths.PACKED),
    "glovebox-native": (["--native"], paths.PACKED_NATIVE),
}


def command(engine: str, model: Model) -> list[str]:
    """Starts a worker that has loaded the model."""
    match engine:
        case "ort":
            words = [sys.executable, paths.BENCH / "native.py", model.file()]
        case "ort-web":
            words = ["node", paths.BENCH / "web.mjs", paths.WEB, model.file()]
        case "tract":
            words = [paths.TRACT, model.file()]
        case "tract-wasm":
            words = [*sandbox(engine), model.file()]
        case "glovebox-native":
            words = [*sandbox(engine), "--graph", model.file(), pack(engine, model)]
        case _:
            words = [*sandbox(engine), pack(engine, model)]
    return [str(word) for word in (*words, model.inputs())]


def sandbox(engine: str) -> list:
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    files = ["--stock", paths.STOCK, "--glovebox", paths.GLOVEBOX]
    cache = ["--cache", paths.CACHE, "--cache-size", CACHE_SIZE]
    return [paths.SANDBOX, *files, *cache, engine]


def pack(engine: str, model: Model) -> Path:
    """The packed model; it stays the same as long as the file and the command do."""
    options, folder = PACKING[engine]
    sources = (path.read_bytes() for path in (model.file(), paths.GLOVEBOX))
    file = artifact.path(folder, model.name, ".wasm", *sources)
    if file.exists():
        return file
    words = ["--cache-dir", paths.CACHE, "--cache-size", CACHE_SIZE, "pack", model.file()]
    command = [paths.GLOVEBOX, *words, *options, "-o", file]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        why = done.stderr.strip().split("\n")[-1]
        raise Failed(f"pack: {why.removeprefix('error: ').removeprefix(f'{model.file()}: ')}")
    return file


def versions() -> dict[str, str]:
    lock = tomllib.loads((paths.REPOSITORY / "Cargo.lock").read_text())
    crates = {package["name"]: package["version"] for package in lock["package"]}
    web = json.loads((paths.WEB / "node_modules/onnxruntime-web/package.json").read_text())
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return {
        "onnxruntime": metadata.version("onnxruntime"),
        "onnxruntime-web": web["version"],
        "node": node.strip().removeprefix("v"),
        "tract": crates["tract-onnx"],
        "wasmtime": crates["wasmtime"],
        "glovebox": crates["glovebox"],
        "onnx": metadata.version("onnx"),
    }
