"""How long labellers take, each in a process of its own, in turns.

Thread pools of different runtimes disturb one another inside one process (onnxruntime's threads
spin while PyTorch works), so that each labeller gets a process (export.stopwatch). Several take
turns, so that a machine that grows slower or faster meanwhile does so for all of them. Timed is
what a user waits for: a uint8 photograph in memory goes in, decoded labels of every task come out.
"""

import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.gauges import load_average
from export.stopwatch import Order
from export.turns import RemoteStopwatch, Taken, take_turns

DOUBT = 0.01
"""Chance that a stated 99th percentile is too low."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A labeller that is to be timed."""

    path: Path
    """Teacher folder, student folder or ONNX file."""
    votes: int = 1
    """Paintings of each photograph that a teacher merges."""
    steps: int | None = None
    """Denoising steps of a teacher, in place of its own."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Wall-clock time of a call, with the circumstances that it was measured under."""

    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float | None
    """At most 1 % of calls take longer, with 99 % confidence; None for too few runs to say so."""
    core_min_ms: float | None
    """Of onnxruntime alone, without resizing before and decoding after; None for PyTorch."""
    core_p50_ms: float | None
    images_per_s: float
    n: int
    warmup: int
    batch: int
    height_px: int
    """Of the photographs."""
    width_px: int
    onnx_px: tuple[int, int] | None
    """Height and width at which an ONNX file ran; None for PyTorch."""
    threads: int
    provider: str | None
    """Of onnxruntime, such as CPUExecutionProvider; None for PyTorch."""
    load_average: float
    """Of the last minute, before the first call."""
    clock_mhz: float | None
    """Highest clock of any core, seen after each turn."""
    peak_memory_bytes: int
    """Largest resident set of the process: interpreter, libraries, weights and activations."""
    energy_j_per_image: float | None
    """Of processors and GPUs, other programs included; None where nothing counts it."""


def measure_latency(
    labeller: Path,
    photographs: np.ndarray,
    *,
    threads: int,
    batch: int = 1,
    votes: int = 1,
    steps: int | None = None,
    warmup: int = 3,
    runs: int = 100,
    seconds: float = 30.0,
) -> Latency:
    """Time one labeller; see measure_together."""
    timed = Timed(path=labeller, votes=votes, steps=steps)
    found = measure_together(
        {"": timed},
        photographs,
        threads=threads,
        batch=batch,
        warmup=warmup,
        runs=runs,
        seconds=seconds,
    )
    return found[""]


def measure_together(
    labellers: Mapping[str, Timed],
    photographs: np.ndarray,
    *,
    threads: int,
    batch: int = 1,
    size_px: tuple[int, int] | None = None,
    device: str = "cpu",
    warmup: int = 3,
    runs: int = 100,
    seconds: float = 30.0,
) -> dict[str, Latency]:
    """Name -> latency of each labeller, timed in turns, each in a fresh process.

    photographs: (N, H, W, 3) uint8, kept in memory by the processes before the clock starts.
    threads: of CPU operators. size_px: height and width at which ONNX files run, in place of those
    that they were trained at. device: "cpu", or "auto" for the fastest that onnxruntime starts.
    runs, seconds: calls of each labeller that are timed, or fewer when the time is up.
    Raises ValueError naming the labeller when its process fails.
    """
    load = load_average()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stored = Path(folder) / "photographs.npy"
        np.save(stored, photographs)
        orders = [
            Order(
                labeller=str(timed.path.resolve()),
                photographs=str(stored),
                threads=threads,
                batch=batch,
                votes=timed.votes,
                steps=timed.steps,
                warmup=warmup,
                size_px=size_px,
                device=device,
            )
            for timed in labellers.values()
        ]
        stopwatches = [stack.enter_context(RemoteStopwatch(order)) for order in orders]
        take_turns(stopwatches, runs, seconds)
    height_px, width_px = photographs.shape[1:3]
    return {
        name: summarise(stopwatch.taken, stopwatch.order, (height_px, width_px), load)
        for name, stopwatch in zip(labellers, stopwatches)
    }


def summarise(taken: Taken, order: Order, size_px: tuple[int, int], load: float) -> Latency:
    """Percentiles that are times of actual runs: the smallest one not exceeded by the share."""
    times_ms = np.array(taken.times_ms)
    p50, p90 = np.percentile(times_ms, [50, 90], method="inverted_cdf")
    return Latency(
        min_ms=float(times_ms.min()),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=tail_ms(times_ms, 0.99),
        core_min_ms=min(taken.core_ms, default=None),
        core_p50_ms=float(np.median(taken.core_ms)) if taken.core_ms else None,
        images_per_s=float(order.batch * 1000 * times_ms.size / times_ms.sum()),
        n=times_ms.size,
        warmup=order.warmup,
        batch=order.batch,
        height_px=size_px[0],
        width_px=size_px[1],
        onnx_px=taken.onnx_px,
        threads=order.threads,
        provider=taken.provider,
        load_average=load,
        clock_mhz=max(taken.clock_mhz, default=None),
        peak_memory_bytes=taken.peak_memory_bytes,
        energy_j_per_image=_energy_j_per_image(taken, order.batch),
    )


def _energy_j_per_image(taken: Taken, batch: int) -> float | None:
    """A counter that ran over within a turn seems to go backwards: that turn is left out."""
    turns = [joules for joules in taken.energy_j if joules is not None and joules >= 0]
    if len(turns) < len(taken.energy_j) or not turns:
        return None
    return sum(turns) / (len(taken.times_ms) * batch)


def tail_ms(times_ms: np.ndarray, share: float) -> float | None:
    """A time that, with 99 % confidence, at most 1 - share of all calls exceed; None if unknown.

    The rule of MLPerf Inference for runs that stop early: of n runs the t slowest may be passed
    over, where t is the largest count with P(Binomial(n, 1 - share) <= t) <= 1 %, and at least 1.
    For the 99th percentile that takes 662 runs, for the 90th 64.
    """
    count = times_ms.size
    chance = 0.0
    for slower in range(count):
        chance += _binomial(count, slower, 1 - share)
        if chance > DOUBT:
            return None if slower < 2 else float(np.sort(times_ms)[count - slower])
    return None


def _binomial(count: int, hits: int, chance: float) -> float:
    """Probability of so many hits."""
    ways = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return math.exp(ways + hits * math.log(chance) + (count - hits) * math.log1p(-chance))
