"""How much better a labeller is where it says that it is sure: risk against coverage.

A confidence is of use when the errors fall as the least certain pixels are left out. Source of the
idea: Geifman and El-Yaniv 2017, selective classification.
"""

import numpy as np

from teacher.sample import TASKS, Labels

COVERAGES = (0.9, 0.8)
"""Shares of each photograph's pixels that are scored, besides all of them."""


def surest(confidence: np.ndarray, truth: Labels, share: float) -> dict[str, np.ndarray]:
    """Task -> (H, W) bool: the surest share of the pixels of which the truth is known.

    confidence: (H, W, 3), in the order of TASKS, at the truth's size. Pixels as sure as the last
    one are kept too, so that a confidence that is the same everywhere keeps everything.
    """
    masks = {}
    for task, known in _known(truth).items():
        sure = confidence[..., TASKS.index(task)]
        least = np.quantile(sure[known], 1 - share, method="lower") if known.any() else 0.0
        masks[task] = known & (sure >= least)
    return masks


def _known(truth: Labels) -> dict[str, np.ndarray]:
    """Task -> (H, W) bool: what is scored; sky has no depth."""
    known = {}
    if truth.depth_m is not None:
        known["depth"] = np.isfinite(truth.depth_m)
    if truth.normal is not None:
        known["normal"] = truth.normal.any(axis=-1)
    if truth.segment is not None:
        known["segment"] = truth.segment != truth.ignore_id
    return known
