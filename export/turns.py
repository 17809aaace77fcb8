"""Labellers that are timed in turns, each by a stopwatch in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from export.stopwatch import Order

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FEWEST_RUNS = 5
"""Timed even when they take longer than the time allowed."""
TURN_S = 0.25
"""A turn of one labeller takes about so long."""
PAUSE_S = 0.02
"""Between two turns: the threads of the one before stop spinning."""


@dataclass(kw_only=True)
class Taken:
    """What a stopwatch has told so far."""

    times_ms: list[float] = field(default_factory=list)
    core_ms: list[float] = field(default_factory=list)
    energy_j: list[float | None] = field(default_factory=list)
    clock_mhz: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    provider: str | None = None
    onnx_px: tuple[int, int] | None = None


class RemoteStopwatch:
    """A stopwatch in another process, which ends with the context."""

    def __init__(self, order: Order) -> None:
        """Raises ValueError naming the labeller when it cannot be opened."""
        self.order, self.taken, self.seconds = order, Taken(), 0.0
        # a pipe that nobody reads would fill up
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "export.stopwatch", json.dumps(asdict(order))],
            env=environment(order.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> Self:
        told = self._answer()
        self.taken.provider = told["provider"]
        self.taken.onnx_px = told["onnx_px"] and tuple(told["onnx_px"])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def turn(self, calls: int) -> None:
        """Let it call at most so often, for about TURN_S."""
        assert self.process.stdin is not None
        began = time.perf_counter()
        with suppress(BrokenPipeError):  # it died, and _answer says of what
            self.process.stdin.write(json.dumps([calls, TURN_S]) + "\n")
            self.process.stdin.flush()
        told, taken = self._answer(), self.taken
        taken.times_ms += told["times_ms"]
        taken.core_ms += told["core_ms"]
        taken.energy_j.append(told["energy_j"])
        taken.clock_mhz += [told["clock_mhz"]] if told["clock_mhz"] else []
        taken.peak_memory_bytes = told["peak_memory_bytes"]
        self.seconds += time.perf_counter() - began

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        reason = (self.errors.read().strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{self.order.labeller}: timing failed with exit code {code}: {reason}")


def environment(threads: int) -> dict[str, str]:
    """This process's environment, with its thread count and the packages' place on the path."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": path}


def take_turns(stopwatches: Sequence[RemoteStopwatch], runs: int, seconds: float) -> None:
    """Turn after turn until each has its runs, or its time."""
    waiting = list(stopwatches)
    while waiting:
        for stopwatch in waiting:
            time.sleep(PAUSE_S)
            stopwatch.turn(runs - len(stopwatch.taken.times_ms))
        waiting = [one for one in waiting if not _is_done(one, runs, seconds)]


def _is_done(stopwatch: RemoteStopwatch, runs: int, seconds: float) -> bool:
    count = len(stopwatch.taken.times_ms)
    return count >= runs or (stopwatch.seconds >= seconds and count >= min(runs, FEWEST_RUNS))
