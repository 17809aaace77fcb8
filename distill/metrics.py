"""How well a prediction agrees with labels: depth, normals and segmentation, without any alignment.

Depth is scored per image and averaged over images; normals are pooled over all pixels of all
images (DSINE's protocol); segmentation is one confusion matrix over all pixels (mIoU's usual form).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

FARTHEST_M = 1000.0
"""A predicted depth that is not finite counts as this far; none counts as farther."""
NEAREST_M = 1e-3
"""No predicted depth counts as nearer than this."""
DELTA1_RATIO = 1.25
CLOSE_DEG = 11.25
BINS_PER_DEG = 100
"""Resolution of the histogram that gives the median angle in constant memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a labeller says of one photograph; None for a task that it does not do."""

    depth_m: np.ndarray | None = None
    """(H, W) float32 metres along the optical axis; inf = sky, NaN = unknown"""
    affine_depth: np.ndarray | None = None
    """in place of depth_m: (H, W) float32 depth with an unknown scale and shift, larger = farther;
    it has to be aligned before it is scored"""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors, +x right, +y up, +z towards the camera"""
    segment: np.ndarray | None = None
    """(H, W) integer class ids"""
    classes: tuple[str, ...] = ()
    """names of the classes; id = index"""
    confidence: np.ndarray | None = None
    """(H, W, 3) float32, 0..1, how sure each task is in the order depth, normal, segment (0 where
    it has none); of any size, a quarter of the others' as labels store it"""


class Truth(Protocol):
    """What predictions are scored against: `teacher.sample.Labels`, or anything that looks so."""

    @property
    def depth_m(self) -> np.ndarray | None: ...
    @property
    def depth_kind(self) -> str | None: ...
    @property
    def normal(self) -> np.ndarray | None: ...
    @property
    def segment(self) -> np.ndarray | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


def depth_scores(pred_m: np.ndarray, true_m: np.ndarray) -> dict[str, float] | None:
    """Depth metrics of one image, in metres, without alignment of scale or shift.

    true_m: (H, W); pixels that are finite and > 0 count (sky and unknown do not). pred_m: (H, W);
    values outside 1 mm to 1000 m, infinite and NaN ones included, are moved to those bounds
    (NaN to the far one). Returns delta1 (share of pixels whose ratio to the truth, or its inverse,
    is below 1.25), absrel (mean of |p - t| / t), median_absrel (its median), rmse_m; None when no
    pixel counts.
    """
    valid = np.isfinite(true_m) & (true_m > 0)
    if not valid.any():
        return None
    true = true_m[valid].astype(np.float64)
    pred = np.nan_to_num(pred_m[valid].astype(np.float64), nan=FARTHEST_M, posinf=FARTHEST_M)
    pred = pred.clip(NEAREST_M, FARTHEST_M)
    relative = np.abs(pred - true) / true
    return {
        "delta1": float(np.mean(np.maximum(pred / true, true / pred) < DELTA1_RATIO)),
        "absrel": float(relative.mean()),
        "median_absrel": float(np.median(relative)),
        "rmse_m": float(np.sqrt(np.mean((pred - true) ** 2))),
    }


def angles_deg(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angles between normals where the truth is known: (H, W, 3) twice -> (N,) in degrees.

    Predicted vectors are normalised; one that is zero or not finite counts as 90 degrees off.
    """
    known = np.linalg.norm(true, axis=-1) > 0.5
    p, t = pred[known].astype(np.float64), true[known].astype(np.float64)
    lengths = np.linalg.norm(p, axis=-1) * np.linalg.norm(t, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.nan_to_num((p * t).sum(-1) / lengths, nan=0.0, posinf=0.0, neginf=0.0)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def confusion(pred: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Counts of (true class, predicted class): (classes, classes) int64.

    True ids that are no class (ignore) do not count; a predicted id that is no class is wrong,
    and fills the last column: (classes, classes + 1).
    """
    valid = true < classes
    t = true[valid].astype(np.int64)
    p = np.minimum(pred[valid].astype(np.int64), classes)
    return np.bincount(t * (classes + 1) + p, minlength=classes * (classes + 1)).reshape(
        classes, classes + 1
    )


class Scores:
    """Sums up predictions against labels, image by image, in constant memory.

    Protocol: no alignment and no test-time augmentation; depth means are over images, normals over
    pixels, segmentation over one confusion matrix, mIoU over the classes that occur in the truth or
    in the predictions. What a labeller does not predict, or a label does not hold, is left out.
    """

    def __init__(self) -> None:
        self.images = 0
        self._depth: list[dict[str, float]] = []
        self._angle_bins = np.zeros(180 * BINS_PER_DEG + 1, np.int64)
        self._angle_sum_deg = 0.0
        self._close = 0
        self._classes: tuple[str, ...] = ()
        self._confusion = np.zeros((0, 1), np.int64)

    def update(self, pred: Prediction, truth: Truth) -> None:
        """Add one image. Raises ValueError when sizes or class names do not match."""
        self.images += 1
        if pred.depth_m is not None and truth.depth_m is not None:
            _check_size("depth_m", pred.depth_m.shape, truth.depth_m.shape)
            self._update_depth(pred.depth_m, truth.depth_m, truth.depth_kind)
        if pred.normal is not None and truth.normal is not None:
            _check_size("normal", pred.normal.shape, truth.normal.shape)
            self._update_normal(angles_deg(pred.normal, truth.normal))
        if pred.segment is not None and truth.segment is not None:
            _check_size("segment", pred.segment.shape, truth.segment.shape)
            self._update_segment(pred.segment, pred.classes, truth.segment, truth.classes)

    def _update_depth(self, pred_m: np.ndarray, true_m: np.ndarray, kind: str | None) -> None:
        if kind != "metric":
            raise ValueError(
                f"depth is scored in metres, but these labels are {kind}: evaluate on metric "
                "labels, or on the other tasks"
            )
        scores = depth_scores(pred_m, true_m)
        if scores is not None:
            self._depth.append(scores)

    def _update_normal(self, error_deg: np.ndarray) -> None:
        self._angle_sum_deg += float(error_deg.sum())
        self._close += int((error_deg < CLOSE_DEG).sum())
        bins = (error_deg * BINS_PER_DEG).astype(np.int64)
        self._angle_bins += np.bincount(bins, minlength=len(self._angle_bins))

    def _update_segment(
        self,
        pred: np.ndarray,
        pred_classes: tuple[str, ...],
        true: np.ndarray,
        classes: tuple[str, ...],
    ) -> None:
        if not self._classes:
            self._classes = classes
            self._confusion = np.zeros((len(classes), len(classes) + 1), np.int64)
        if classes != self._classes:
            raise ValueError(f"labels name the classes {classes}, earlier ones {self._classes}")
        matched = _renumber(pred, pred_classes, classes)
        self._confusion += confusion(matched, true, len(classes))

    def merge(self, other: "Scores") -> None:
        """Add the images of another sum, such as that of another process."""
        self.images += other.images
        self._depth += other._depth
        self._angle_bins += other._angle_bins
        self._angle_sum_deg += other._angle_sum_deg
        self._close += other._close
        if not self._classes:
            self._classes, self._confusion = other._classes, other._confusion.copy()
        elif other._classes:
            self._confusion += other._confusion

    def result(self) -> dict[str, dict]:
        """Scores of each task that was seen: "depth", "normal", "segment" -> name -> value."""
        scores: dict[str, dict] = {}
        if self._depth:
            scores["depth"] = {
                name: float(np.mean([image[name] for image in self._depth]))
                for name in ("delta1", "absrel", "median_absrel", "rmse_m")
            }
        if self._angle_bins.any():
            scores["normal"] = self._normal_result()
        if self._confusion.any():
            scores["segment"] = self._segment_result()
        return scores

    def _normal_result(self) -> dict[str, float]:
        count = int(self._angle_bins.sum())
        middle = int(np.searchsorted(np.cumsum(self._angle_bins), count / 2))
        return {
            "mean_deg": self._angle_sum_deg / count,
            "median_deg": (middle + 0.5) / BINS_PER_DEG,
            "within_11_25": self._close / count,
        }

    def _segment_result(self) -> dict:
        counts = self._confusion
        hits = np.diagonal(counts).astype(np.float64)
        union = counts.sum(1) + counts[:, :-1].sum(0) - hits
        per_class = {
            name: None if union[index] == 0 else float(hits[index] / union[index])
            for index, name in enumerate(self._classes)
        }
        seen = [iou for iou in per_class.values() if iou is not None]
        return {
            "miou": math.fsum(seen) / len(seen),
            "accuracy": float(hits.sum() / counts.sum()),
            "per_class": per_class,
        }


def _renumber(pred: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Ids of `names` as ids of `wanted`; ids beyond the names become len(wanted)."""
    if set(names) != set(wanted):
        raise ValueError(
            f"class names differ: predictions have {list(names)}, labels have {list(wanted)}; only "
            "labellers of the same classes can be compared"
        )
    table = np.array([wanted.index(name) for name in names] + [len(wanted)], np.int64)
    return table[np.minimum(pred, len(names))]


def _check_size(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ValueError(f"{name}: expected {wanted}, the labels' shape, found {found}")
