"""Is the model still right on this machine, and how long does it take?

The outputs of golden photographs are those of the FP32 file where it was exported. Every precision
and every runtime is held against them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from .golden import GoldenPair, read_golden
from .predictor import Predictor
from .providers import Providers, short_name

WARM_UP_RUNS = 3
LEAST_DEPTH = 0.05
"""Metric students say no less (m); of affine depth, which begins at 0, less is compared to this."""


SKY_M = 100.0
"""Metric students say inf only from here on, and where the class is sky."""


@dataclass(frozen=True)
class Limit:
    """The most that the difference of a pixel may be, on average and at the 99.9th percentile."""

    mean: float
    p999: float


ANY = float("inf")
INT8: Mapping[str, Limit] = {
    "depth_m": Limit(0.05, ANY),
    "normal": Limit(3.0, ANY),
    "segment": Limit(0.05, ANY),
    "confidence": Limit(0.05, ANY),
}
LIMITS: Mapping[str, Mapping[str, Limit]] = {
    "fp32": {
        "depth_m": Limit(2e-4, 5e-3),
        "normal": Limit(0.02, 0.5),
        "segment": Limit(1e-3, ANY),
        "confidence": Limit(2e-4, 5e-3),
    },
    "fp16": {
        "depth_m": Limit(5e-3, 0.1),
        "normal": Limit(0.5, 10.0),
        "segment": Limit(1e-2, ANY),
        "confidence": Limit(5e-3, 0.05),
    },
    "int8": INT8,
    "int8_dynamic": INT8,
}
"""Precision -> output -> limits, in the units of UNITS.

A trained student of 0.9 M parameters comes, on a CPU, to a mean of 3e-8 (depth) and 7e-6 degrees
in fp32 of another graph, 1e-3 and 0.07 degrees in fp16, 3e-3 and 0.3 degrees in int8_dynamic."""
UNITS = {"depth_m": "relative", "normal": "degrees", "segment": "wrong", "confidence": "absolute"}


@dataclass(frozen=True, kw_only=True)
class OutputParity:
    """How near one output comes to what is stored, over all golden photographs."""

    output: str
    mean: float
    p999: float
    limit: Limit

    @property
    def passed(self) -> bool:
        """Within both limits; NaN is not."""
        return self.mean <= self.limit.mean and self.p999 <= self.limit.p999

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        mean = f"mean {self.mean:.1e} (limit {self.limit.mean:.0e})"
        p999 = f"p99.9 {self.p999:.1e} (limit {self.limit.p999:.0e})"
        parts = [mean] if self.limit.p999 == ANY else [mean, p999]
        return f"{self.output:<11} {', '.join(parts)} {UNITS[self.output]}  {verdict}"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Time of one photograph from uint8 to outputs, batch 1, in one process."""

    height_px: int
    width_px: int
    times_ms: Sequence[float]

    def __str__(self) -> str:
        p50, p90 = np.percentile(self.times_ms, [50, 90])
        return (
            f"latency at {self.width_px} x {self.height_px} px: min {min(self.times_ms):.1f} ms, "
            f"p50 {p50:.1f} ms, p90 {p90:.1f} ms (n={len(self.times_ms)})"
        )


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` found."""

    model: str
    provider: str
    precision: str
    replayed: int
    left_out: int
    """Golden photographs of a size that a file of fixed size does not take."""
    parity: Sequence[OutputParity]
    timing: Timing

    @property
    def passed(self) -> bool:
        """Whether every output is within its limits."""
        return all(row.passed for row in self.parity)

    def __str__(self) -> str:
        runtime = f"{self.provider}, onnxruntime {onnxruntime.__version__}"
        skipped = f" ({self.left_out} of other sizes left out)" if self.left_out else ""
        failed = ", ".join(row.output for row in self.parity if not row.passed)
        verdict = (
            f"passed: {self.replayed} golden photographs{skipped}"
            if self.passed
            else f"FAILED: {failed} is not what was exported; do not use this file on this machine"
        )
        rows = [f"  {row}" for row in (*self.parity, self.timing)]
        return "\n".join([f"{self.model}: {self.precision} on {runtime}", *rows, verdict])


def verify(
    model: Path,
    golden: Path,
    *,
    providers: Providers = "auto",
    engine_cache: Path | None = None,
    threads: int | None = None,
    runs: int = 30,
) -> Verification:
    """Replay the golden photographs of a folder, then time the first of them.

    Raises FileNotFoundError or ValueError as Predictor and read_golden do.
    """
    if runs < 1:
        raise ValueError(f"runs: {runs}, expected 1 or more")
    predictor = Predictor(model, threads=threads, providers=providers, engine_cache=engine_cache)
    precision = str(predictor.metadata.get("precision"))
    if precision not in LIMITS:
        raise ValueError(f"{model}: precision {precision!r}, expected one of {', '.join(LIMITS)}")
    pairs = read_golden(golden, predictor.metadata)
    taken = [pair for pair in pairs if takes(predictor, pair.photograph)]
    if not taken:
        raise ValueError(f"{golden}: no photograph of the size {predictor.size_px} px of {model}")
    return Verification(
        model=model.name,
        provider=short_name(predictor.session.get_providers()[0]),
        precision=precision,
        replayed=len(taken),
        left_out=len(pairs) - len(taken),
        parity=compare_pairs(predictor, taken, LIMITS[precision]),
        timing=time_photograph(predictor, taken[0].photograph, runs),
    )


def takes(predictor: Predictor, photograph: np.ndarray) -> bool:
    """Whether the file takes a photograph (H, W, 3) of this size."""
    return predictor.size_px in (None, photograph.shape[:2])


def compare_pairs(
    predictor: Predictor, pairs: Sequence[GoldenPair], limits: Mapping[str, Limit]
) -> list[OutputParity]:
    """One row for each output, over the pixels of all pairs."""
    found = [predictor(pair.photograph) for pair in pairs]
    rows = []
    for name in predictor.outputs:
        differences = np.concatenate(
            [
                DIFFERENCES[name](_stored(pair, name), getattr(prediction, name)).ravel()
                for pair, prediction in zip(pairs, found)
            ]
        )
        mean, p999 = float(differences.mean()), float(np.percentile(differences, 99.9))
        rows.append(OutputParity(output=name, mean=mean, p999=p999, limit=limits[name]))
    return rows


def _stored(pair: GoldenPair, name: str) -> np.ndarray:
    if name not in pair.outputs:
        raise ValueError(f"golden photograph {pair.name}: its .npz lacks {name}")
    return pair.outputs[name]


def depth_difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Relative to the depth. What only one of the two calls sky is taken as near as sky can be to
    the other: where the depth is about SKY_M, the last digit decides whether it is inf."""
    sky, called_sky = np.isposinf(expected), np.isposinf(found)
    truth = np.where(sky, np.maximum(found, SKY_M), expected)
    guess = np.where(called_sky, np.maximum(expected, SKY_M), found)
    truth, guess = (np.where(sky & called_sky, SKY_M, depth) for depth in (truth, guess))
    return np.abs(guess - truth) / np.maximum(np.abs(truth), LEAST_DEPTH)


def normal_difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Angle in degrees; by the chord, since an arc cosine is coarse near zero."""
    chord = np.linalg.norm(found.astype(np.float64) - expected, axis=-1)
    return np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))


def segment_difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """1 where the class is another."""
    return (expected != found).astype(np.float64)


def confidence_difference(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """As the values differ."""
    return np.abs(found.astype(np.float64) - expected)


DIFFERENCES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "depth_m": depth_difference,
    "normal": normal_difference,
    "segment": segment_difference,
    "confidence": confidence_difference,
}


def time_photograph(predictor: Predictor, photograph: np.ndarray, runs: int) -> Timing:
    """One photograph (H, W, 3), `runs` times after a warm-up."""
    for _ in range(WARM_UP_RUNS):
        predictor(photograph)
    times_ms = [_time_ms(predictor, photograph) for _ in range(runs)]
    return Timing(height_px=photograph.shape[0], width_px=photograph.shape[1], times_ms=times_ms)


def _time_ms(predictor: Predictor, photograph: np.ndarray) -> float:
    started = time.perf_counter()
    predictor(photograph)
    return (time.perf_counter() - started) * 1e3
