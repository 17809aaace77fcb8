"""What a suite keeps of each photograph: enough to score any choice of photographs again.

A tally is scored exactly over all photographs, by the code of the protocols, and approximately over
weighted ones, for bootstrap intervals and for single scenes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

import numpy as np

from distill.bootstrap import resampled_mean
from distill.metrics import angles_deg, confusion
from distill.normal_metrics import WITHIN_DEG, PerImageNormalMeter, PooledNormalMeter
from distill.segment_metrics import BoundaryMeter, SegmentMeter
from distill.tally import mean_iou

BINS_PER_DEG = 20
"""Of the histograms behind the interval of the pooled median angle."""
SHARES = tuple(f"within_{angle:g}".replace(".", "_") for angle in WITHIN_DEG)
"""Names of the shares of small angles, in the order of WITHIN_DEG."""


class Tally(Protocol):
    """Scores of one task under one protocol, photograph by photograph."""

    def __len__(self) -> int:
        """Photographs so far."""
        ...

    def scored(self) -> np.ndarray:
        """(n,) bool: which photographs had anything to score."""
        ...

    def result(self) -> dict[str, float]:
        """Metric -> value over all photographs; empty if there was nothing to score."""
        ...

    def resample(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metric -> (B,) values, for (B, n) weights of the photographs."""
        ...


class MeanTally:
    """Means over photographs of each one's own scores: depth, and normals per image."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, float] | None] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, scores: Mapping[str, float] | None) -> None:
        """Add one photograph: metric -> value (NaN = has none), None if it has nothing to score."""
        self._rows.append(scores)

    def scored(self) -> np.ndarray:
        return np.array([row is not None for row in self._rows], bool)

    def result(self) -> dict[str, float]:
        if not self.scored().any():
            return {}
        means = self.resample(np.ones((1, len(self))))
        return {name: float(v[0]) for name, v in means.items() if np.isfinite(v[0])}

    def resample(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        names = next(row for row in self._rows if row is not None)
        return {
            name: resampled_mean(weights, np.array([_value(row, name) for row in self._rows]))
            for name in names
        }


def _value(row: Mapping[str, float] | None, name: str) -> float:
    return np.nan if row is None else row[name]


def image_normals(pred: np.ndarray, true: np.ndarray) -> dict[str, float] | None:
    """The scores of one photograph's normals, for MeanTally; None if no normal is known."""
    image = PerImageNormalMeter()
    image.update(pred, true)
    found = image.result()
    if found is None:
        return None
    return {k: v for k, v in asdict(found).items() if isinstance(v, float)}


class PooledNormalTally:
    """Normals over all pixels of all photographs."""

    def __init__(self) -> None:
        self._all = PooledNormalMeter()
        self._rows: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one photograph, as PooledNormalMeter.update."""
        self._all.update(pred, true)
        errors_deg = angles_deg(pred, true)
        shares = [np.count_nonzero(errors_deg < angle) for angle in WITHIN_DEG]
        bins = (errors_deg * BINS_PER_DEG).astype(np.intp)
        sums = [errors_deg.size, errors_deg.sum(), errors_deg @ errors_deg, *shares]
        self._rows.append(np.append(sums, np.bincount(bins, minlength=180 * BINS_PER_DEG + 1)))

    def scored(self) -> np.ndarray:
        return np.array([row[0] > 0 for row in self._rows], bool)

    def result(self) -> dict[str, float]:
        found = self._all.result()
        fields = {} if found is None else asdict(found)
        return {k: v for k, v in fields.items() if isinstance(v, float)}

    def resample(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """As Tally.resample; the median is right to 1 / BINS_PER_DEG degrees."""
        count, total, squares, *rest = (weights @ np.array(self._rows)).T
        shares, bins = rest[: len(SHARES)], np.array(rest[len(SHARES) :])
        below_half = np.cumsum(bins, axis=0) < count / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "mean_deg": total / count,
                "median_deg": (below_half.sum(axis=0) + 0.5) / BINS_PER_DEG,
                "rmse_deg": np.sqrt(squares / count),
                **{name: share / count for name, share in zip(SHARES, shares)},
            }


class SegmentTally:
    """One confusion matrix over all photographs, and boundary IoU."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._all = SegmentMeter(classes)
        self._boundaries = BoundaryMeter(classes)
        self._rows: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one photograph, as SegmentMeter.update; ids in the order of `classes`."""
        self._all.update(pred, true)
        self._boundaries.update(pred, true)
        self._rows.append(confusion(pred, true, len(self.classes)))

    def scored(self) -> np.ndarray:
        return np.array([row.sum() > 0 for row in self._rows], bool)

    def result(self) -> dict[str, float]:
        found, boundaries = self._all.result(), self._boundaries.result()
        if found is None:
            return {}
        scores = {"miou": found.miou, "accuracy": found.accuracy, "undecodable": found.undecodable}
        return scores if boundaries is None else {**scores, "boundary_iou": boundaries.miou}

    def resample(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = np.tensordot(weights, np.stack(self._rows), axes=1)  # (B, C, C + 1)
        edges = np.tensordot(weights, np.stack(self._boundaries.image_sums), axes=1)  # (B, 3, C)
        hits, pixels = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "miou": mean_iou(hits, counts[:, :, :-1].sum(axis=1), counts.sum(axis=2)),
                "boundary_iou": mean_iou(*edges.swapaxes(0, 1)),
                "accuracy": hits.sum(axis=1) / pixels,
                "undecodable": counts[:, :, -1].sum(axis=1) / pixels,
            }
