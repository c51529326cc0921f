"""A process that runs one model on one engine, and works only when it is asked."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file


class Failed(Exception):
    """An engine does not run a model; the text says why."""


class Times(NamedTuple):
    """Nanoseconds of inferences, on the clock of the wall and on the process's own."""

    wall: list[int]
    cpu: list[int]


class Worker:
    """Asked by a line on its standard input, it answers with a line of JSON.

    It is stopped between two questions, so that engines cannot disturb each other.
    """

    def __init__(self, command: list[str], cpu: int | None):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        try:
            self._answer()
            if cpu is not None:
                self._pin(cpu)
        except BaseException:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def run(self, times: int) -> Times:
        return Times(**self._ask(f"run {times}"))

    def outputs(self, folder: Path) -> dict[str, np.ndarray]:
        file = folder / "outputs.safetensors"
        self._ask(f"outputs {file}")
        return load_file(file)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _ask(self, question: str) -> dict:
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # why it is gone is read below
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        return answer

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self._error())
        return json.loads(line)

    def _error(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").split("\n")
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return (errors or [f"ended with code {code}"])[-1]

    def _signal(self, number: int) -> None:
        self.process.send_signal(number)

    def _pin(self, cpu: int) -> None:
        """Only now: while loading, it may use all processors."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), {cpu})
