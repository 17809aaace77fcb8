"""Segment edges: blends of two classes that read as a third one.

A generator blurs the border between two classes, and the blend of their colours may lie nearest to
the colour of a class that is not there: a line of "tree" between road and pavement.
"""

from dataclasses import replace

import cv2
import numpy as np

from teacher.depth_edges import STEPS, blend_share, true_pixels
from teacher.palette import DecodedSegments, Palette
from teacher.rgb import as_levels
from teacher.vectors import dot

REACH_PX = (1, 2)
"""Distances at which the two classes are looked for: a blur is a few pixels wide."""
OFF_LINE_LEVELS = 32.0
"""A colour this near to the straight line between two neighbours' may be their blend."""
OWN_COLOR_LEVELS = 16
"""A colour this near to that of its own class is no blend: thin things stay."""


def sharpen_segments(
    decoded: DecodedSegments, rgb: np.ndarray, palette: Palette
) -> DecodedSegments:
    """Give each pixel that blends two classes the one whose colour it has more of.

    A pixel is a blend where two neighbours opposite each other have classes other than its own and
    other than each other's, its colour lies on the straight line between theirs, and not at the
    colour of its own class. The pair that explains it best decides. No class appears that was not
    within two pixels.

    decoded: what decode_segments gave for rgb; rgb: (H, W, 3) uint8, or float in 0..1.
    Returns the ids (H, W), changed at blends, with the margin as it was.
    Raises ValueError when the sizes do not match, and as teacher.rgb.as_levels does.
    """
    levels = np.ascontiguousarray(as_levels(rgb))
    ids = decoded.ids
    if levels.ndim != 3 or ids.shape != levels.shape[:2] or not ids.size:
        raise ValueError(
            f"expected a painting (H, W, 3) and its classes (H, W), found {levels.shape} and"
            f" {ids.shape}; pass one painting at a time"
        )
    rows, columns = true_pixels(_may_blend(levels, ids, palette))
    color, own = levels[rows, columns].astype(np.float32), ids[rows, columns]
    chosen, least = own.copy(), np.full(len(rows), OFF_LINE_LEVELS, np.float32)
    for down, right in ((r * down, r * right) for down, right in STEPS for r in REACH_PX):
        first = _clipped(rows - down, columns - right, ids.shape)
        second = _clipped(rows + down, columns + right, ids.shape)
        share, off, _ = blend_share(color, levels[first], levels[second])
        between = (ids[first] != own) & (ids[second] != own) & (ids[first] != ids[second])
        better = between & (share > 0) & (share < 1) & (off < least)
        chosen = np.where(better, np.where(share < 0.5, ids[first], ids[second]), chosen)
        least = np.where(better, off, least)
    sharpened = ids.copy()
    sharpened[rows, columns] = chosen
    return replace(decoded, ids=sharpened)


def _may_blend(levels: np.ndarray, ids: np.ndarray, palette: Palette) -> np.ndarray:
    """(H, W) bool: pixels away from the colour of their class."""
    own = cv2.merge([np.take(channel, ids) for channel in palette.colors.T])
    apart = np.minimum(cv2.absdiff(levels, own), OWN_COLOR_LEVELS + 1).astype(np.uint16)
    return dot(apart, apart) > OWN_COLOR_LEVELS**2


def _clipped(
    rows: np.ndarray, columns: np.ndarray, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    return rows.clip(0, size[0] - 1), columns.clip(0, size[1] - 1)
