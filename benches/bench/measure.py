"""Takes turns: each engine gets a few inferences a round, while all others stand still."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import accuracy
import engines
from accuracy import Comparison
from models import Model
from worker import Failed, Times, Worker

MOST_PER_ROUND = 300


@dataclass
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float  # of one engine in one round
    cpu: int | None  # the processor that everything runs on


@dataclass
class Measured:
    """One model on one engine."""

    times: Times = field(default_factory=lambda: Times([], []))
    comparison: Comparison | None = None
    failure: str | None = None


def measure(model: Model, names: list[str], plan: Plan) -> dict[str, Measured]:
    """All engines on one model, native ONNX Runtime being the reference for its outputs."""
    results = {name: Measured() for name in names}
    workers = {}
    try:
        for name in names:
            with failing(results[name]):
                workers[name] = Worker(engines.command(name, model), plan.cpu)
        compare(model, workers, results)
        counts = {}
        for name in alive(workers, results):
            with failing(results[name]):
                counts[name] = warm_up(workers[name], plan.seconds)
        for _ in range(plan.rounds):
            for name in alive(workers, results):
                with failing(results[name]):
                    take_turn(workers[name], counts[name], results[name].times)
    finally:
        for worker in workers.values():
            worker.close()
    return results


@contextmanager
def failing(result: Measured) -> Iterator[None]:
    """What an engine cannot do is its result, and no reason to stop."""
    try:
        yield
    except Failed as error:
        result.failure = str(error)


def alive(workers: dict[str, Worker], results: dict[str, Measured]) -> list[str]:
    return [name for name in workers if results[name].failure is None]


def compare(model: Model, workers: dict[str, Worker], results: dict[str, Measured]) -> None:
    reference = None
    with tempfile.TemporaryDirectory() as folder:
        for name in alive(workers, results):
            with failing(results[name]):
                outputs = workers[name].outputs(Path(folder))
                if name == engines.REFERENCE:
                    reference = outputs
                elif reference is not None:
                    results[name].comparison = accuracy.compare(reference, outputs)


def warm_up(worker: Worker, seconds: float) -> int:
    """Runs until compilers, caches and clocks have settled; how many inferences make a turn."""
    first = median(worker.run(2).wall) / 1e9
    again = worker.run(times_in(first, seconds)).wall
    return times_in(median(again) / 1e9, seconds)


def times_in(each: float, seconds: float) -> int:
    return min(max(1, math.ceil(seconds / each)), MOST_PER_ROUND)


def take_turn(worker: Worker, count: int, times: Times) -> None:
    skipped = 1 if count > 1 else 0
    taken = worker.run(count + skipped)
    times.wall.extend(taken.wall[skipped:])
    times.cpu.extend(taken.cpu[skipped:])
