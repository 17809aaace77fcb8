"""What a confidence is worth: the risk-coverage curve, the area under it, and reliability.

Risk at a coverage c is the mean loss of the most certain share c of all pixels. Pixels that are
equally certain share their mean loss, so that no order among them is made up.
Source: Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017.
"""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Pixels in bins of equal width of their predicted probability."""

    predicted: np.ndarray
    """(bins,) mean predicted probability; NaN for an empty bin"""
    observed: np.ndarray
    """(bins,) share that was right; NaN for an empty bin"""
    share: np.ndarray
    """(bins,) share of all pixels"""

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of predicted from observed, over pixels."""
        return float(np.nansum(np.abs(self.predicted - self.observed) * self.share))


def risk_curve(confidence: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Mean loss of the 1, 2, ... N most certain pixels, (N,) float64.

    confidence, loss: (N,); any monotone measure of certainty serves.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    first = np.flatnonzero(np.diff(ordered, prepend=np.inf))
    sums = np.add.reduceat(loss[order], first, dtype=np.float64)
    counts = np.diff(first, append=len(order))
    return np.cumsum(np.repeat(sums / counts, counts)) / np.arange(1, len(order) + 1)


def area_under_risk(confidence: np.ndarray, loss: np.ndarray) -> float:
    """Mean of the risk over all coverages (AURC): 0 = no loss, loss.mean() = certainty is noise."""
    return float(risk_curve(confidence, loss).mean())


def risk_at(curve: np.ndarray, coverage: np.ndarray | float) -> np.ndarray:
    """Values of a risk curve at coverages in 0..1; at least one pixel is covered."""
    kept = np.rint(np.asarray(coverage) * len(curve)).astype(int).clip(1, len(curve))
    return curve[kept - 1]


def reliability(probability: np.ndarray, right: np.ndarray, bins: int = 15) -> Reliability:
    """Compare predicted probabilities (N,) with what was right (N,), 0 or 1, bin by bin."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted, observed = (
            np.bincount(place, weights=values, minlength=bins) / counts
            for values in (probability, right)
        )
    return Reliability(predicted, observed, counts / len(place))
