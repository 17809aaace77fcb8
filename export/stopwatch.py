"""The process that times one labeller: it calls it when it is told to, so that several take turns.

It answers each line of its standard input, [calls, seconds], with one line of JSON: how long each
call took, and what the machine said meanwhile.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.gauges import clock_mhz, energy_j, peak_memory_bytes
from export.timed_session import TimedSession, put_clock_on

if TYPE_CHECKING:
    from distill.labellers import Labeller


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one process times."""

    labeller: str
    """Teacher folder, student folder or ONNX file"""
    photographs: str
    """.npy file of uint8 (N, H, W, 3); the calls go round through them"""
    threads: int
    batch: int
    votes: int
    steps: int | None
    warmup: int
    """Calls that are not timed"""
    size_px: tuple[int, int] | None
    """Height and width at which an ONNX file runs; None for that which it was trained at"""
    device: str
    """"cpu", or "auto" for the fastest provider of onnxruntime; of PyTorch as it spells them"""


class Stopwatch:
    """One labeller in this process, and how often it was called."""

    def __init__(self, order: Order) -> None:
        self.batch = order.batch
        self.photographs = np.load(order.photographs)
        self.labeller, self.session = open_timed(order)
        self.count, self.last_ms = 0, 0.0
        for _ in range(order.warmup):
            self.call()

    def call(self) -> float:
        """Label the next photographs; returns milliseconds."""
        rows = (self.count * self.batch + np.arange(self.batch)) % len(self.photographs)
        photographs = self.photographs[rows]
        if self.session:
            self.session.core_ms = 0.0
        start = time.perf_counter()
        self.labeller.predict(photographs)
        end = time.perf_counter()
        self.count += 1
        self.last_ms = (end - start) * 1000
        return self.last_ms

    def turn(self, calls: int, seconds: float) -> dict[str, Any]:
        """Call so often, or until the time is up, and say how long each call took.

        A first call is not timed: other processes have had the caches since the last turn. Slow
        labellers, whose calls fill a turn, are spared it.
        """
        if self.last_ms < seconds * 1000:
            self.call()
        times_ms: list[float] = []
        core_ms: list[float] = []
        before_j, ends = energy_j(), time.perf_counter() + seconds
        while len(times_ms) < calls and (not times_ms or time.perf_counter() < ends):
            times_ms.append(self.call())
            if self.session:
                core_ms.append(self.session.core_ms)
        after_j = energy_j()
        return {
            "times_ms": times_ms,
            "core_ms": core_ms,
            "energy_j": None if before_j is None or after_j is None else after_j - before_j,
            "clock_mhz": clock_mhz(),
            "peak_memory_bytes": peak_memory_bytes(),
        }


def open_timed(order: Order) -> tuple["Labeller", TimedSession | None]:
    """The labeller, and of an ONNX file the session inside it, with a clock on it."""
    from export.labellers import OnnxLabeller, load_labeller

    labeller = load_labeller(
        Path(order.labeller),
        threads=order.threads,
        device=order.device,
        votes=order.votes,
        steps=order.steps,
    )
    if not isinstance(labeller, OnnxLabeller):
        return labeller, None
    if order.size_px:
        labeller.height_px, labeller.width_px = order.size_px
    size_px = (labeller.height_px, labeller.width_px)
    session = put_clock_on(
        labeller.predictor.session,
        Path(order.labeller).read_bytes(),
        size_px,
        fixed=labeller.predictor.size_px is not None,
    )
    labeller.predictor.session = session  # type: ignore[assignment]
    return labeller, session


def main(argv: list[str]) -> int:
    """Open what `argv[0]` orders, as JSON, say so, and time it turn by turn until the input ends.

    One line on stderr and exit code 2 on an error. Standard output is for the answers alone: what
    libraries print goes to stderr.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        stopwatch = Stopwatch(Order(**json.loads(argv[0])))
        session = stopwatch.session
        facts = {"provider": session and session.provider, "onnx_px": session and session.size_px}
        print(json.dumps(facts), file=answers, flush=True)
        for line in sys.stdin:
            calls, seconds = json.loads(line)
            print(json.dumps(stopwatch.turn(calls, seconds)), file=answers, flush=True)
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
