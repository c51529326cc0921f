"""Builds what the workers run."""

import os
import subprocess

import paths

# Those of Glovebox's guests, see host/build.rs.
WASM_FLAGS = [
    "-C",
    "target-feature=+simd128,+relaxed-simd",
    "--cfg",
    'getrandom_backend="custom"',
]


class Failed(Exception):
    """The build does not work; cargo has said why."""


def build() -> None:
    cargo("build", "--release", "--package=glovebox", "--package=glovebox-benches")
    # Not together with the others: tract wants more features of their dependencies, and all of
    # them would be built twice.
    cargo("build", "--release", "--package=glovebox-bench-stock", "--bins")
    cargo(
        "build",
        "--package=glovebox-bench-stock",
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
