"""Where things are."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parents[1]
TARGET = REPOSITORY / "target"
OUT = TARGET / "benches"
MODELS = OUT / "models"
PACKED = OUT / "packed"
PACKED_NATIVE = OUT / "packed-native"
CACHE = OUT / "cache"
WEB = OUT / "web"
RESULTS = OUT / "results"

GLOVEBOX = TARGET / "release" / "glovebox"
SANDBOX = TARGET / "release" / "glovebox-benches"
TRACT = TARGET / "release" / "glovebox-bench-tract"
KERNELS = TARGET / "release" / "glovebox-bench-kernels"
GUESTS = TARGET / "guests" / "wasm32-unknown-unknown" / "guest"
STOCK = GUESTS / "glovebox_bench_stock.wasm"
KERNELS_MODULE = GUESTS / "glovebox_bench_kernels.wasm"

# What decides about models and inputs.
MAKERS = [
    *(BENCH / f"{name}.py" for name in ("graph", "light", "models", "quantized")),
    *(BENCH / f"{name}.py" for name in ("sequence", "transformer", "vision")),
    REPOSITORY / "tests" / "zoo" / "compare.py",
    *(REPOSITORY / "models").glob("*/*.onnx"),
]
