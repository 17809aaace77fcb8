"""What is kept of each photograph's scores: enough to draw the photographs again, many times.

Scores are sums over photographs (or over all their pixels), so a bootstrap resample is a weighted
sum. Every labeller is weighted alike, which makes the intervals of their ratios paired ones.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from distill.bootstrap import Resampled, resampled_mean
from distill.metrics import (
    CLOSE_DEG,
    Prediction,
    Scores,
    angles_deg,
    confusion,
    depth_scores,
)
from teacher.sample import Labels, Record

DEPTH_KEYS = ("delta1", "absrel", "median_absrel", "rmse_m")
BINS_PER_DEG = 4
"""Of the histograms behind the interval of the median angle."""
HEADLINES = {"depth": "delta1", "normal": "mean_deg", "segment": "miou"}
"""Task -> the metric by which retention and agreement are stated."""
LOWER_IS_BETTER = ("mean_deg",)


class Tally:
    """Statistics of one labeller against one set of labels, image by image."""

    def __init__(self) -> None:
        self.scores = Scores()
        self._depth: list[list[float]] = []
        self._angles: list[np.ndarray] = []
        self._angle_bins: list[np.ndarray] = []
        self._confusion: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._depth)

    def update(self, pred: Prediction, truth: Labels) -> None:
        """Add one image; class ids must be in the order of the truth (see in_classes).

        Raises ValueError when sizes or class names do not match.
        """
        self.scores.update(pred, truth)
        self._depth.append(_depth_row(pred, truth))
        angles_deg = _angles_deg(pred, truth)
        self._angles.append(_angle_sums(angles_deg))
        self._angle_bins.append(_angle_histogram(angles_deg))
        self._confusion.append(_confusion_row(pred, truth))

    def result(self) -> dict[str, dict]:
        """Task -> metric -> value over all images."""
        return self.scores.result()

    def per_image(self, task: str) -> np.ndarray:
        """(n,) how well each image was done: delta1, mean angle in degrees, or pixel accuracy."""
        with np.errstate(invalid="ignore"):
            if task == "depth":
                return np.array(self._depth)[:, 0]
            if task == "normal":
                angles = np.stack(self._angles)
                return angles[:, 1] / angles[:, 0]
            hits = np.array([np.trace(counts[:, :-1]) for counts in self._confusion])
            return hits / np.array([counts.sum() for counts in self._confusion])

    def resample(self, weights: np.ndarray) -> Resampled:
        """The scores of weighted sums of the images.

        weights: (B, n), how often each image was drawn. With weights of one they equal result(),
        but for the median angle, which is read between the bounds of a quarter of a degree.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "depth": _resample_depth(weights, np.array(self._depth)),
                "normal": _resample_normal(
                    weights, np.stack(self._angles), np.stack(self._angle_bins)
                ),
                "segment": _resample_segment(weights, np.stack(self._confusion)),
            }
        return {task: found[task] for task in self.result()}


def _depth_row(pred: Prediction, truth: Labels) -> list[float]:
    scores = None
    if pred.depth_m is not None and truth.depth_m is not None:
        scores = depth_scores(pred.depth_m, truth.depth_m)
    return [scores[key] for key in DEPTH_KEYS] if scores else [np.nan] * len(DEPTH_KEYS)


def _angles_deg(pred: Prediction, truth: Labels) -> np.ndarray:
    """(N,) errors of the normals that are known; none where one side has no normals."""
    if pred.normal is None or truth.normal is None:
        return np.zeros(0)
    return angles_deg(pred.normal, truth.normal)


def _angle_sums(angles: np.ndarray) -> np.ndarray:
    """Count, sum in degrees, count of small ones."""
    return np.array([angles.size, angles.sum(), (angles < CLOSE_DEG).sum()], np.float64)


def _angle_histogram(angles: np.ndarray) -> np.ndarray:
    """Counts, half as large as in float64 and exact up to 16 million pixels."""
    bins = (angles * BINS_PER_DEG).astype(np.intp)
    return np.bincount(bins, minlength=180 * BINS_PER_DEG + 1).astype(np.float32)


def _confusion_row(pred: Prediction, truth: Labels) -> np.ndarray:
    classes = len(truth.classes)
    if pred.segment is None or truth.segment is None:
        return np.zeros((classes, classes + 1), np.int64)
    return confusion(pred.segment, truth.segment, classes)


def _resample_depth(weights: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(DEPTH_KEYS, resampled_mean(weights, rows).T))


def _resample_normal(
    weights: np.ndarray, rows: np.ndarray, bins: np.ndarray
) -> dict[str, np.ndarray]:
    sums = weights @ rows
    count = sums[:, 0]
    return {
        "mean_deg": sums[:, 1] / count,
        "median_deg": _median_deg(weights @ bins),
        "within_11_25": sums[:, 2] / count,
    }


def _median_deg(bins: np.ndarray) -> np.ndarray:
    """(B,) medians from (B, bins) counts: where the cumulative count passes the half of all."""
    passed = np.cumsum(bins, axis=1)
    half = passed[:, -1:] / 2
    index = (passed < half).sum(axis=1, keepdims=True)
    inside = np.take_along_axis(bins, index, axis=1)
    before = np.take_along_axis(passed, index, axis=1) - inside
    return (index + (half - before) / inside)[:, 0] / BINS_PER_DEG


def _resample_segment(weights: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    counts = np.tensordot(weights, rows, axes=1)  # (B, C, C + 1)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    return {
        "miou": mean_iou(hits, counts[:, :, :-1].sum(axis=1), counts.sum(axis=2)),
        "accuracy": hits.sum(axis=1) / counts.sum(axis=(1, 2)),
    }


def mean_iou(both: np.ndarray, pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(B,) means over the classes that are true or predicted, from (B, C) sums of pixels."""
    union = pred + true - both
    seen = union > 0
    return np.where(seen, both / np.maximum(union, 1), 0.0).sum(axis=1) / seen.sum(axis=1)


def headlines(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Task -> the one metric that stands for it: delta1, mean angle in degrees, mIoU."""
    return {task: scores[task][metric] for task, metric in HEADLINES.items() if task in scores}


def retention(
    teacher: Mapping[str, Mapping[str, np.ndarray]], student: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Task -> the student's share of the teacher's quality, one value for each resample.

    The ratio student / teacher of delta1 and of mIoU; teacher / student of the mean angle. NaN
    where the teacher has none.
    """
    shares = {}
    for task, metric in HEADLINES.items():
        if task in teacher and task in student:
            taught, learned = teacher[task][metric], student[task][metric]
            if metric in LOWER_IS_BETTER:
                taught, learned = learned, taught
            with np.errstate(invalid="ignore", divide="ignore"):
                shares[task] = np.asarray(learned) / np.where(taught == 0, np.nan, taught)
    return shares


def in_classes(prediction: Prediction, classes: tuple[str, ...]) -> Prediction:
    """The prediction with its class ids in the order of `classes`.

    An id without a name becomes len(classes), which is no class. Raises ValueError when the names
    are not the same.
    """
    names = prediction.classes
    if prediction.segment is None or names == classes:
        return prediction
    if set(names) != set(classes):
        raise ValueError(
            f"class names differ: predictions have {list(names)}, expected {list(classes)}; only "
            "labellers of the same classes can be compared"
        )
    table = np.array([classes.index(name) for name in names] + [len(classes)], np.uint16)
    segment = table[np.minimum(prediction.segment, len(names))]
    return replace(prediction, segment=segment, classes=classes)


def as_labels(prediction: Prediction, record: Record) -> Labels:
    """A prediction in the part of the truth, to measure how far another one agrees with it."""
    segment = prediction.segment
    return Labels(
        depth_m=prediction.depth_m,
        depth_kind=None if prediction.depth_m is None else "metric",
        normal=prediction.normal,
        segment=None if segment is None else segment.astype(_id_type(prediction.classes)),
        classes=prediction.classes if segment is not None else (),
        record=record,
    )


def _id_type(classes: tuple[str, ...]) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if len(classes) <= 255 else np.uint16
