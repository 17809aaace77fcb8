"""Slices: parts of a photograph in which a labeller is scored by itself, such as what is far away.

One number for all pixels hides where a labeller fails. Every slice is a mask over the pixels of one
photograph, drawn from the truth and the photograph alone, so that it is the same for everyone.
"""

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

import cv2
import numpy as np

from distill.metrics import Prediction
from distill.tally import Tally
from teacher.sample import CONFIDENCE_STRIDE, TASKS, Labels

NEAR_M, FAR_M = 3.0, 10.0
"""Metric depth below the first is near, from the second on far, between them mid."""
EDGE_RATIO = 1.15
"""Neighbours whose depths differ by more than this ratio have a depth edge between them."""
EDGE_REACH = 0.01
"""Width of the band on both sides of an edge, as a share of the diagonal; at least one pixel."""
SMALL_SHARE = 0.01
"""A connected region of one class below this share of the picture is small."""
DARK_LUMA = 64
"""A pixel with less luma (Rec. 601 of its sRGB values, 0..255) is dark."""
LOW_CONFIDENCE = 128
"""A stored confidence (0..255) below this, in any labelled task, is low."""
SKY = "sky"

SLICES = ("near", "mid", "far", "edges", "small", SKY, "dark", "low_confidence")


def slice_masks(photograph: np.ndarray, truth: Labels) -> dict[str, np.ndarray]:
    """The slices of one photograph: name -> (H, W) bool, all names of SLICES in that order.

    near, mid, far: metric depth of less than 3 m, from 3 m, from 10 m on (sky is none of them).
    edges: beside a step of depth (a ratio above 1.15, or the border of the sky) or of class, within
    1 % of the diagonal. small: connected regions of one class that fill less than 1 % of the
    picture. sky: the class "sky", or depth of inf. dark: luma below 64 of 255. low_confidence:
    stored confidence of any labelled task below 128 of 255.

    photograph: (H, W, 3) uint8 sRGB at the size of the truth. A slice of which the truth says
    nothing (depth without metres, labels without confidence) is empty. Slices overlap.
    Raises ValueError when the sizes differ.
    """
    if photograph.shape != (*truth.size, 3):
        raise ValueError(
            f"slices: expected a photograph of {(*truth.size, 3)}, found {photograph.shape}: "
            "resize it to the size of the labels"
        )
    near, mid, far = _distances(truth)
    return {
        "near": near,
        "mid": mid,
        "far": far,
        "edges": _edges(truth),
        "small": _small_regions(truth),
        SKY: _sky(truth),
        "dark": cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY) < DARK_LUMA,
        "low_confidence": _low_confidence(truth),
    }


def _distances(truth: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if truth.depth_m is None or truth.depth_kind != "metric":
        return _nowhere(truth), _nowhere(truth), _nowhere(truth)
    depth_m = np.where(np.isfinite(truth.depth_m), truth.depth_m, np.nan)
    return depth_m < NEAR_M, (depth_m >= NEAR_M) & (depth_m < FAR_M), depth_m >= FAR_M


def _edges(truth: Labels) -> np.ndarray:
    steps = _nowhere(truth)
    if truth.depth_m is not None and truth.depth_kind == "metric":
        with np.errstate(divide="ignore", invalid="ignore"):
            log_depth = np.log(np.minimum(truth.depth_m, np.float32(1e6)))  # sky: one far plane
        steps |= _beside_steps(log_depth, np.log(EDGE_RATIO))
    if truth.segment is not None:
        known = truth.segment != truth.ignore_id
        steps |= _beside_steps(np.where(known, truth.segment, np.nan), 0)
    reach_px = max(1, round(EDGE_REACH * float(np.hypot(*truth.size))))
    band = cv2.dilate(steps.astype(np.uint8), np.ones((2 * reach_px - 1,) * 2, np.uint8))
    return band.astype(bool)


def _beside_steps(plane: np.ndarray, threshold: float) -> np.ndarray:
    """(H, W) bool: pixels that differ by more from a neighbour; NaN differs from nothing."""
    beside = np.zeros(plane.shape, bool)
    with np.errstate(invalid="ignore"):
        across = np.abs(np.diff(plane, axis=1)) > threshold
        down = np.abs(np.diff(plane, axis=0)) > threshold
    beside[:, 1:] |= across
    beside[:, :-1] |= across
    beside[1:] |= down
    beside[:-1] |= down
    return beside


def _small_regions(truth: Labels) -> np.ndarray:
    small = _nowhere(truth)
    if truth.segment is None:
        return small
    for class_id in np.unique(truth.segment[truth.segment != truth.ignore_id]):
        _, regions, facts, _ = cv2.connectedComponentsWithStats(
            (truth.segment == class_id).astype(np.uint8), connectivity=8
        )
        is_small = facts[:, cv2.CC_STAT_AREA] < SMALL_SHARE * small.size
        is_small[0] = False  # the rest of the picture
        small |= is_small[regions]
    return small


def _sky(truth: Labels) -> np.ndarray:
    """(H, W) bool: pixels of the class "sky", or at a depth of inf."""
    sky = _nowhere(truth)
    if truth.depth_m is not None:
        sky |= np.isposinf(truth.depth_m)
    if truth.segment is not None and SKY in truth.classes:
        sky |= truth.segment == truth.classes.index(SKY)
    return sky


def _low_confidence(truth: Labels) -> np.ndarray:
    if truth.confidence is None:
        return _nowhere(truth)
    channels = [TASKS.index(task) for task in truth.tasks]
    least = truth.confidence[..., channels].min(axis=-1)
    height, width = truth.size
    full = least.repeat(CONFIDENCE_STRIDE, 0).repeat(CONFIDENCE_STRIDE, 1)
    return full[:height, :width] < LOW_CONFIDENCE


def _nowhere(truth: Labels) -> np.ndarray:
    return np.zeros(truth.size, bool)


def within(truth: Labels, masks: np.ndarray | Mapping[str, np.ndarray]) -> Labels:
    """The truth with its labels inside the mask alone; unknown elsewhere.

    masks: (H, W) bool for every task, or task -> mask; a task that it lacks is kept as it is.
    """
    named = masks if isinstance(masks, Mapping) else dict.fromkeys(TASKS, masks)
    planes = {}
    if truth.depth_m is not None and "depth" in named:
        planes["depth_m"] = np.where(named["depth"], truth.depth_m, np.float32(np.nan))
    if truth.normal is not None and "normal" in named:
        planes["normal"] = truth.normal * named["normal"][..., None]
    if truth.segment is not None and "segment" in named:
        ignore = truth.segment.dtype.type(truth.ignore_id)
        planes["segment"] = np.where(named["segment"], truth.segment, ignore)
    return replace(truth, **planes)


class SliceTallies:
    """A `Tally` for each slice, photograph by photograph: `tallies[name]`.

    Each counts every photograph, so one draw of bootstrap weights serves them all.
    """

    def __init__(self) -> None:
        self.tallies = {name: Tally() for name in SLICES}
        self._shares: dict[str, list[float]] = {name: [] for name in SLICES}

    def update(self, pred: Prediction, photograph: np.ndarray, truth: Labels) -> None:
        """Add one photograph; see Tally.update and slice_masks."""
        for name, mask in slice_masks(photograph, truth).items():
            self.tallies[name].update(pred, within(truth, mask))
            self._shares[name].append(float(mask.mean()))

    def share(self, name: str) -> float:
        """Mean share of a photograph that the slice fills, 0..1."""
        return fmean(self._shares[name])
