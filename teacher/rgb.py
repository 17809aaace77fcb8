"""8-bit RGB paintings: the check at the border of every decoder, the nearest of a few colours."""

from dataclasses import dataclass

import numpy as np

from teacher.arrays import Array, arrays_of, dtype_name, is_tensor

LEVELS = 255
"""Steps of one colour channel; distances between colours are measured in these."""


def as_levels(rgb: Array) -> Array:
    """A painting as 8-bit levels.

    rgb:    (..., 3) numpy or torch, uint8, or floating point in 0..1, which is rounded to the
            nearest level.
    Returns (..., 3) uint8; a uint8 array is returned as it is, not copied.

    Raises ValueError for another number of channels, another dtype, NaN, or floats outside 0..1.
    """
    rgb = rgb if is_tensor(rgb) else np.asarray(rgb)
    if rgb.ndim == 0 or rgb.shape[-1] != 3:
        raise ValueError(
            f"a painting needs 3 channels on its last axis, got shape {tuple(rgb.shape)};"
            " pass (..., 3), without an alpha channel and with the channels last"
        )
    name = dtype_name(rgb)
    if name == "uint8":
        return rgb
    if "float" not in name:
        raise ValueError(f"a painting is uint8, or float in 0..1, got {name}; convert it")
    if 0 not in rgb.shape and not (rgb.min() >= 0 and rgb.max() <= 1):
        raise ValueError(
            f"a floating-point painting lies in 0..1, got {rgb.min():.4g}..{rgb.max():.4g};"
            " scale and clip it, or pass uint8"
        )
    xp = arrays_of(rgb)
    return xp.cast(xp.rint(xp.cast(rgb, "float32") * LEVELS), "uint8")


BLOCK = 1 << 14
"""Colours in one pass: the working arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Nearest:
    """The nearest of a few colours, for every colour of a painting."""

    index: np.ndarray
    """(...) intp, row of the nearest colour; the lower row where two are as near"""
    distance: np.ndarray
    """(...) float32, Euclidean distance to it in levels, 0..441"""
    margin: np.ndarray
    """(...) float32, how much farther the second nearest is, in levels; inf for a single colour"""


def nearest_color(levels: np.ndarray, colors: np.ndarray) -> Nearest:
    """Find the nearest of `colors` (K, 3) for every colour of `levels` (..., 3), both uint8."""
    flat = levels.reshape(-1, 3)
    index = np.empty(len(flat), np.intp)
    squared = np.empty((2, len(flat)), np.float32)  # of the nearest and of the second nearest
    for start in range(0, len(flat), BLOCK):
        block = slice(start, start + BLOCK)
        index[block], squared[:, block] = _two_nearest(flat[block].T, colors)
    distance, second = np.sqrt(squared)
    shape = levels.shape[:-1]
    return Nearest(
        index.reshape(shape), distance.reshape(shape), (second - distance).reshape(shape)
    )


def _two_nearest(channels: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3, N) levels -> nearest row (N,), squared distances to the two nearest (2, N).

    Whole numbers below 2^24 are exact in float32, and so is this matrix product.
    """
    points = channels.astype(np.float32, order="C")
    centres = colors.astype(np.float32)
    apart = (-2 * centres) @ points  # (K, N): squared distance less |point|^2, once centred
    apart += (centres**2).sum(axis=1)[:, None]
    best, second = apart[0].copy(), np.full_like(apart[0], np.inf)
    index = np.zeros(channels.shape[1], np.intp)
    worse = np.empty_like(best)
    for row, candidate in enumerate(apart[1:], start=1):
        np.copyto(index, row, where=candidate < best)
        np.minimum(second, np.maximum(best, candidate, out=worse), out=second)
        np.minimum(best, candidate, out=best)
    return index, np.stack([best, second]) + (points**2).sum(axis=0)
