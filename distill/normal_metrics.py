"""Errors of surface normals under the two published protocols, which are never mixed.

"pooled" (DSINE, utils/utils.py): the errors of all pixels of all images are one population.
"per image" (Marigold, script/normals/eval.py): each image has its own statistics, and the score is
their mean over images.

Images with many known pixels weigh more in the first, and a mean of medians is no median: a table
that mixes the two compares nothing. Both leave out pixels by the length of the *true* vector (below
0.5 = unknown). A prediction without direction, zero or not finite, is 90 degrees off: to abstain
must not pay.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from distill.metrics import angles_deg

WITHIN_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)
STATISTICS = (
    "mean_deg",
    "median_deg",
    "rmse_deg",
    "within_5",
    "within_7_5",
    "within_11_25",
    "within_22_5",
    "within_30",
)
BINS_PER_DEG = 1000
"""Resolution of the histogram behind the pooled median: it is right to 0.0005 degrees."""


@dataclass(frozen=True, kw_only=True)
class NormalScores:
    """Angular errors in degrees, and shares (0 to 1) of errors strictly below an angle."""

    protocol: Literal["pooled", "per image"]
    images: int
    """with at least one known normal; others do not count"""
    mean_deg: float
    median_deg: float
    rmse_deg: float
    within_5: float
    within_7_5: float
    within_11_25: float
    within_22_5: float
    within_30: float


class PooledNormalMeter:
    """DSINE's protocol in constant memory, 1.4 MB however many pixels.

    All is exact but the median, which comes from a histogram of 1 / BINS_PER_DEG degrees.
    """

    def __init__(self) -> None:
        self._images = 0
        self._sum_deg = 0.0
        self._sum_squared = 0.0
        self._below = np.zeros(len(WITHIN_DEG), np.int64)
        self._bins = np.zeros(180 * BINS_PER_DEG + 1, np.int64)

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one image: (H, W, 3) twice, camera space, (0, 0, 0) = unknown.

        Predicted vectors need not be normalised. Raises ValueError when the shapes differ.
        """
        errors_deg = _errors_deg(pred, true)
        self._images += errors_deg.size > 0
        self._sum_deg += float(errors_deg.sum())
        self._sum_squared += float(errors_deg @ errors_deg)
        self._below += _counts_below(errors_deg)
        bins = (errors_deg * BINS_PER_DEG).astype(np.intp)
        self._bins += np.bincount(bins, minlength=self._bins.size)

    def result(self) -> NormalScores | None:
        """The scores; None before the first known normal."""
        pixels = int(self._bins.sum())
        if pixels == 0:
            return None
        mean_deg, rmse_deg = self._sum_deg / pixels, np.sqrt(self._sum_squared / pixels)
        row = [mean_deg, self._median_deg(pixels), rmse_deg, *(self._below / pixels)]
        return _scores("pooled", self._images, row)

    def _median_deg(self, pixels: int) -> float:
        """The middle error, or the mean of the two middle ones."""
        ranks = np.array([(pixels - 1) // 2, pixels // 2]) + 1
        middle = np.searchsorted(np.cumsum(self._bins), ranks)
        return float(middle.mean() + 0.5) / BINS_PER_DEG


class PerImageNormalMeter:
    """Marigold's protocol: means over images of each image's own, exact statistics.

    Each image counts once, however many of its pixels are known.
    """

    def __init__(self) -> None:
        self._rows: list[list[float]] = []

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one image; as PooledNormalMeter.update."""
        errors_deg = _errors_deg(pred, true)
        if errors_deg.size:
            rmse_deg = np.sqrt(np.mean(errors_deg**2))
            shares = _counts_below(errors_deg) / errors_deg.size
            self._rows.append([errors_deg.mean(), np.median(errors_deg), rmse_deg, *shares])

    def result(self) -> NormalScores | None:
        """The scores; None before the first known normal."""
        if not self._rows:
            return None
        return _scores("per image", len(self._rows), np.mean(self._rows, axis=0))


def _errors_deg(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N,) float64, where the truth is known."""
    if pred.shape != true.shape or true.shape[-1:] != (3,):
        raise ValueError(
            f"normals: expected (H, W, 3) twice, found {pred.shape} predicted for {true.shape}; "
            "bring the prediction to the size of the ground truth"
        )
    return angles_deg(pred, true)


def _counts_below(errors_deg: np.ndarray) -> np.ndarray:
    """(5,) how many errors are below each angle of WITHIN_DEG."""
    return np.array([np.count_nonzero(errors_deg < angle) for angle in WITHIN_DEG])


def _scores(
    protocol: Literal["pooled", "per image"], images: int, row: list[float] | np.ndarray
) -> NormalScores:
    """row: (8,) in the order of STATISTICS."""
    return NormalScores(protocol=protocol, images=images, **dict(zip(STATISTICS, map(float, row))))
