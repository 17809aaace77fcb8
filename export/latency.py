"""Latency of one labeller, measured in a process of its own.

Thread pools of different runtimes disturb one another inside one process (onnxruntime's threads
spin while PyTorch works), so `measure_latency` spawns `python -m export.latency` for each labeller
and thread count. Timed is what a user waits for: a uint8 photograph in memory goes in, decoded
labels of every task come out.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
FEWEST_RUNS = 5
"""Timed even when they take longer than the time allowed."""


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """Time a labeller on photographs of one size."""

    labeller: Path
    """Teacher folder, student folder or ONNX file."""
    photographs: Path
    """.npy file of uint8 (N, H, W, 3) photographs; the runs go round through them."""
    out: Path
    """Where the result is written, as JSON."""
    threads: int = 1
    """CPU threads for the operators."""
    batch: int = 1
    """Photographs in one call."""
    warmup: int = 3
    """Calls that are not timed."""
    runs: int = 100
    """Calls that are timed."""
    seconds: float = 30.0
    """Stop after this time, once a few runs have been timed."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Wall-clock time of a call, with the circumstances that it was measured under."""

    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    """An observed time; close to the slowest one while `n` is under a thousand."""
    images_per_s: float
    n: int
    warmup: int
    batch: int
    height_px: int
    width_px: int
    threads: int
    load_average: float
    """Of the last minute, before the first call."""
    peak_memory_bytes: int
    """Largest resident set of the process: interpreter, libraries, weights and activations."""


def measure_latency(
    labeller: Path,
    photographs: np.ndarray,
    *,
    threads: int,
    batch: int = 1,
    warmup: int = 3,
    runs: int = 100,
    seconds: float = 30.0,
) -> Latency:
    """Time a labeller in a fresh process.

    photographs: (N, H, W, 3) uint8, kept in memory by the process before the clock starts.
    Raises ValueError naming the labeller when its process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        stored, out = Path(folder) / "photographs.npy", Path(folder) / "latency.json"
        np.save(stored, photographs)
        options = {
            "labeller": labeller.resolve(),
            "photographs": stored,
            "out": out,
            "threads": threads,
            "batch": batch,
            "warmup": warmup,
            "runs": runs,
            "seconds": seconds,
        }
        command = [sys.executable, "-m", "export.latency"]
        command += [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            command, env=_environment(threads), capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(
                f"{labeller}: timing failed with exit code {done.returncode}: {reason}"
            )
        return Latency(**json.loads(out.read_text()))


def _environment(threads: int) -> dict[str, str]:
    """This process's environment, with its thread count and the packages' place on the path."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": path}


def time_calls(call: Callable[[int], Any], config: LatencyConfig) -> np.ndarray:
    """Milliseconds of each timed `call(index)`, in order. (n,) float64"""
    for index in range(config.warmup):
        call(index)
    times_ms: list[float] = []
    began = time.perf_counter()
    while len(times_ms) < config.runs:
        start = time.perf_counter()
        call(len(times_ms))
        end = time.perf_counter()
        times_ms.append((end - start) * 1000)
        if end - began > config.seconds and len(times_ms) >= FEWEST_RUNS:
            break
    return np.array(times_ms)


def summarise(
    times_ms: np.ndarray, config: LatencyConfig, size_px: tuple[int, int], load_average: float
) -> Latency:
    """Percentiles that are times of actual runs: the smallest one not exceeded by the share."""
    p50, p90, p99 = np.percentile(times_ms, [50, 90, 99], method="inverted_cdf")
    return Latency(
        min_ms=float(times_ms.min()),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        images_per_s=float(config.batch * 1000 * times_ms.size / times_ms.sum()),
        n=int(times_ms.size),
        warmup=config.warmup,
        batch=config.batch,
        height_px=size_px[0],
        width_px=size_px[1],
        threads=config.threads,
        load_average=load_average,
        peak_memory_bytes=peak_memory(),
    )


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes.

    Linux keeps the maximum of getrusage across exec, and with it that of the process that spawned
    this one; the high-water mark of /proc is this program's own.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_measurement(config: LatencyConfig) -> Latency:
    """Load the labeller into this process and time it."""
    from export.labellers import load_labeller

    load_average = os.getloadavg()[0]
    photographs = np.load(config.photographs)
    labeller = load_labeller(config.labeller, threads=config.threads)
    order = np.arange(config.batch)

    def call(index: int) -> None:
        labeller.predict(photographs[(index * config.batch + order) % len(photographs)])

    times_ms = time_calls(call, config)
    return summarise(times_ms, config, photographs.shape[1:3], load_average)


def main(argv: list[str]) -> int:
    """Entry point of the measuring process: one line on stderr and exit code 2 on an error."""
    from teacher.arguments import parse_arguments

    config = parse_arguments(LatencyConfig, argv, prog="python -m export.latency")
    try:
        latency = run_measurement(config)
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    config.out.write_text(json.dumps(asdict(latency), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
