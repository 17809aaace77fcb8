"""How sure a whole label is, as one number: relabelling selects by it, the viewer sorts by it."""

import numpy as np

from teacher.sample import CONFIDENCE_STRIDE, TASKS, Labels


def task_confidence(labels: Labels) -> dict[str, float]:
    """Task -> mean confidence of its known pixels, 0..1; 0 where no pixel is known.

    A stored value is the mean over a block in which unknown pixels count as 0, so that the blocks,
    weighed by their pixels, add up to the sum over the known ones.
    Raises ValueError when the label has no confidence.
    """
    if labels.confidence is None:
        raise ValueError("the label has no confidence.png")
    height, width = labels.size
    sums = labels.confidence.repeat(CONFIDENCE_STRIDE, 0).repeat(CONFIDENCE_STRIDE, 1)
    totals = sums[:height, :width].sum(axis=(0, 1), dtype=np.float64) / 255
    counts = known_pixels(labels)
    return {
        task: min(1.0, float(totals[TASKS.index(task)]) / counts[task]) if counts[task] else 0.0
        for task in labels.tasks
    }


def mean_confidence(labels: Labels) -> float:
    """The mean of task_confidence over the tasks: each counts as much as any other."""
    return float(np.mean(list(task_confidence(labels).values())))


def known_pixels(labels: Labels) -> dict[str, int]:
    """Task -> number of its pixels that have a label; sky has one."""
    known = {}
    if labels.depth_m is not None:
        known["depth"] = ~np.isnan(labels.depth_m)
    if labels.normal is not None:
        known["normal"] = labels.normal.any(axis=-1)
    if labels.segment is not None:
        known["segment"] = labels.segment != labels.ignore_id
    return {task: int(np.count_nonzero(mask)) for task, mask in known.items()}
