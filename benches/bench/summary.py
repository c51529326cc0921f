"""From times to figures: medians, spreads, ratios and their means."""

import math
from dataclasses import dataclass
from statistics import geometric_mean, quantiles

from engines import REFERENCE
from measure import Measured
from models import Model

Results = list[tuple[Model, dict[str, Measured]]]


@dataclass
class Figure:
    """Milliseconds of one inference."""

    median: float
    p10: float
    p90: float


def figure(measured: Measured, clock: str) -> Figure | None:
    """None if there are no times."""
    times = getattr(measured.times, clock)
    if measured.failure or not times:
        return None
    deciles = quantiles(times * 2 if len(times) == 1 else times, n=10, method="inclusive")
    return Figure(*(deciles[index] / 1e6 for index in (4, 0, 8)))


def speed(results: dict[str, Measured], engine: str, against: str, clock: str) -> float | None:
    """How many times as fast as another engine; None if either has no times."""
    figures = [figure(results[name], clock) for name in (engine, against) if name in results]
    if len(figures) < 2 or None in figures:
        return None
    return figures[1].median / figures[0].median


def mean_speed(results: Results, engine: str, against: str, clock: str) -> tuple[float, int]:
    """The geometric mean over the models that both run, and how many those are."""
    speeds = [speed(result, engine, against, clock) for _, result in results]
    known = [value for value in speeds if value is not None]
    return (geometric_mean(known) if known else math.nan), len(known)


def wrong(results: Results) -> list[str]:
    """Outputs that differ where nothing is rounded to integers."""
    return [
        f"{model.name} on {engine}: relative error {measured.comparison.error:.1e}"
        for model, result in results
        if not model.quantized
        for engine, measured in result.items()
        if engine != REFERENCE and measured.comparison and not measured.comparison.is_close()
    ]


def waited(results: Results) -> float:
    """The part of the time in which the processes did not run."""
    times = [measured.times for _, result in results for measured in result.values()]
    wall, cpu = (sum(sum(column) for column in clock) for clock in zip(*times))
    return 1 - cpu / wall if wall else 0.0
