"""Segmentation: mIoU from one confusion matrix over the data set, and boundary IoU.

Traps: the mean of each image's mIoU is another, higher or lower number; a class that is predicted
but never true scores 0 and counts, one that is neither does not; a predicted id that is no class
(a colour that decodes to nothing) is wrong, so "background" must be a class to be scored. Decode a
painting before it is resized: a blend of two colours is a third class.

Sources: mmsegmentation, evaluation/metrics/iou_metric.py; Cheng et al., "Boundary IoU"
(arXiv 2103.16562), and their boundary_iou/utils/boundary_utils.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from distill.metrics import confusion
from teacher.sample import IGNORE_ID, IGNORE_ID_16, class_dtype

DILATION_RATIO = 0.02
"""Width of the boundary region as a share of the image's diagonal."""


@dataclass(frozen=True, kw_only=True)
class SegmentScores:
    """Shares, 0 to 1, of the pixels whose true class is known."""

    protocol: str = "one confusion matrix over all images"
    images: int
    pixels: int
    miou: float
    """mean over the classes that are true or predicted somewhere"""
    accuracy: float
    undecodable: float
    """predictions that are none of the classes; they count as wrong"""
    iou: dict[str, float | None]
    """class -> IoU; None if it is neither true nor predicted"""


@dataclass(frozen=True, kw_only=True)
class BoundaryScores:
    """IoU of boundary regions, 0 to 1."""

    protocol: str = "boundary regions of 2 % of the diagonal, summed over all images"
    images: int
    miou: float
    """mean over the classes that have a boundary somewhere, true or predicted"""
    iou: dict[str, float | None]
    """class -> IoU; None if it has no boundary"""


class SegmentMeter:
    """One confusion matrix, summed up image by image."""

    def __init__(self, classes: Sequence[str]) -> None:
        """classes: names in the order of their ids."""
        self.classes = tuple(classes)
        self._images = 0
        self._counts = np.zeros((len(classes), len(classes) + 1), np.int64)

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one image.

        true: (H, W) class ids; 255 (65535 from 256 classes on) = ignore, which does not count.
        pred: (H, W) ids; those that are no class count as wrong. Raises ValueError when sizes
        differ, or for a true id that is neither a class nor ignore: it would vanish unseen.
        """
        _check(pred, true, len(self.classes))
        self._images += 1
        self._counts += confusion(_known_ids(pred, len(self.classes)), true, len(self.classes))

    def result(self) -> SegmentScores | None:
        """The scores; None before the first known pixel."""
        pixels = int(self._counts.sum())
        if pixels == 0:
            return None
        hits = np.diagonal(self._counts)
        iou = _iou_by_class(
            self.classes, hits, self._counts[:, :-1].sum(axis=0), self._counts.sum(axis=1)
        )
        return SegmentScores(
            images=self._images,
            pixels=pixels,
            miou=_mean(iou),
            accuracy=float(hits.sum() / pixels),
            undecodable=float(self._counts[:, -1].sum() / pixels),
            iou=iou,
        )


class BoundaryMeter:
    """Boundary IoU of classes: sums of intersections and unions over all images, like mIoU.

    The boundary region of a class is what lies in it within 2 % of the image's diagonal of
    anything else or of the image's edge, diagonal steps counting as one: the official code's
    regions, found for all classes at once. That code scores single masks (AP) and panoptic
    segments (PQ) and has no form for classes; pooling over the data set is our choice. Ignored
    pixels are cut out of the prediction first, so that the truth itself scores 1; the panoptic
    code leaves them in.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        """classes: names in the order of their ids."""
        self.classes = tuple(classes)
        self.image_sums: list[np.ndarray] = []
        """Each image's (3, C) pixels in boundary regions: both, predicted, true."""

    def update(self, pred: np.ndarray, true: np.ndarray) -> None:
        """Add one image; as SegmentMeter.update."""
        count = len(self.classes)
        _check(pred, true, count)
        ignored, width_px = true >= count, boundary_width_px(true.shape)
        pred, true = (
            _inner_boundary(np.where(ignored, count + 1, ids), width_px, elsewhere=count)
            for ids in (_known_ids(pred, count), true.astype(np.int64))
        )
        both = np.where(pred == true, true, count)
        self.image_sums.append(np.stack([_count_ids(ids, count) for ids in (both, pred, true)]))

    def result(self) -> BoundaryScores | None:
        """The scores; None before the first boundary."""
        if not np.any(self.image_sums):
            return None
        iou = _iou_by_class(self.classes, *np.sum(self.image_sums, axis=0))
        return BoundaryScores(images=len(self.image_sums), miou=_mean(iou), iou=iou)


def boundary_width_px(size: tuple[int, ...]) -> int:
    """Width of the boundary region of an image (H, W): at least 1."""
    return max(1, round(DILATION_RATIO * math.hypot(*size)))


def _inner_boundary(ids: np.ndarray, width_px: int, elsewhere: int) -> np.ndarray:
    """The ids (H, W) with `elsewhere` where no other id, nor the image's edge, is near."""
    outside = np.iinfo(np.uint16).max
    padded = np.pad(ids.astype(np.uint16), width_px, constant_values=outside)
    window = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    uniform = np.equal(cv2.erode(padded, window), cv2.dilate(padded, window))
    inside = slice(width_px, -width_px)
    return np.where(uniform[inside, inside], elsewhere, ids)


def _count_ids(ids: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) pixels of each class; other ids do not count."""
    return np.bincount(ids.ravel(), minlength=classes)[:classes]


def _known_ids(pred: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) int64; every id that is no class, negative ones too, becomes `classes`."""
    ids = pred.astype(np.int64)
    return np.where((ids < 0) | (ids > classes), classes, ids)


def _iou_by_class(
    classes: Sequence[str], both: np.ndarray, pred: np.ndarray, true: np.ndarray
) -> dict[str, float | None]:
    """Class -> IoU from (C,) sums of pixels."""
    union = pred + true - both
    return {
        name: float(both[index] / union[index]) if union[index] else None
        for index, name in enumerate(classes)
    }


def _mean(iou: dict[str, float | None]) -> float:
    """Over the classes that have one."""
    return float(np.mean([value for value in iou.values() if value is not None]))


def _check(pred: np.ndarray, true: np.ndarray, classes: int) -> None:
    if pred.shape != true.shape or true.ndim != 2:
        raise ValueError(
            f"segment: expected (H, W) twice, found {pred.shape} predicted for {true.shape}; "
            "resize the prediction's ids with nearest neighbour, never its colours"
        )
    ignore_id = IGNORE_ID if class_dtype(classes) is np.uint8 else IGNORE_ID_16
    strange = true[(true != ignore_id) & ((true < 0) | (true >= classes))]
    if strange.size:
        raise ValueError(
            f"segment: true id {strange[0]} is none of {classes} classes nor {ignore_id} (ignore); "
            "map the data set's ids to 0.. first"
        )
