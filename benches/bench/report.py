"""The results as text, as Markdown and as JSON."""

import datetime
import json
import math
from collections.abc import Callable
from dataclasses import asdict

import engines
import machine
import summary
from accuracy import TOLERANCE
from measure import Measured
from summary import Results

# What Glovebox is held to, over the models of the group `zoo`: engine, against whom, at least how
# many times as fast.
BARS = [
    ("glovebox", "ort", 0.40),
    ("glovebox", "ort-web", 1.5),
    ("glovebox", "glovebox-bare", 0.97),
    ("glovebox-native", "tract", 0.95),
]
BUSY = 0.05

Rows = list[list[str]]
Layout = Callable[[Rows], list[str]]


def header(names: list[str], clock: str) -> Rows:
    versions = ", ".join(f"{name} {version}" for name, version in engines.versions().items())
    return [
        ["machine", machine.describe()],
        ["versions", versions],
        ["date", str(datetime.date.today())],
        ["numbers", f"ms of one inference on one thread by the {clock} clock: median [p10-p90],"],
        ["", "times as fast as native ONNX Runtime"],
        ["error", "largest difference from native ONNX Runtime by the tensor's largest magnitude"],
        *([name, engines.ALL[name]] for name in names),
    ]


def table(group: str, results: Results, names: list[str], clock: str) -> Rows:
    """A row for each model, and one for the means."""
    rows = [[group, *names]]
    for model, result in results:
        rows.append([model.name, *(cell(result, name, clock) for name in names)])
    means = [summary.mean_speed(results, name, engines.REFERENCE, clock) for name in names]
    rows.append(["geometric mean", *(mean_cell(*mean, len(results)) for mean in means)])
    return rows


def cell(results: dict[str, Measured], name: str, clock: str) -> str:
    figure = summary.figure(results[name], clock)
    if figure is None:
        return "n/a"
    spread = f"[{digits(figure.p10)}-{digits(figure.p90)}]"
    speed = summary.speed(results, name, engines.REFERENCE, clock)
    ratio = "" if speed is None else f" {speed:5.2f}x"
    return f"{digits(figure.median)} {spread}{ratio}"


def mean_cell(mean: float, count: int, of: int) -> str:
    if math.isnan(mean):
        return "n/a"
    return f"{mean:.2f}x" + ("" if count == of else f" ({count} of {of})")


def digits(milliseconds: float) -> str:
    """Three digits."""
    decimals = max(0, 2 - math.floor(math.log10(max(milliseconds, 1e-3))))
    return f"{milliseconds:.{min(decimals, 4)}f}"


def accuracy_table(results: Results, names: list[str]) -> Rows:
    compared = [name for name in names if name != engines.REFERENCE]
    rows = [["error", *compared]]
    for model, result in results:
        rows.append([model.name, *(accuracy_cell(result[name]) for name in compared)])
    return rows


def accuracy_cell(measured: Measured) -> str:
    comparison = measured.comparison
    if comparison is None:
        return "n/a"
    top = {True: " same top 5", False: " OTHER TOP 5", None: ""}[comparison.top5]
    return f"{comparison.error:.0e}{top}"


def bars(results: Results, names: list[str], clock: str) -> list[str]:
    lines = []
    for engine, against, least in BARS:
        mean, count = summary.mean_speed(results, engine, against, clock)
        if count:
            verdict = "kept" if mean >= least else "missed"
            lines.append(
                f"- {engine} is {mean:.2f}x as fast as {against}, "
                f"geometric mean of {count} models (bar {least:.2f}x: {verdict})"
            )
    return lines


def failures(results: Results) -> list[str]:
    return [
        f"- n/a: {model.name} on {name}: {measured.failure}"
        for model, result in results
        for name, measured in result.items()
        if measured.failure
    ]


def notes(results: Results) -> list[str]:
    lines = failures(results)
    lines += [f"- wrong (over {TOLERANCE:.0e}): {line}" for line in summary.wrong(results)]
    if (waited := summary.waited(results)) > BUSY:
        lines.append(f"- the machine was busy: {waited:.0%} of the time went to other programs")
    return lines


def lines(results: Results, names: list[str], clock: str, layout: Layout) -> list[str]:
    """All that there is to say."""
    parts = [layout(header(names, clock))]
    for group in ("zoo", "other"):
        part = [(model, result) for model, result in results if model.group == group]
        if part:
            parts.append(layout(table(group, part, names, clock)))
        if part and group == "zoo":
            parts.append(bars(part, names, clock))
    if len(names) > 1 and engines.REFERENCE in names:
        parts.append(layout(accuracy_table(results, names)))
    parts.append(notes(results))
    return [line for part in parts if part for line in (*part, "")]


def text(rows: Rows) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(row, widths)).rstrip() for row in rows
    ]


def markdown(rows: Rows) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def as_json(results: Results) -> str:
    entries = [
        {
            "model": model.name,
            "group": model.group,
            "engine": name,
            "failure": measured.failure,
            "accuracy": asdict(measured.comparison) if measured.comparison else None,
            "wall_ns": measured.times.wall,
            "cpu_ns": measured.times.cpu,
        }
        for model, result in results
        for name, measured in result.items()
    ]
    about = {
        "machine": machine.describe(),
        "versions": engines.versions(),
        "date": str(datetime.date.today()),
    }
    return json.dumps(about | {"results": entries}, indent=1) + "\n"
