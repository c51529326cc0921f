"""The speeds as a picture: a bar for each model and engine, on a logarithmic scale."""

import math
from html import escape

import summary
from engines import REFERENCE
from summary import Results

COLOURS = {
    "tract": "#9c9c9c",
    "ort-web": "#4e79a7",
    "tract-wasm": "#76b7b2",
    "glovebox-bare": "#f2b56b",
    "glovebox-epochs": "#e9935a",
    "glovebox": "#e1671b",
    "glovebox-native": "#8c3b0a",
}
TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2]
LEFT, WIDTH, TOP, BAR, GAP = 130, 640, 66, 9, 12


def svg(results: Results, names: list[str], clock: str) -> str:
    """How many times as fast as native ONNX Runtime each other engine is."""
    names = [name for name in names if name != REFERENCE]
    row = len(names) * BAR + GAP
    height = TOP + len(results) * row + 10
    parts = [title(), legend(names), *(tick(value, height) for value in TICKS)]
    for index, (model, result) in enumerate(results):
        top = TOP + index * row + GAP / 2
        parts.append(label(LEFT - 8, top + (row - GAP) / 2 + 4, model.name, "end"))
        for place, name in enumerate(names):
            speed = summary.speed(result, name, REFERENCE, clock)
            parts.append(bar(top + place * BAR, speed, COLOURS[name]))
    size = f'width="{LEFT + WIDTH + 60}" height="{height:g}"'
    style = 'font-family="sans-serif" font-size="12"'
    body = "\n".join(parts)
    background = '<rect width="100%" height="100%" fill="white"/>'
    namespace = "http://www.w3.org/2000/svg"
    return f'<svg xmlns="{namespace}" {size} {style}>\n{background}\n{body}\n</svg>\n'


def title() -> str:
    return label(LEFT, 18, "Speed on one thread, native ONNX Runtime = 1 (longer is faster)")


def legend(names: list[str]) -> str:
    parts, x = [], LEFT
    for name in names:
        parts.append(f'<rect x="{x}" y="28" width="11" height="11" fill="{COLOURS[name]}"/>')
        parts.append(label(x + 16, 38, name))
        x += 40 + 7 * len(name)
    return "".join(parts)


def tick(value: float, height: float) -> str:
    x = position(value)
    colour = "#333" if value == 1 else "#ddd"
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - 10:g}" stroke="{colour}"/>'
    return line + label(x, TOP - 6, f"{value:g}", "middle")


def bar(top: float, speed: float | None, colour: str) -> str:
    if speed is None:
        return label(LEFT + 4, top + BAR - 1, "n/a", size=9)
    width = max(1.0, position(speed) - LEFT)
    shape = f'x="{LEFT}" y="{top:g}" width="{width:.1f}" height="{BAR - 1}"'
    number = label(LEFT + width + 4, top + BAR - 1, f"{speed:.2f}", size=9)
    return f'<rect {shape} fill="{colour}"/>{number}'


def position(value: float) -> float:
    low, high = math.log(TICKS[0]), math.log(TICKS[-1])
    part = (math.log(value) - low) / (high - low)
    return LEFT + WIDTH * min(max(part, 0.0), 1.0)


def label(x: float, y: float, text: str, anchor: str = "start", size: int = 12) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" fill="#333"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
