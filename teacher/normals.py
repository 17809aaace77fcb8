"""Surface normals as RGB and back.

Camera space, right-handed: +x right, +y up, +z out of the image towards the camera. A wall on the
right that faces left is pinkish red, a floor is light green, a wall that faces the camera is light
blue. Source: arXiv 2604.20329 v3, section 3; mind the sign of x.
"""

from dataclasses import dataclass

import numpy as np

from teacher.rgb import LEVELS, as_levels

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
    if normal.ndim == 0 or normal.shape[-1] != 3 or normal.dtype.kind != "f":
        raise ValueError(
            "normals need floating point x, y, z on the last axis, got"
            f" {normal.dtype} of shape {normal.shape}; pass (..., 3) unit vectors"
        )
    vector = np.where(np.isnan(normal).any(axis=-1, keepdims=True), 0, normal)
    fraction = np.clip((1 + SIGNS * vector.astype(np.float32)) / 2, 0, 1)
    return np.rint(fraction * LEVELS).astype(np.uint8)


def decode_normals(rgb: np.ndarray) -> DecodedNormals:
    """Read unit normals from a painting.

    rgb: (..., 3) uint8, or floating point in 0..1. Every colour has a direction, save greys within
    UNKNOWN_LENGTH of the middle, which come back as (0, 0, 0).

    Inverse: encode_normals. Raises ValueError as teacher.rgb.as_levels does.
    """
    vector = COMPONENT[as_levels(rgb)]
    vector *= SIGNS
    length = np.sqrt(np.einsum("...i,...i->...", vector, vector))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length >= UNKNOWN_LENGTH)
    vector *= scale[..., None]
    return DecodedNormals(vector, length)


COMPONENT = np.linspace(-1, 1, LEVELS + 1, dtype=np.float32)
"""Level of a channel -> component before its sign, -1..1."""
