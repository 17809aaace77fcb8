"""The cube walk: seven edges of the RGB cube from black to white, 1785 steps of one level.

Projecting a colour on it needs no division: the edges run along the axes and end on whole levels,
so the nearest point is again a colour of 8 bits.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from teacher.arrays import Array, arrays_of
from teacher.rgb import LEVELS

CUBE_CORNERS = np.array(
    [
        [0, 0, 0],  # black
        [1, 0, 0],  # red
        [1, 1, 0],  # yellow
        [0, 1, 0],  # green
        [0, 1, 1],  # cyan
        [0, 0, 1],  # blue
        [1, 0, 1],  # magenta
        [1, 1, 1],  # white
    ]
)
"""Every corner once, one axis at a time. Source: arXiv 2604.20329 v3, figure 5."""


@lru_cache(maxsize=1)
def cube_path() -> np.ndarray:
    """Every colour of the walk, in order: (1786, 3) uint8, read-only."""
    step = np.arange(LEVELS)[:, None]
    edges = [LEVELS * start + step * (end - start) for start, end in pairwise(CUBE_CORNERS)]
    path = np.concatenate([*edges, LEVELS * CUBE_CORNERS[-1:]]).astype(np.uint8)
    path.flags.writeable = False
    return path


LAST_STEP = LEVELS * (len(CUBE_CORNERS) - 1)
"""White; the steps are counted from 0, black."""
STEP_BITS = 11
"""1785 steps fit in 11 bits; a squared distance to an edge, at most 2 * 255^2, in 20 more."""


def _edges() -> list[tuple[tuple[int, int], ...]]:
    """For each edge three pairs (channel, its level at the start: 0 or 1), the moving one first."""
    edges = []
    for start, end in pairwise(CUBE_CORNERS):
        channels = np.argsort(start == end, kind="stable").tolist()
        edges.append(tuple((channel, int(start[channel])) for channel in channels))
    return edges


_EDGES = _edges()


def nearest_on_cube_walk(levels: Array) -> tuple[Array, Array]:
    """Project colours on the cube walk.

    levels: (..., 3) uint8, numpy or torch.
    Returns steps (...) int32, 0..1785 from black to white, and residual (...) float32, the distance
    to the walk in levels. Of two edges at the same distance, the one nearer to black wins.
    """
    xp = arrays_of(levels)
    (packed,) = xp.in_passes(_nearest_edge, levels)
    squared = xp.cast(packed >> STEP_BITS, "float32")
    return packed & ((1 << STEP_BITS) - 1), xp.sqrt(squared)


def _nearest_edge(levels: Array) -> tuple[Array]:
    """(..., 3) levels -> (...) int32: squared distance in the high bits, step in the low ones.

    Within the cube the projection on an edge is the channel that the edge runs along; the
    distance is what the other two channels lack. Packed together, one minimum finds both.
    """
    xp = arrays_of(levels)
    channels = [xp.cast(levels[..., channel], "int32") for channel in range(3)]
    along = channels, [LEVELS - channel for channel in channels]  # from level 0, from level 255
    squared = [[distance * distance << STEP_BITS for distance in side] for side in along]
    candidates = [
        along[from_][axis] + edge * LEVELS + squared[at][first] + squared[there][second]
        for edge, ((axis, from_), (first, at), (second, there)) in enumerate(_EDGES)
    ]
    best = candidates[0]
    for candidate in candidates[1:]:
        best = xp.minimum(best, candidate)
    return (best,)
