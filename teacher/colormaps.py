"""Colour maps as paths through the RGB cube: plasma, inferno, viridis, 256 colours each.

The tables are matplotlib's (Nathaniel Smith, Stefan van der Walt, Eric Firing; CC0), which OpenCV
carries. The paper paints depth in them as a further target in tuning.
"""

from functools import lru_cache

import numpy as np

from teacher.arrays import Array, arrays_of
from teacher.rgb import LEVELS

COLOR_MAPS = ("plasma", "inferno", "viridis")


@lru_cache(maxsize=len(COLOR_MAPS))
def color_map(name: str) -> np.ndarray:
    """(256, 3) uint8 RGB, read-only."""
    import cv2  # here, because only these codecs need it

    table = getattr(cv2, f"COLORMAP_{name.upper()}")
    bgr = cv2.applyColorMap(np.arange(LEVELS + 1, dtype=np.uint8)[:, None], table)
    colors = bgr[:, 0, ::-1].copy()
    colors.flags.writeable = False
    return colors


@lru_cache(maxsize=len(COLOR_MAPS))
def _distances(name: str) -> np.ndarray:
    """(4, 256) float32: (red, green, blue, 1) @ this = squared distances less |colour|^2."""
    centres = color_map(name).astype(np.float32).T
    return np.vstack([-2 * centres, (centres**2).sum(axis=0)])


def nearest_on_map(levels: Array, name: str) -> tuple[Array, Array]:
    """Find the nearest colour of a map.

    levels: (..., 3) uint8, numpy or torch.
    Returns its row (...) integer, 0..255, and residual (...) float32, the distance to it in levels.
    """
    xp = arrays_of(levels)
    distances = xp.table(_distances, name)
    centres = xp.table(color_map, name)

    def nearest(colors: Array) -> tuple[Array, Array]:
        channels = [xp.cast(colors[..., channel], "float32") for channel in range(3)]
        one = channels[0] * 0 + 1
        row = (xp.stack([*channels, one]) @ distances).argmin(1)  # |colour|^2 is one for all rows
        apart = [channel - centre for channel, centre in zip(channels, centres[row].T)]
        return row, xp.sqrt(sum(part * part for part in apart))

    return xp.in_passes(nearest, levels, width=distances.shape[1])
