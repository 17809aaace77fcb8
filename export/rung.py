"""One rung of the ladder: what was found of a form of the student, and whether that is near enough.

Float32 is judged by its worst pixels; every rung by the metrics that users read: how its scores
against the truth change, and how it scores against the rung above, as if that were the truth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.parity import ParityRow, worst_rows


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one rung may lose on the rung above it."""

    mean: float
    """Mean |difference| as a share of the range."""
    absrel: float
    """Mean relative difference of depth where neither says sky."""
    delta1: float
    """Share of pixels whose depth is off by a quarter or more."""
    mean_deg: float
    """Mean angle between the normals, in degrees."""
    miou: float
    """1 - mIoU of the segmentations."""
    lost: float
    """Share by which any metric against the truth may get worse."""


LIMITS = {
    "fp32": Limits(mean=1e-4, absrel=1e-4, delta1=1e-4, mean_deg=0.02, miou=2e-2, lost=5e-3),
    "fp16": Limits(mean=5e-3, absrel=5e-3, delta1=2e-3, mean_deg=0.5, miou=2e-2, lost=5e-3),
    "tf32": Limits(mean=5e-3, absrel=5e-3, delta1=2e-3, mean_deg=0.5, miou=2e-2, lost=5e-3),
    "int8": Limits(mean=0.1, absrel=0.1, delta1=0.1, mean_deg=5.0, miou=0.15, lost=5e-3),
    "int8_dynamic": Limits(mean=0.1, absrel=0.1, delta1=0.1, mean_deg=5.0, miou=0.15, lost=5e-3),
}
"""By precision; tf32 is what GPUs make of float32, with the mantissa of float16."""
LEAST_SCORE = {"absrel": 0.01, "mean_deg": 1.0, "delta1": 0.1, "miou": 0.1}
"""A score below this loses as much as if it were this: shares of almost nothing say nothing."""
JUDGED = {"depth": ("absrel", "delta1"), "normal": ("mean_deg",), "segment": ("miou",)}
HIGHER_IS_BETTER = ("delta1", "miou")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What was found of one step, against the one above it."""

    name: str
    top: str
    """Name of the one above"""
    precision: str
    rows: Sequence[ParityRow]
    dead: Sequence[str]
    above: Mapping[str, Mapping[str, float]]
    """Task -> metric -> score, the step above taken as the truth"""
    truth: Mapping[str, Mapping[str, float]]
    """Task -> metric -> score against the labels; empty without labels"""
    truth_above: Mapping[str, Mapping[str, float]]
    """The same of the step above"""
    photographs: int
    """Photographs that were scored"""
    suspect: str = ""
    """Of a rung that failed: where in the graph it went wrong, as far as that is known"""

    @property
    def failures(self) -> list[str]:
        """What is outside the limits of this precision, in words."""
        return [*self._dead(), *self._pixels(), *self._disagreements(), *self._losses()]

    @property
    def passed(self) -> bool:
        return not self.failures

    def describe(self) -> str:
        """One line: pixel by pixel, and in task metrics."""
        pixels = ", ".join(
            f"{name} {figures['worst']:.0e}" for name, figures in worst_rows(self.rows).items()
        )
        scores = ", ".join(
            f"{metric} {self.above[task][metric]:.4g}" for task, metric in _judged(self.above)
        )
        verdict = "agrees" if self.passed else "DISAGREES"
        sizes = len({(row.height_px, row.width_px) for row in self.rows})
        return (
            f"{self.name:<17} {verdict} with {self.top}; of the range, worst of {len(self.rows)} "
            f"comparisons at {sizes} size{'s' * (sizes > 1)}: {pixels}; on {self.photographs} "
            f"photographs: {scores}"
        )

    def failed_size(self) -> tuple[int, int] | None:
        """Height and width of the smallest picture whose pixels are too far off, if any is."""
        sizes = [(row.height_px, row.width_px) for row in self.rows if not row.passed]
        return min(sizes, key=math.prod, default=None)

    def summary(self) -> dict[str, Any]:
        """For the file's metadata."""
        return {
            "rung": self.name,
            "compared_with": self.top,
            "passed": self.passed,
            "photographs": self.photographs,
            "sizes_px": sorted({(row.height_px, row.width_px) for row in self.rows}),
            "batches": sorted({row.batch for row in self.rows}),
            "outputs": worst_rows(self.rows),
            "against_above": _rounded(self.above),
            "against_truth": _rounded(self.truth),
        }

    def _dead(self) -> list[str]:
        return [
            f"{name} hardly varies with the picture, so comparing it proves nothing: train first"
            for name in self.dead
        ]

    def _pixels(self) -> list[str]:
        if self.precision == "fp32":
            failed = [row for row in self.rows if not row.passed]
            worst = max(failed, key=lambda row: np.nan_to_num(row.worst, nan=np.inf), default=None)
            return [f"{worst} ({len(failed)} of {len(self.rows)} comparisons)"] if worst else []
        limit = LIMITS[self.precision].mean
        return [
            f"{name}: mean difference {figures['mean']:.1e} of the range (limit {limit:.0e})"
            for name, figures in worst_rows(self.rows).items()
            if name != "segment" and not figures["mean"] <= limit
        ]

    def _disagreements(self) -> list[str]:
        limits = LIMITS[self.precision]
        failed = []
        for task, metric in _judged(self.above):
            value, limit = self.above[task][metric], getattr(limits, metric)
            off = 1 - value if metric in HIGHER_IS_BETTER else value
            if not off <= limit:
                failed.append(
                    f"{task}: {metric} {value:.4g} against {self.top} (limit {limit:g} off)"
                )
        return failed

    def _losses(self) -> list[str]:
        limit, failed = LIMITS[self.precision].lost, []
        for task, metric in _judged(self.truth):
            before, after = self.truth_above[task][metric], self.truth[task][metric]
            worse = before - after if metric in HIGHER_IS_BETTER else after - before
            if not worse / max(before, LEAST_SCORE[metric]) <= limit:
                failed.append(
                    f"{task}: {metric} against the truth from {before:.4g} to {after:.4g} "
                    f"(limit {limit:.1%})"
                )
        return failed


def _judged(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    return [(task, metric) for task in JUDGED if task in scores for metric in JUDGED[task]]


def _rounded(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The judged metrics with three digits."""
    rounded: dict[str, dict[str, float]] = {}
    for task, metric in _judged(scores):
        rounded.setdefault(task, {})[metric] = float(f"{scores[task][metric]:.3g}")
    return rounded
