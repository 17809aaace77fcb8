"""Referring segmentation: one expression, one mask. gIoU and cIoU, two averages of the same masks.

gIoU: mean over expressions of each one's IoU. It has nothing to do with the "generalised IoU" of
boxes. cIoU (overall, cumulative): sum of all intersections over sum of all unions; large objects
rule it. RefCOCO is reported in cIoU, ReasonSeg in gIoU; LISA's training log writes both under the
name val/giou.

Source: LISA, train_ds.py, `validate`; ReLA's gRefCOCO evaluation, with "no target" read off an
empty mask, agrees. LISA adds 1e-5 to each union; that moves gIoU by less than 1e-5 and is left out.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ReferringScores:
    """IoU of masks, 0 to 1, with and without the expressions that refer to nothing."""

    protocol: str = "LISA: an empty target that is predicted empty has IoU 1, otherwise 0"
    expressions: int
    empty_targets: int
    """expressions whose true mask is empty"""
    empty_found: int
    """of those, how many were predicted empty"""
    giou: float
    """over all expressions: an empty target scores 1 or 0"""
    ciou: float | None
    """over all expressions: what is painted for an empty target grows the union; None if all are
    empty and predicted so"""
    giou_with_target: float | None
    """over expressions with a target; None without any"""
    ciou_with_target: float | None
    """over expressions with a target; None without any"""


class ReferringMeter:
    """Sums up masks, expression by expression."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, bool]] = []  # intersection, union, empty target

    def update(self, pred: np.ndarray, true: np.ndarray, counted: np.ndarray | None = None) -> None:
        """Add one expression.

        pred, true: (H, W) bool masks. counted: (H, W) bool, pixels that count; ReasonSeg has a
        zone around objects that does not. Raises ValueError for another shape or type.
        """
        masks = [pred, true] if counted is None else [pred, true, counted]
        if any(mask.shape != true.shape or mask.dtype != np.bool_ for mask in masks):
            found = ", ".join(f"{mask.dtype} {mask.shape}" for mask in masks)
            raise ValueError(f"referring: expected bool masks (H, W) of one size, found {found}")
        if counted is not None:
            pred, true = pred & counted, true & counted
        intersection, union = int((pred & true).sum()), int((pred | true).sum())
        self._rows.append((intersection, union, not true.any()))

    def result(self) -> ReferringScores | None:
        """The scores; None before the first expression."""
        if not self._rows:
            return None
        intersection, union, empty = np.array(self._rows).T
        empty = empty.astype(bool)
        with_target = intersection[~empty], union[~empty]
        return ReferringScores(
            expressions=len(self._rows),
            empty_targets=int(empty.sum()),
            empty_found=int((union == 0).sum()),
            giou=_giou(intersection, union),
            ciou=_ciou(intersection, union),
            giou_with_target=None if empty.all() else _giou(*with_target),
            ciou_with_target=_ciou(*with_target),
        )


def _giou(intersection: np.ndarray, union: np.ndarray) -> float:
    return float(np.where(union == 0, 1.0, intersection / np.maximum(union, 1)).mean())


def _ciou(intersection: np.ndarray, union: np.ndarray) -> float | None:
    return float(intersection.sum() / union.sum()) if union.any() else None
