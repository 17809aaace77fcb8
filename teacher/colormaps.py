"""Colour maps as paths through the RGB cube: plasma, inferno, viridis, 256 colours each.

The tables are matplotlib's (Nathaniel Smith, Stefan van der Walt, Eric Firing; CC0), which OpenCV
carries. The paper paints depth in them as a further target in tuning.
"""

from functools import lru_cache

import numpy as np

from teacher.rgb import LEVELS

COLOR_MAPS = ("plasma", "inferno", "viridis")

BLOCK = 1 << 11
"""Colours in one pass, each against a whole map: 2 MB of distances."""


@lru_cache(maxsize=len(COLOR_MAPS))
def color_map(name: str) -> np.ndarray:
    """(256, 3) uint8 RGB, read-only."""
    import cv2  # here, because only these codecs need it

    table = getattr(cv2, f"COLORMAP_{name.upper()}")
    bgr = cv2.applyColorMap(np.arange(LEVELS + 1, dtype=np.uint8)[:, None], table)
    colors = bgr[:, 0, ::-1].copy()
    colors.flags.writeable = False
    return colors


def nearest_on_map(levels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest colour of a map.

    levels: (..., 3) uint8.
    Returns its row (...) intp, 0..255, and residual (...) float32, the distance to it in levels.
    """
    colors = levels.reshape(-1, 3)
    centres = color_map(name).astype(np.float32)
    squared_norms = (centres**2).sum(axis=1)
    row = np.empty(len(colors), np.intp)
    for start in range(0, len(colors), BLOCK):
        block = slice(start, start + BLOCK)
        apart = squared_norms - 2 * colors[block].astype(np.float32) @ centres.T
        row[block] = apart.argmin(axis=1)  # |point|^2 is the same for every row
    residual = np.linalg.norm(colors - centres[row], axis=1)
    return row.reshape(levels.shape[:-1]), residual.reshape(levels.shape[:-1])
