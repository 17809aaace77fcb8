"""The cube walk: seven edges of the RGB cube from black to white, 1785 steps of one level.

Projecting a colour on it needs no division: the edges run along the axes and end on whole levels,
so the nearest point is again a colour of 8 bits.
"""

from itertools import pairwise

import numpy as np

from teacher.rgb import BLOCK, LEVELS

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


def _cube_path() -> np.ndarray:
    """Every colour of the walk, in order: (1786, 3) uint8, read-only."""
    step = np.arange(LEVELS)[:, None]
    edges = [LEVELS * start + step * (end - start) for start, end in pairwise(CUBE_CORNERS)]
    path = np.concatenate([*edges, LEVELS * CUBE_CORNERS[-1:]]).astype(np.uint8)
    path.flags.writeable = False
    return path


CUBE_PATH = _cube_path()

STEP_BITS = 11
"""1785 steps fit in 11 bits; a squared distance to an edge, at most 2 * 255^2, in 20 more."""


def nearest_on_cube_walk(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project colours on the cube walk.

    levels: (..., 3) uint8.
    Returns steps (...) int32, 0..1785 from black to white, and residual (...) float32, the distance
    to the walk in levels. Of two edges at the same distance, the one nearer to black wins.
    """
    colors = levels.reshape(-1, 3)
    packed = np.empty(len(colors), np.int32)
    for start in range(0, len(colors), BLOCK):
        block = slice(start, start + BLOCK)
        packed[block] = _nearest_edge(colors[block].T.astype(np.int32))
    steps = packed & ((1 << STEP_BITS) - 1)
    residual = np.sqrt(packed >> STEP_BITS, dtype=np.float32)
    return steps.reshape(levels.shape[:-1]), residual.reshape(levels.shape[:-1])


def _nearest_edge(channels: np.ndarray) -> np.ndarray:
    """(3, N) levels -> (N,) squared distance in the high bits, step in the low ones.

    Within the cube the projection on an edge is the channel that the edge runs along; the
    distance is what the other two channels lack. Packed together, one minimum finds both.
    """
    along = channels, LEVELS - channels  # from the corner at 0, from the corner at 255
    squared = [distance * distance << STEP_BITS for distance in along]
    best = np.full(channels.shape[1], np.iinfo(np.int32).max, np.int32)
    for edge, (start, end) in enumerate(pairwise(CUBE_CORNERS)):
        axis = int(np.flatnonzero(start != end)[0])
        first, second = (other for other in range(3) if other != axis)
        packed = along[start[axis]][axis] + edge * LEVELS
        packed += squared[start[first]][first]
        packed += squared[start[second]][second]
        np.minimum(best, packed, out=best)
    return best
