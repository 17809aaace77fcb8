"""How far two labels of one photograph lie apart, as pictures for people."""

import numpy as np

from teacher.pictures import UNKNOWN_COLOR

DIFFERENCE_STOPS = ((22, 27, 33), (24, 78, 92), (63, 153, 130), (190, 214, 124), (255, 250, 214))
"""From no difference to a large one, lightness rising evenly."""

DEGREES_AT_FULL = 45.0
"""Angle between normals that takes the last colour of a difference."""
RATIO_AT_FULL = 2.0
"""Ratio between depths that takes the last colour of a difference."""


def difference_colors(share: np.ndarray) -> np.ndarray:
    """(...) 0..1, NaN = unknown -> (..., 3) uint8, dark where nothing differs."""
    stops = np.array(DIFFERENCE_STOPS, np.float64)
    at = np.clip(np.nan_to_num(share), 0, 1) * (len(stops) - 1)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    picture = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    picture[np.isnan(share)] = UNKNOWN_COLOR
    return picture


def depth_difference(first_m: np.ndarray, second_m: np.ndarray, far_m: float) -> np.ndarray:
    """How many times one depth is the other, as a picture.

    Beyond far_m, and at infinity, all depths count as the same: there they have the same colour.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.abs(np.log(np.minimum(first_m, far_m) / np.minimum(second_m, far_m)))
    return difference_colors(share / np.log(RATIO_AT_FULL))


def normal_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The angle between two normals, as a picture."""
    cosine = np.clip((first * second).sum(axis=-1), -1, 1)
    share = np.degrees(np.arccos(cosine)) / DEGREES_AT_FULL
    share[~(first.any(axis=-1) & second.any(axis=-1))] = np.nan
    return difference_colors(share)


def segment_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pixels of another class, as a picture."""
    return difference_colors((first != second).astype(np.float64))
