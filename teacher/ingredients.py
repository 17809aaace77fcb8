"""Evidence, pixel by pixel, of how far the labels that were read from paintings can be trusted.

Each ingredient is a plane of numbers >= 0; what they are worth together, a calibration tells
(teacher.confidence). Distances and neighbourhoods are in pixels of the painting.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from teacher.vectors import dot, length

SKY = "sky"
"""Name of the class that lies at infinity."""
NEAR_M, FAR_M = 0.05, 120.0
"""Depths beyond count as these when neighbours are compared, sky as the far one."""
FIELD_OF_VIEW_DEG = 60.0
"""Assumed over the longer side where depth is held against normals: a phone's main camera."""
SMOOTHING_PX = 1.0
"""Gaussian over the depth whose slope is compared with normals: a painting's steps are coarse."""
FARTHEST_EDGE_PX = 32.0
DEGREES = np.float32(180 / np.pi)
GREATEST_MARGIN = 442.0
"""Levels from black to white; a palette of one class has an infinite margin."""


class Ingredient(NamedTuple):
    """A kind of evidence."""

    unit: float
    """The amount that matters: it enters as log(1 + amount / unit)."""
    tasks: tuple[str, ...]
    """The tasks that it is made from."""
    good: bool = False
    """Whether more of it means that a pixel is right; else that it is wrong."""


INGREDIENTS = {
    "depth_residual": Ingredient(4.0, ("depth",)),
    "depth_spread": Ingredient(0.01, ("depth",)),
    "depth_votes": Ingredient(0.005, ("depth",)),
    "normal_length": Ingredient(0.02, ("normal",)),
    "normal_spread": Ingredient(1e-4, ("normal",)),
    "normal_votes": Ingredient(2.0, ("normal",)),
    "segment_margin": Ingredient(8.0, ("segment",), good=True),
    "segment_edge": Ingredient(1.0, ("segment",), good=True),
    "segment_votes": Ingredient(0.25, ("segment",)),
    "depth_normal_angle": Ingredient(5.0, ("depth", "normal")),
    "sky_conflict": Ingredient(1.0, ("depth", "segment")),
}
"""Name -> what it is; the functions below, and those of teacher.votes, say how each is measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What was read from the paintings of one photograph, votes merged; None = not painted."""

    depth_m: np.ndarray | None = None
    """(H, W) float32 metres; NaN = unknown, +inf = sky"""
    depth_residual: np.ndarray | None = None
    """(H, W) levels"""
    depth_votes: np.ndarray | None = None
    """(H, W) spread of the logarithms; None for one vote"""
    normal: np.ndarray | None = None
    """(H, W, 3) float32 unit vectors; (0, 0, 0) = unknown"""
    normal_length: np.ndarray | None = None
    """(H, W) distance of the painted length from 1"""
    normal_votes: np.ndarray | None = None
    """(H, W) degrees; None for one vote"""
    segment: np.ndarray | None = None
    """(H, W) class ids"""
    segment_margin: np.ndarray | None = None
    """(H, W) levels"""
    segment_votes: np.ndarray | None = None
    """(H, W) share of votes against; None for one vote"""
    classes: tuple[str, ...] = ()
    """names of the classes; id = index"""


def evidence(reading: Reading) -> dict[str, np.ndarray]:
    """Every ingredient that the reading has: name -> (H, W) float32, finite and >= 0."""
    found: dict[str, np.ndarray | None] = {
        name: getattr(reading, name, None) for name in INGREDIENTS
    }
    depth_m, normal, segment = reading.depth_m, reading.normal, reading.segment
    if depth_m is not None:
        found["depth_spread"] = depth_spread(depth_m)
    if normal is not None:
        found["normal_spread"] = normal_spread(normal)
    if segment is not None:
        found["segment_edge"] = segment_edge_px(segment)
    if reading.segment_margin is not None:
        found["segment_margin"] = np.clip(reading.segment_margin, 0, GREATEST_MARGIN)
    if depth_m is not None and normal is not None:
        found["depth_normal_angle"] = depth_normal_angle_deg(depth_m, normal)
    if depth_m is not None and segment is not None and SKY in reading.classes:
        found["sky_conflict"] = np.isposinf(depth_m) != (segment == reading.classes.index(SKY))
    return {
        name: plane.astype(np.float32, copy=False)
        for name, plane in found.items()
        if plane is not None
    }


def known_pixels(reading: Reading) -> dict[str, np.ndarray]:
    """Where the reading says anything at all: painted task -> (H, W) bool."""
    known: dict[str, np.ndarray] = {}
    if reading.depth_m is not None:
        known["depth"] = ~np.isnan(reading.depth_m)
    if reading.normal is not None:
        known["normal"] = dot(reading.normal, reading.normal) > 0
    if reading.segment is not None:
        known["segment"] = np.ones(reading.segment.shape, bool)
    return known


def depth_spread(depth_m: np.ndarray) -> np.ndarray:
    """Largest ratio of depths in 5 x 5 px, as a logarithm: blurred edges read as a third depth."""
    log_depth, window = _log_depth(depth_m), np.ones((5, 5), np.uint8)
    return cv2.dilate(log_depth, window) - cv2.erode(log_depth, window)


def normal_spread(normal: np.ndarray) -> np.ndarray:
    """How much normals turn within 3 x 3 px: 1 less the length of their mean, 0..1."""
    mean = cv2.blur(normal, (3, 3))
    return np.clip(1 - length(mean), 0, 1)


def segment_edge_px(segment: np.ndarray) -> np.ndarray:
    """Distance in pixels to the nearest pixel that touches another class, up to 32."""
    ids, window = segment.astype(np.float32), np.ones((3, 3), np.uint8)
    inside = cv2.dilate(ids, window) == cv2.erode(ids, window)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    return np.minimum(distance, FARTHEST_EDGE_PX)


def depth_normal_angle_deg(depth_m: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Angle between the painted normals and those of the painted depth, (H, W) degrees, 0..180.

    The camera is not known: FIELD_OF_VIEW_DEG and a centred principal point are assumed. Unknown
    normals are 90 degrees off.
    """
    cosine = dot(normals_of_depth(depth_m), normal)
    return np.arccos(cosine.clip(-1, 1)) * DEGREES


def normals_of_depth(depth_m: np.ndarray) -> np.ndarray:
    """Normals (H, W, 3) of the surface that a depth map describes, +z towards the camera.

    With l = log depth, focal length f and pixel (u, v) from the centre, n is along
    (f dl/du, -f dl/dv, 1 + u dl/du + v dl/dv): no step on the way depends on the depth's scale.
    """
    height, width = depth_m.shape
    focal_px = max(height, width) / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2)
    smooth = cv2.GaussianBlur(_log_depth(depth_m), (0, 0), SMOOTHING_PX)
    du = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dv = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    u = np.arange(width, dtype=np.float32) + 0.5 - width / 2
    v = (np.arange(height, dtype=np.float32) + 0.5 - height / 2)[:, None]
    focal_px = np.float32(focal_px)
    vector = cv2.merge([focal_px * du, -focal_px * dv, 1 + u * du + v * dv])
    size = length(vector)
    return vector / np.where(size > 0, size, 1)[..., None]


def _log_depth(depth_m: np.ndarray) -> np.ndarray:
    """Logarithm, (H, W) float32; unknown as the nearest, sky as the farthest."""
    return np.log(np.nan_to_num(depth_m, nan=NEAR_M, posinf=FAR_M).clip(NEAR_M, FAR_M))
