"""Boundary F1 of Depth Pro: how well the edges of a depth map lie where the truth has them.

An edge lies between two neighbours whose depths differ by more than a ratio t, and it has a
direction: which of the two is nearer. Precision and recall are counted for each of the four
directions and averaged, F1 is taken of these averages, and F1 over ten t from 1.05 to 1.25 is
averaged with weights proportional to t. Edges are not thinned, and must lie on the very same
pixels. Only ratios matter, so that the scale of depth does not; a shift does.

Source: apple/ml-depth-pro, src/depth_pro/eval/boundary_metrics.py, `SI_boundary_F1`; arXiv
2410.02073, section 3. One thing is added: a mask. There, a hole in the truth is clipped to 1e-6 m
and so becomes an edge all around. Another number is MoGe's `boundary_f1` (a neighbourhood of 1 to 3
pixels, all directions pooled, weights t - 1): the two do not compare.
"""

from collections.abc import Iterator

import numpy as np

from distill.metrics import FARTHEST_M

THRESHOLDS = np.linspace(1.05, 1.25, 10)
WEIGHTS = THRESHOLDS / THRESHOLDS.sum()
SMALLEST_M = 1e-6
"""Predictions below count as this deep, as in the source; NaN and inf count as 1000 m."""


def boundary_f1(
    pred_m: np.ndarray, true_m: np.ndarray, mask: np.ndarray | None = None
) -> float | None:
    """Scale-invariant boundary F1, 0..1; None when the truth has no edge, so none can be found.

    pred_m: (H, W) depth, > 0, never disparity; an affine prediction must be aligned first, as only
    a shift of 0 leaves ratios alone. true_m: (H, W) metres; NaN, inf or <= 0 = unknown. mask:
    (H, W), 0 where pixels must not count, or None. Neighbours count when both are known, so that
    neither holes nor sky have edges. Even a perfect prediction is below 1 where one of the four
    directions has no edge, or none that is steep enough for the larger t; as in the source.

    Raises ValueError when sizes differ.
    """
    mask = np.ones(true_m.shape, bool) if mask is None else mask.astype(bool)
    if not pred_m.shape == true_m.shape == mask.shape:
        raise ValueError(
            f"boundaries: prediction {pred_m.shape}, ground truth {true_m.shape} and mask "
            f"{mask.shape} must have one size"
        )
    known = mask & np.isfinite(true_m) & (true_m > 0)
    pairs = list(zip(_nearness_ratios(pred_m, known), _nearness_ratios(true_m, known)))
    if not any((true > THRESHOLDS[0]).any() for _, true in pairs):
        return None
    return float(sum(w * _f1(pairs, t) for t, w in zip(THRESHOLDS, WEIGHTS)))


def _nearness_ratios(depth_m: np.ndarray, known: np.ndarray) -> Iterator[np.ndarray]:
    """How many times nearer a pixel is than its neighbour, for each of the four: (pairs,) each."""
    depth_m = np.nan_to_num(depth_m.astype(np.float64), nan=FARTHEST_M, posinf=FARTHEST_M)
    nearness = 1 / depth_m.clip(SMALLEST_M)
    for near, known_near in ((nearness, known), (nearness.T, known.T)):
        both = known_near[:, 1:] & known_near[:, :-1]
        after, before = near[:, 1:][both], near[:, :-1][both]
        yield after / before
        yield before / after


def _f1(pairs: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> float:
    """F1 of mean precision and mean recall over the four directions."""
    precision = recall = 0.0
    for pred, true in pairs:
        found, wanted = pred > threshold, true > threshold
        hits = np.count_nonzero(found & wanted)
        precision += hits / max(np.count_nonzero(found), 1) / len(pairs)
        recall += hits / max(np.count_nonzero(wanted), 1) / len(pairs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
