"""What the numbers were measured on."""

import os
from pathlib import Path

# The vector units that engines choose their kernels by.
FLAGS = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"]


def describe() -> str:
    info = dict(lines(Path("/proc/cpuinfo")))
    flags = info.get("flags", "").split()
    present = [flag for flag in FLAGS if flag in flags]
    return f"{info.get('model name', 'unknown')}, {os.cpu_count()} cores, {' '.join(present)}"


def lines(file: Path):
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()
