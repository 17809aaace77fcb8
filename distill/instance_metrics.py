"""Instances of a phrase as SA-Co scores them: pmF1 (are the masks right), IL_MCC (is the phrase
there at all), and their product cgF1.

Source: facebookresearch/sam3, sam3/eval/cgf1_eval.py. One "pair" is an image with one noun phrase.
Masks are matched one to one so that the *sum of IoUs* is largest, before any threshold: a match of
0.51 can be given up for two of 0.4, so greedy matching, or matching above each threshold, counts
more. What the official code does besides lies with the caller: it drops predictions with a
score below 0.5 and pairs whose annotation is not exhaustive. Published figures are times 100.
"""

from dataclasses import dataclass

import numpy as np

from distill.assignment import best_pairs
from teacher.sample import IGNORE_ID_16

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
COUNT_EPS = 1e-4
"""Against division by zero, as the official code has it: the F1 of ten perfect masks is 0.99994."""
MCC_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class InstanceScores:
    """Means over the IoU thresholds 0.50, 0.55, ..., 0.95, unless they name one."""

    protocol: str = "SA-Co (cgf1_eval)"
    pairs: int
    negatives: int
    """pairs whose phrase has no instance"""
    cgf1: float
    """pmf1 times il_mcc"""
    il_mcc: float
    """Matthews correlation of "predicted any" with "there is any"; 0 for a set without negatives"""
    pmf1: float
    """F1 of masks over all pairs, false alarms of negatives left out"""
    pmf1_50: float
    pmf1_75: float


class InstanceMeter:
    """Sums up pairs of an image and a phrase."""

    def __init__(self) -> None:
        self._pairs = np.zeros((2, 2), np.int64)  # is there any, was any predicted
        self._hits = np.zeros(len(IOU_THRESHOLDS), np.int64)
        self._misses = self._hits.copy()
        self._false_alarms = self._hits.copy()  # of positives

    def update(self, pred: np.ndarray, *truths: np.ndarray) -> None:
        """Add one pair.

        Each is an (H, W) map of integer ids, 0 = no instance (teacher.palette.decode_instances),
        or an (n, H, W) stack of bool masks, which may overlap. In a true map, 65535 = ignore: such
        pixels are taken out of both. Of several true annotations (SA-Co/Gold has three), the one
        that suits the prediction best counts.

        Raises ValueError for another shape or type.
        """
        if not truths:
            raise ValueError("instances: expected at least one true annotation, found none")
        match = max((_match(*_masks(pred, true)) for true in truths), key=_quality)
        self._pairs[int(match.true > 0), int(match.predicted > 0)] += 1
        if match.true:
            self._hits += match.hits
            self._misses += match.true - match.hits
            self._false_alarms += match.predicted - match.hits

    def result(self) -> InstanceScores | None:
        """The scores; None before the first pair."""
        if not self._pairs.any():
            return None
        f1 = _f1(self._hits, self._false_alarms, self._misses)
        il_mcc = _matthews(self._pairs)
        return InstanceScores(
            pairs=int(self._pairs.sum()),
            negatives=int(self._pairs[0].sum()),
            cgf1=float(f1.mean()) * il_mcc,
            il_mcc=il_mcc,
            pmf1=float(f1.mean()),
            pmf1_50=float(f1[0]),
            pmf1_75=float(f1[5]),
        )


@dataclass(frozen=True)
class _Match:
    """Masks of one pair."""

    predicted: int
    true: int
    hits: np.ndarray
    """(10,) matches at each IoU threshold"""


def mask_iou(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of each mask with each: (n, P), (m, P) bool -> (n, m) float64; 0 if both are empty."""
    both = np.array([true[:, mask].sum(axis=1) for mask in pred]).reshape(len(pred), len(true))
    union = pred.sum(axis=1)[:, None] + true.sum(axis=1) - both
    return both / np.maximum(union, 1)


def _match(pred: np.ndarray, true: np.ndarray) -> _Match:
    """pred (n, P), true (m, P) bool masks."""
    iou = mask_iou(pred, true)
    hits = (iou[best_pairs(iou)] >= IOU_THRESHOLDS[:, None]).sum(axis=1)
    return _Match(len(pred), len(true), hits)


def _quality(match: _Match) -> float:
    """Of several annotations the best counts: mean F1, above it "none there and none found"."""
    if match.predicted == match.true == 0:
        return np.inf
    misses, false_alarms = match.true - match.hits, match.predicted - match.hits
    return float(_f1(match.hits, false_alarms, misses).mean())


def _masks(pred: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as (n, P) bool, over the P pixels that are not ignored."""
    for plane in (pred, true):
        if plane.ndim != (3 if plane.dtype == np.bool_ else 2) or plane.dtype.kind not in "iub":
            raise ValueError(
                "instances: expected an integer map (H, W) or a bool stack (n, H, W), "
                f"found {plane.dtype} {plane.shape}"
            )
    if pred.shape[-2:] != true.shape[-2:]:
        raise ValueError(
            f"instances: {pred.shape[-2:]} pixels predicted for {true.shape[-2:]} true ones"
        )
    counted = true != IGNORE_ID_16 if true.ndim == 2 else np.ones(true.shape[1:], bool)
    return _stack(pred[..., counted]), _stack(true[..., counted])


def _stack(pixels: np.ndarray) -> np.ndarray:
    """Ids (P,) as masks (n, P); masks stay as they are."""
    if pixels.ndim == 2:
        return pixels
    ids = np.unique(pixels)
    return pixels == ids[ids != 0][:, None]


def _f1(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """With the official terms against a division by zero."""
    precision = hits / (hits + false_alarms + COUNT_EPS)
    recall = hits / (hits + misses + COUNT_EPS)
    return 2 * precision * recall / (precision + recall + COUNT_EPS)


def _matthews(table: np.ndarray) -> float:
    """Correlation of the two sides of a 2 x 2 table of counts."""
    (passed, alarms), (missed, hits) = table.astype(np.float64)
    spread = np.sqrt(np.prod([*table.sum(axis=0), *table.sum(axis=1)], dtype=np.float64))
    return float((hits * passed - alarms * missed) / (spread + MCC_EPS))
