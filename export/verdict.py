"""Whether an INT8 file ships, with a reason that names what stands in the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.latency import Latency
from export.node_times import operator_shares
from export.sensitivity import Found, failures
from export.structure import PRODUCTS

LEAST_SPEEDUP = 1.05
"""Less is within what one measurement differs from the next."""
NAMED = 5
"""Nodes and operators that a reason names at most."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Both files, timed in turns."""

    fp32: Latency
    int8: Latency

    @property
    def speedup(self) -> float:
        """How many times as fast INT8 is, by onnxruntime's own time.

        By the fastest calls or by the medians, whichever says less.
        """
        before, after = _core_ms(self.fp32), _core_ms(self.int8)
        return min(fp32_ms / int8_ms for fp32_ms, int8_ms in zip(before, after))


def _core_ms(latency: Latency) -> tuple[float, float]:
    assert latency.core_min_ms is not None
    assert latency.core_p50_ms is not None
    return latency.core_min_ms, latency.core_p50_ms


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an INT8 file ships, and what was found."""

    ships: bool
    reason: str
    """One line for people"""
    nodes: int
    """Products that could be in INT8"""
    excluded: Sequence[str]
    """Those of them that had to stay float32 for the metrics' sake, the worst first"""
    speed: Speed | None
    """None where no file is near enough to be timed"""


def give_verdict(
    fp32: bytes,
    nodes: Sequence[str],
    found: Found,
    speed: Speed | None,
    photographs: np.ndarray,
) -> Verdict:
    """Judge what the search found. photographs: (N, H, W, 3) uint8, to see where time goes."""
    ships = speed is not None and speed.speedup >= LEAST_SPEEDUP
    if speed is None:
        reason = _too_far(found, nodes)
    elif ships:
        reason = _ships(found, nodes, speed)
    else:
        reason = _too_slow(speed, operator_shares(fp32, photographs[:1], speed.fp32.threads))
    return Verdict(
        ships=ships, reason=reason, nodes=len(nodes), excluded=tuple(found.excluded), speed=speed
    )


def _ships(found: Found, nodes: Sequence[str], speed: Speed) -> str:
    count = len(nodes) - len(found.excluded)
    kept = f"; float32 for accuracy: {_names(found.excluded)}" if found.excluded else ""
    return (
        f"{speed.speedup:.2f} times as fast as float32 on {_threads(speed)}, within tolerance, "
        f"{count} of {len(nodes)} products in INT8{kept}"
    )


def _too_far(found: Found, nodes: Sequence[str]) -> str:
    return (
        f"no choice of its {len(nodes)} products is within tolerance: {failures(found.rung)[0]} "
        f"with all of them in INT8; most damage alone: {_names(found.excluded)}"
    )


def _too_slow(speed: Speed, shares: dict[str, float]) -> str:
    """Products that cost nothing would still leave the rest: the limit that no INT8 can pass."""
    products = sum(shares.get(kind, 0.0) for kind in PRODUCTS)
    rest = [f"{kind} {share:.0%}" for kind, share in shares.items() if kind not in PRODUCTS]
    limit = f"{1 / (1 - products):.2f}" if products < 1 else "any number of"
    return (
        f"{speed.speedup:.2f} times as fast as float32 on {_threads(speed)}, less than "
        f"{LEAST_SPEEDUP}: products take {products:.0%} of float32's time, so that INT8 could be "
        f"at most {limit} times as fast; the rest is {', '.join(rest[:NAMED])}"
    )


def _threads(speed: Speed) -> str:
    count = speed.fp32.threads
    return f"{count} CPU thread{'s' if count > 1 else ''}"


def _names(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
    return ", ".join(nodes[:NAMED]) + more
