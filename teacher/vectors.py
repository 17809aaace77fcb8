"""Sums over the three channels of a picture, channel by channel: numpy's own sums over a short last
axis are up to a hundred times slower."""

import numpy as np


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scalar products of vectors: (..., 3) and (..., 3) -> (...)."""
    total = one[..., 0] * other[..., 0]
    for channel in (1, 2):
        total += one[..., channel] * other[..., channel]
    return total


def length(vector: np.ndarray) -> np.ndarray:
    """Lengths of vectors: (..., 3) -> (...)."""
    return np.sqrt(dot(vector, vector))
