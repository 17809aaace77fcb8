"""Take back a drift of the palette: colours that a generator shifted as a whole.

A generator may paint every class a little too dark, too pale or too warm. Classes are then read by
colours that were never painted. Where several flat regions agree on one gain and one offset for
each channel, the painting is corrected; where they do not, it stays as it is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from teacher.palette import Palette
from teacher.rgb import LEVELS, as_levels, nearest_color

BLUR_PX = 5
"""Side of the median filter through which a drift is read, so that noise hides no flat region."""

FLAT_LEVELS = 12
"""Largest range of a channel in the 3 x 3 pixels around one that counts as flat."""

MIN_SHARE = 0.003
"""Share of the image that a class needs in flat pixels to be heard."""

MIN_CLASSES = 4
"""Two unknowns a channel: two classes fit any drift, and three fit one by chance."""

MIN_SPAN_LEVELS = 100
"""Range of the heard classes' colours in every channel; a gain cannot be told from less."""

MIN_GAIN = 0.25
"""A channel with less contrast holds nothing to bring back but noise."""

MIN_SHIFT_LEVELS = 6
"""A smaller drift changes no class."""

MAX_MISS_LEVELS, MAX_MISS_SHARE = 10, 0.5
"""How far the drift of the other classes may miss a class: in levels, and as a share of its own."""

ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Undrifted:
    """A painting in the palette's colours, and what was taken back: painted = gain * c + offset."""

    rgb: np.ndarray
    """(H, W, 3) uint8"""
    gain: np.ndarray
    """(3,) float64; 1 where nothing was done"""
    offset: np.ndarray
    """(3,) float64 levels; 0 where nothing was done"""
    applied: bool
    """Whether the evidence was clear; if not, the painting is as it was."""


def correct_drift(rgb: np.ndarray, palette: Palette) -> Undrifted:
    """Estimate one gain and one offset for each channel, and take them back if they are evident.

    rgb: (H, W, 3) uint8, or floating point in 0..1: a painting of the palette's classes.

    They are evident if MIN_CLASSES or more are found in flat regions; if half of these lie
    MIN_SHIFT_LEVELS or more from their colours, and half where the drift of all the others expects
    them (see MAX_MISS_SHARE); and if the drift moves none of them by half the distance of the
    palette's closest colours, for then a class passes for another.
    Raises ValueError for another shape, and as teacher.rgb.as_levels does.
    """
    levels = as_levels(np.asarray(rgb))
    if levels.ndim != 3 or not levels.size:
        raise ValueError(f"a drift is read from one painting (H, W, 3), got {levels.shape}")
    drift = _evident_drift(levels, palette.colors.astype(float))
    if drift is None:
        return Undrifted(levels, np.ones(3), np.zeros(3), applied=False)
    gain, offset = drift
    corrected = np.clip(np.rint((levels - offset) / gain), 0, LEVELS).astype(np.uint8)
    return Undrifted(corrected, gain, offset, applied=True)


def _evident_drift(levels: np.ndarray, colors: np.ndarray) -> np.ndarray | None:
    """Gain and offset of each channel (2, 3), or None."""
    pixels = _flat_pixels(levels)
    min_pixels = MIN_SHARE * levels[..., 0].size
    drift = np.array([[1.0] * 3, [0.0] * 3])
    named = painted = expected = np.empty((0, 3))
    for _ in range(ROUNDS):
        before, expected = expected, _drifted(colors, drift)
        if np.array_equal(before, expected):  # so would be all that follows
            break
        heard, painted = _class_medians(pixels, expected, min_pixels)
        named = colors[heard]
        if len(heard) < MIN_CLASSES or np.ptp(named, axis=0).min() < MIN_SPAN_LEVELS:
            return None
        drift = _fit(named, painted)
    largest = np.linalg.norm(_drifted(named, drift) - named, axis=1).max()
    small = largest < _least_distance(colors) / 2 and drift[0].min() >= MIN_GAIN
    return drift if small and _is_foretold(named, painted) else None


def _is_foretold(named: np.ndarray, painted: np.ndarray) -> bool:
    """Whether most classes have shifted, and as the others tell."""
    shift = np.median(np.linalg.norm(painted - named, axis=1))
    if shift < MIN_SHIFT_LEVELS:
        return False
    return bool(np.median(_misses(named, painted)) <= min(MAX_MISS_LEVELS, MAX_MISS_SHARE * shift))


def _flat_pixels(levels: np.ndarray) -> np.ndarray:
    """(N, 3) uint8: the filtered pixels whose 3 x 3 neighbourhood has nearly one colour."""
    smooth, around = np.asarray(cv2.medianBlur(levels, BLUR_PX)), np.ones((3, 3), np.uint8)
    spread = np.asarray(cv2.dilate(smooth, around)) - np.asarray(cv2.erode(smooth, around))
    red, green, blue = cv2.split(spread)
    flat = cv2.max(cv2.max(red, green), blue) <= FLAT_LEVELS
    return np.stack([channel[flat] for channel in cv2.split(smooth)], axis=-1)


def _drifted(colors: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """The palette as it would be painted: (n, 3) uint8."""
    gain, offset = drift
    return np.clip(np.rint(gain * colors + offset), 0, LEVELS).astype(np.uint8)


def _class_medians(
    pixels: np.ndarray, colors: np.ndarray, min_pixels: float
) -> tuple[np.ndarray, np.ndarray]:
    """The classes that enough pixels (N, 3) belong to, and the median colour of each (k, 3)."""
    ids = nearest_color(pixels, colors).index
    counts = np.bincount(ids, minlength=len(colors))
    heard = np.flatnonzero(counts >= max(1, min_pixels))
    medians = [_medians(ids, channel, counts)[heard] for channel in pixels.T]
    return heard, np.stack(medians, axis=1)


def _medians(ids: np.ndarray, levels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The median level of each class (n,), from its histogram: far faster than by sorting.

    ids, levels: (N,); counts: (n,) pixels of each class.
    """
    bins = LEVELS + 1
    histogram = np.bincount(ids * bins + levels, minlength=len(counts) * bins)
    upto = histogram.reshape(-1, bins).cumsum(axis=1)
    low, high = ((upto <= rank[:, None]).sum(axis=1) for rank in ((counts - 1) // 2, counts // 2))
    return (low + high) / 2


def _fit(named: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Gain and offset of each channel (2, 3), by least squares that outliers hardly bend."""
    drift, weight = np.zeros((2, 3)), np.ones(len(named))
    for _ in range(ROUNDS):
        for channel in range(3):
            columns = np.stack([named[:, channel], np.ones(len(named))], axis=1)
            weighted = (weight[:, None] * columns).T
            drift[:, channel] = np.linalg.lstsq(
                weighted @ columns, weighted @ painted[:, channel], rcond=None
            )[0]
        miss = np.linalg.norm(drift[0] * named + drift[1] - painted, axis=1)
        weight = 1 / (1 + (miss / max(3.0, np.median(miss))) ** 2)
    return drift


def _misses(named: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """(k,) levels between each class as painted and as the drift of the others expects it."""
    misses = []
    for row in range(len(named)):
        gain, offset = _fit(np.delete(named, row, axis=0), np.delete(painted, row, axis=0))
        expected = np.clip(gain * named[row] + offset, 0, LEVELS)
        misses.append(np.linalg.norm(expected - painted[row]))
    return np.array(misses)


def _least_distance(colors: np.ndarray) -> float:
    """Distance of the two closest colours, in levels."""
    rows, columns = np.triu_indices(len(colors), k=1)
    return float(np.linalg.norm(colors[rows] - colors[columns], axis=1).min())
