#!/usr/bin/env python3
"""Writes seeds/package: small components, put together section by section."""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
CORE = b"\0asm\1\0\0\0"
HEADER = b"\0asm\x0d\0\1\0"
# The target puts the runtime's code in the place of an empty module, and what the packer writes
# behind it in the place of an empty custom section.
RUNTIME = b"\x01\x08" + CORE
TAIL = b"\0\5\4tail"


def leb128(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + leb128(rest) if rest else bytes([low])


def named(name):
    return leb128(len(name)) + name.encode()


def section(number, body):
    return bytes([number]) + leb128(len(body)) + body


def metadata(**changes):
    text = {
        "name": "m",
        "version": "1",
        "description": "d",
        "licence": "l",
        "labels": ["a", "b"],
        "signature": {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "INT64", "shape": []}],
            "media": ["image/png"],
        },
        "source_sha256": "0",
        "tool": "t",
        "runtime_sha256": "0",
    } | changes
    return section(0, named("glovebox:model") + json.dumps(text).encode())


def module(*sections):
    return section(1, CORE + b"".join(sections))


def memories(*limits):
    return section(5, leb128(len(limits)) + b"".join(limits))


IMAGE = module(
    memories(b"\0\x11"),
    section(7, b"\1" + named("memory") + b"\2\0"),
    section(11, b"\1\0\x41\0\x0b\4data"),
)
# An instance `i` without exports is imported; the import `f` is a function.
IMPORTS = section(7, b"\1\x42\0") + section(10, b"\1\0" + named("i") + b"\5\0")
EXPORTS = section(11, b"\1\0" + named("e") + b"\5\0\0")

SEEDS = {
    "empty": HEADER,
    "packed": HEADER + metadata() + IMAGE + RUNTIME + TAIL,
    "no-tail": HEADER + metadata() + IMAGE + RUNTIME,
    "twice": HEADER + RUNTIME + IMAGE + RUNTIME + metadata() + TAIL,
    "own-code": HEADER + module(memories(b"\1\1\x10"), section(6, b"\0"), section(10, b"\0")),
    "memory64": HEADER + module(memories(b"\4" + leb128(1 << 48))),
    "two-memories": HEADER + module(memories(b"\0\1", b"\0\2")) + module(memories(b"\0\3")),
    "names": HEADER + IMPORTS + EXPORTS,
    "nested": HEADER + section(4, HEADER + IMAGE) + EXPORTS,
    "metadata-key": HEADER + metadata(signature={"inputs": [{"name": "x", "datatype": "\x1b"}]}),
    "metadata-text": HEADER + section(0, named("glovebox:model") + b"{"),
    "cut": (HEADER + IMAGE)[:-3],
    "core": CORE,
    "elf": b"\x7fELF\2\1\1\0",
}

folder = HERE / "seeds" / "package"
folder.mkdir(parents=True, exist_ok=True)
for name, content in SEEDS.items():
    (folder / name).write_bytes(content)
