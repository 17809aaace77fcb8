"""The 3D Hilbert curve as a path through the RGB cube, of order 1 (8 vertices) to 8 (2^24).

The vertices lie on a grid that spans the cube and are rounded to whole levels, so that every colour
of the path is exact in 8 bits. At order 8 every colour is a vertex. The higher the order, the finer
the path and the nearer its far strands: noise of a fifth of the grid's spacing jumps between them.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from teacher.rgb import BLOCK, LEVELS

MAX_ORDER = 8


def curve_points(index: np.ndarray, order: int) -> np.ndarray:
    """Vertices of the curve: (N,) integers in 0..8^order - 1 -> (3, N) int32 in 0..2^order - 1.

    Source: J. Skilling, "Programming the Hilbert curve", AIP Conf. Proc. 707 (2004): Gray code,
    then rotations and reflections from the finest level to the coarsest.
    """
    point = np.zeros((3, *index.shape), np.int32)
    for bit, axis in product(range(order), range(3)):
        point[axis] |= ((index >> (3 * bit + 2 - axis)) & 1).astype(np.int32) << bit
    last = point[2] >> 1
    point[2] ^= point[1]
    point[1] ^= point[0]
    point[0] ^= last
    for bit, axis in product(range(1, order), (2, 1, 0)):
        _turn(point, bit, axis)
    return point


def curve_index(point: np.ndarray, order: int) -> np.ndarray:
    """Inverse of curve_points: (3, N) integers in 0..2^order - 1 -> (N,) int32."""
    point = point.astype(np.int32)
    for bit, axis in product(range(order - 1, 0, -1), range(3)):
        _turn(point, bit, axis)
    point[1] ^= point[0]
    point[2] ^= point[1]
    parity = point[2] >> 1  # becomes, for every bit, the parity of the bits above it
    for shift in (1, 2, 4):
        parity ^= parity >> shift
    red, green, blue = SPREAD[point ^ parity]
    return red << 2 | green << 1 | blue


def _turn(point: np.ndarray, bit: int, axis: int) -> None:
    """Below `bit`: reflect axis 0 where `axis` has the bit, else exchange it with `axis`."""
    low = (1 << bit) - 1
    reflected = -(point[axis] >> bit & 1) & low  # all of the low bits, or none
    exchanged = (point[0] ^ point[axis]) & (low ^ reflected)
    point[0] ^= reflected | exchanged
    point[axis] ^= exchanged


_BITS = np.arange(8)
SPREAD = ((np.arange(256)[:, None] >> _BITS & 1) << 3 * _BITS).sum(axis=1).astype(np.int32)
"""(256,) int32: the bits of a level, three places apart."""


def curve_colors(position: np.ndarray, order: int) -> np.ndarray:
    """Colours at positions (...) in 0..8^order - 1, whole at the vertices -> (..., 3) uint8."""
    start = np.minimum(position.astype(np.int32), 8**order - 2)
    share = position - start
    grid = _grid(order)
    first, second = grid[curve_points(start, order)], grid[curve_points(start + 1, order)]
    return np.moveaxis(np.rint(first + share * (second - first)), 0, -1).astype(np.uint8)


def nearest_on_curve(levels: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Project colours on the curve.

    levels: (..., 3) uint8.
    Returns position (...) float64 in 0..8^order - 1 and residual (...) float32, the distance to the
    curve in levels. At order 8 every colour is on the curve.
    """
    colors = levels.reshape(-1, 3)
    position = np.empty(len(colors))
    residual = np.zeros(len(colors), np.float32)
    for start in range(0, len(colors), BLOCK):
        block = slice(start, start + BLOCK)
        channels = colors[block].T
        if order == MAX_ORDER:
            position[block] = _fine_index(channels)
        else:
            position[block], residual[block] = _nearest_in_cell(channels, order)
    return position.reshape(levels.shape[:-1]), residual.reshape(levels.shape[:-1])


@lru_cache(maxsize=MAX_ORDER)
def _grid(order: int) -> np.ndarray:
    """(2^order,) int32: levels of the vertices along one axis, from 0 to 255."""
    return np.rint(np.linspace(0, LEVELS, 2**order)).astype(np.int32)


@lru_cache(maxsize=MAX_ORDER)
def _vertex_index(order: int) -> np.ndarray:
    """(8^order,) int32: place on the curve of the vertex in row-major order; 8 MB at order 7."""
    return curve_index(np.indices((2**order,) * 3).reshape(3, -1), order)


def _nearest_in_cell(channels: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """(3, N) levels -> position (N,) float64, residual (N,) float32.

    Only the grid cell around a colour matters: its nearest corner, which is on the curve as every
    vertex is, is nearer than any edge that does not touch the cell. So the candidates are the
    nearest corner and those of the cell's twelve edges that the curve follows.
    """
    cell, offset, size = _cells(order)
    stride = np.array([4**order, 2**order, 1], np.int32)
    after = offset[channels]  # (3, N) levels from the cell's lower corner
    before = size[channels] - after
    squared = after * after, before * before
    vertex = _vertex_index(order)
    corner = stride @ cell[channels]
    place = {bits: vertex[corner + stride @ bits] for bits in product((0, 1), repeat=3)}

    least = np.minimum(*squared).sum(axis=0)
    position = vertex[corner + stride @ (before < after)].astype(np.float64)
    for axis, *sides in product(range(3), (0, 1), (0, 1)):
        first, second = (other for other in range(3) if other != axis)
        start, end = (place[tuple(np.insert(sides, axis, bit))] for bit in (0, 1))
        apart = squared[sides[0]][first] + squared[sides[1]][second]
        nearer = (abs(end - start) == 1) & (apart < least)
        along = after[axis] / size[channels[axis]]
        position[nearer] = (start + (end - start) * along)[nearer]
        least[nearer] = apart[nearer]
    return position, np.sqrt(least, dtype=np.float32)


@lru_cache(maxsize=MAX_ORDER)
def _cells(order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of the 256 levels: its grid cell along an axis, offset in the cell, cell's size."""
    grid, levels = _grid(order), np.arange(LEVELS + 1, dtype=np.int32)
    cell = np.clip(np.searchsorted(grid, levels, side="right") - 1, 0, len(grid) - 2)
    return cell.astype(np.int32), levels - grid[cell], np.diff(grid)[cell]


def _fine_index(channels: np.ndarray) -> np.ndarray:
    """curve_index at order 8 by two look-ups: the high four bits of each level, then the low."""
    top, state, bottom = _fine_tables()
    red, green, blue = channels.astype(np.uint16)
    high = (red & 240) << 4 | green & 240 | blue >> 4
    low = (red & 15) << 8 | (green & 15) << 4 | blue & 15
    return top[high] | bottom[state[high] | low]


@lru_cache(maxsize=1)
def _fine_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order-8 curve as an order-4 curve of turned order-4 curves.

    Each of the 4096 coarse cells holds the same curve in one of a few orientations, told apart by
    the order in which it visits the cell's octants. Returns, for each cell, the high bits of the
    index and its orientation (times 4096), and for each orientation the low bits of the index.
    """
    nibbles = np.indices((16, 16, 16)).reshape(3, -1)  # (3, 4096)
    octants = 8 * np.indices((2, 2, 2)).reshape(3, -1)  # (3, 8)
    inside = 16 * nibbles[:, :, None] + octants[:, None]
    visits = curve_index(inside.reshape(3, -1), MAX_ORDER).reshape(-1, 8)
    _, example, state = np.unique(visits % 4096, axis=0, return_index=True, return_inverse=True)
    within = 16 * nibbles[:, example, None] + nibbles[:, None]
    bottom = curve_index(within.reshape(3, -1), MAX_ORDER) % 4096
    return visits[:, 0] & ~4095, (state * 4096).astype(np.int32), bottom
