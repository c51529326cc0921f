"""Builds what the workers run."""

import os
import subprocess
from pathlib import Path

import paths

CARGO_HOME = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
# Those of Glovebox's guests, in the order of host/build.rs: with others, cargo would build all that they
# have in common again, each time.
WASM_FLAGS = [
    "-C",
    "target-feature=+simd128,+relaxed-simd",
    "--cfg",
    'getrandom_backend="custom"',
    f"--remap-path-prefix={CARGO_HOME}=cargo",
    f"--remap-path-prefix={paths.REPOSITORY}=glovebox",
]


class Failed(Exception):
    """The build does not work; cargo has said why."""


def build() -> None:
    cargo("build", "--release", "--package=glovebox", "--package=glovebox-benches")
    # Not together with the others: tract wants more features of their dependencies, and all of
    # them would be built twice.
    cargo("build", "--release", "--package=glovebox-bench-stock", "--bins")
    guest("glovebox-bench-stock")


def build_kernels() -> None:
    cargo("build", "--release", "--package=glovebox-benches", "--bin=glovebox-bench-kernels")
    guest("glovebox-bench-kernels")


def guest(package: str) -> None:
    cargo(
        "build",
        f"--package={package}",
        "--lib",
        "--profile=guest",
        "--target=wasm32-unknown-unknown",
        f"--target-dir={paths.TARGET / 'guests'}",
        env={"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(WASM_FLAGS)},
    )


def cargo(*arguments: str, env: dict[str, str] | None = None) -> None:
    command = ["cargo", *arguments, "--locked", "--quiet"]
    done = subprocess.run(command, cwd=paths.REPOSITORY, env=os.environ | (env or {}))
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` failed")
