"""Surface normals as RGB and back.

Camera space, right-handed: +x right, +y up, +z out of the image towards the camera. A wall on the
right that faces left is pinkish red, a floor is light green, a wall that faces the camera is light
blue. Source: arXiv 2604.20329 v3, section 3; mind the sign of x.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from teacher.rgb import LEVELS, as_levels
from teacher.vectors import length

SIGNS = np.array([-1, 1, 1], np.float32)
"""R = (1 - x) / 2, G = (1 + y) / 2, B = (1 + z) / 2."""

UNKNOWN_LENGTH = 0.1
"""A painted vector shorter than this is grey: it points nowhere and means unknown."""


@dataclass(frozen=True)
class DecodedNormals:
    """What a painting of normals says, and how firmly."""

    normal: np.ndarray
    """(..., 3) float32 unit vectors; (0, 0, 0) = unknown"""
    length: np.ndarray
    """(...) float32, length before normalising, 0..1.73; near 1 = a plausible colour"""


def encode_normals(normal: np.ndarray) -> np.ndarray:
    """Paint unit normals as colours.

    normal: (..., 3) floating point unit vectors; (0, 0, 0) or NaN = unknown, painted grey (128).
    Returns (..., 3) uint8. Components beyond -1..1 are clipped, as in the paper.

    Inverse: decode_normals, within 0.4 degrees. Raises ValueError for another last axis than 3.
    """
    normal = np.asarray(normal)
    _check_vectors(normal)
    vector = np.where(np.isnan(normal).any(axis=-1, keepdims=True), 0, normal)
    fraction = np.clip((1 + SIGNS * vector.astype(np.float32)) / 2, 0, 1)
    return np.rint(fraction * LEVELS).astype(np.uint8)


def decode_normals(rgb: np.ndarray) -> DecodedNormals:
    """Read unit normals from a painting.

    rgb: (..., 3) uint8, or floating point in 0..1. Every colour has a direction, save greys within
    UNKNOWN_LENGTH of the middle, which come back as (0, 0, 0).

    Inverse: encode_normals. Raises ValueError as teacher.rgb.as_levels does.
    """
    levels = np.ascontiguousarray(as_levels(np.asarray(rgb)))  # OpenCV misreads some strides
    vector = cv2.LUT(levels.reshape(-1, 1, 3), SIGNED_COMPONENT).reshape(levels.shape)
    painted = length(vector)
    scale = np.where(painted >= UNKNOWN_LENGTH, 1 / np.maximum(painted, UNKNOWN_LENGTH), 0)
    vector *= scale[..., None]
    return DecodedNormals(vector, painted)


def _check_vectors(normal: np.ndarray) -> None:
    """Raise ValueError unless (..., 3) floating point."""
    if normal.ndim == 0 or normal.shape[-1] != 3 or normal.dtype.kind != "f":
        raise ValueError(
            "normals need floating point x, y, z on the last axis, got"
            f" {normal.dtype} of shape {normal.shape}; pass (..., 3) unit vectors"
        )


COMPONENT = np.linspace(-1, 1, LEVELS + 1, dtype=np.float32)
"""Level of a channel -> component before its sign, -1..1."""
SIGNED_COMPONENT = (COMPONENT[:, None] * SIGNS)[None]
"""(1, 256, 3): level of each channel -> component."""

Convention = Literal["camera", "opencv", "dsine"]
"""The axes in which normals are kept.

camera: ours.
opencv: +x right, +y down, +z forward; a wall that faces the camera is (0, 0, -1). COLMAP's as well.
dsine:  the same axes, but normals point into the surface, so that this wall is (0, 0, 1). Its red,
        green and blue are then those of the paper. Source: data/d2n/cross.py of baegwangbin/DSINE,
        and its author in issues 8 and 12 there.
"""

AXES: dict[Convention, tuple[int, int, int]] = {
    "camera": (1, 1, 1),
    "opencv": (1, -1, -1),
    "dsine": (-1, 1, 1),
}
"""Signs that take x, y, z to our axes; the same signs lead back."""


def to_camera_axes(normal: np.ndarray, convention: Convention) -> np.ndarray:
    """Normals of another convention in ours: +x right, +y up, +z towards the camera.

    normal:  (..., 3) floating point; (0, 0, 0) and NaN stay what they are.
    Returns (..., 3) of the same dtype.

    Inverse: from_camera_axes, exactly. Raises ValueError for an unknown convention, and for what
    is no array of vectors.
    """
    if convention not in AXES:
        raise ValueError(f"a convention of normals is one of {tuple(AXES)}, got {convention!r}")
    normal = np.asarray(normal)
    _check_vectors(normal)
    return normal * np.array(AXES[convention], normal.dtype)


def from_camera_axes(normal: np.ndarray, convention: Convention) -> np.ndarray:
    """Our normals in another convention: the inverse of to_camera_axes, with the same errors."""
    return to_camera_axes(normal, convention)


def read_stored_normals(levels: np.ndarray, convention: Convention) -> np.ndarray:
    """Normals from an image of a data set, in our axes.

    levels:  (..., 3) uint8 or uint16 RGB, a component -1..1 from 0 to the largest level;
             (0, 0, 0) = unknown. So DSINE keeps its evaluation sets, Virtual KITTI in 16 bits
             (data/datasets/*/__init__.py of baegwangbin/DSINE).
    Returns (..., 3) float32 unit vectors; (0, 0, 0) = unknown.

    Raises ValueError for another dtype or number of channels, or an unknown convention.
    """
    levels = np.asarray(levels)
    if levels.dtype not in (np.uint8, np.uint16) or levels.ndim == 0 or levels.shape[-1] != 3:
        raise ValueError(
            "stored normals are uint8 or uint16 RGB with the channels last, got"
            f" {levels.dtype} of shape {levels.shape}"
        )
    vector = levels / np.float32(np.iinfo(levels.dtype).max / 2) - 1  # no level lies on 0
    vector /= np.linalg.norm(vector, axis=-1, keepdims=True)
    vector[~levels.any(axis=-1)] = 0
    return to_camera_axes(vector, convention)
