"""The 3D Hilbert curve as a path through the RGB cube, of order 1 (8 vertices) to 8 (2^24).

The vertices lie on a grid that spans the cube and are rounded to whole levels, so that every colour
of the path is exact in 8 bits. At order 8 every colour is a vertex. The higher the order, the finer
the path and the nearer its far strands: noise of a fifth of the grid's spacing jumps between them.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from teacher.arrays import Array, Arrays, arrays_of
from teacher.rgb import LEVELS

MAX_ORDER = 8


def curve_points(index: Array, order: int) -> list[Array]:
    """Vertices of the curve: (N,) integers in 0..8^order - 1 -> three of (N,) in 0..2^order - 1.

    Source: J. Skilling, "Programming the Hilbert curve", AIP Conf. Proc. 707 (2004): Gray code,
    then rotations and reflections from the finest level to the coarsest.
    """
    point = [index & 0 for _ in range(3)]
    for bit, axis in product(range(order), range(3)):
        point[axis] |= (index >> (3 * bit + 2 - axis) & 1) << bit
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


def _turn(point: Array, bit: int, axis: int) -> None:
    """Below `bit`: reflect axis 0 where `axis` has the bit, else exchange it with `axis`."""
    low = (1 << bit) - 1
    reflected = -(point[axis] >> bit & 1) & low  # all of the low bits, or none
    exchanged = (point[0] ^ point[axis]) & (low ^ reflected)
    point[0] ^= reflected | exchanged
    point[axis] ^= exchanged


_BITS = np.arange(8)
SPREAD = ((np.arange(256)[:, None] >> _BITS & 1) << 3 * _BITS).sum(axis=1).astype(np.int32)
"""(256,) int32: the bits of a level, three places apart."""


def curve_colors(position: Array, order: int) -> Array:
    """Colours at positions (...) in 0..8^order - 1, whole at the vertices -> (..., 3) uint8."""
    xp = arrays_of(position)
    start = xp.cast(position, "int32").clip(0, 8**order - 2)
    share = position - start
    grid = xp.table(_grid, order)
    ends = zip(curve_points(start, order), curve_points(start + 1, order))
    channels = [grid[first] + share * (grid[second] - grid[first]) for first, second in ends]
    return xp.stack([xp.cast(xp.rint(channel), "uint8") for channel in channels])


def nearest_on_curve(levels: Array, order: int) -> tuple[Array, Array]:
    """Project colours on the curve.

    levels: (..., 3) uint8, numpy or torch.
    Returns position (...) float64 in 0..8^order - 1 and residual (...) float32, the distance to the
    curve in levels. At order 8 every colour is on the curve.
    """
    xp = arrays_of(levels)

    def nearest(colors: Array) -> tuple[Array, Array]:
        channels = [xp.cast(colors[..., channel], "int32") for channel in range(3)]
        read = _fine_index if order == MAX_ORDER else _nearest_in_cell
        return read(channels, order, xp)

    return xp.in_passes(nearest, levels)


@lru_cache(maxsize=MAX_ORDER)
def _grid(order: int) -> np.ndarray:
    """(2^order,) int32: levels of the vertices along one axis, from 0 to 255."""
    return np.rint(np.linspace(0, LEVELS, 2**order)).astype(np.int32)


@lru_cache(maxsize=MAX_ORDER)
def _vertex_index(order: int) -> np.ndarray:
    """(8^order,) int32: place on the curve of the vertex in row-major order; 8 MB at order 7."""
    return curve_index(np.indices((2**order,) * 3).reshape(3, -1), order)


def _nearest_in_cell(channels: list[Array], order: int, xp: Arrays) -> tuple[Array, Array]:
    """Three of (N,) int32 levels -> position (N,) float64, residual (N,) float32.

    Only the grid cell around a colour matters: its nearest corner, which is on the curve as every
    vertex is, is nearer than any edge that does not touch the cell. So the candidates are the
    nearest corner and those of the cell's twelve edges that the curve follows.
    """
    cell, offset, size = xp.table(_cells, order)
    strides = 4**order, 2**order, 1
    vertex = xp.table(_vertex_index, order)
    after = [offset[channel] for channel in channels]  # levels from the cell's lower corner
    width = [size[channel] for channel in channels]
    before = [whole - part for whole, part in zip(width, after)]
    squared = [part * part for part in after], [part * part for part in before]
    lowest = sum(stride * cell[channel] for stride, channel in zip(strides, channels))
    place = {
        sides: vertex[lowest + sum(stride * side for stride, side in zip(strides, sides))]
        for sides in product((0, 1), repeat=3)
    }
    least = sum(xp.minimum(near, far) for near, far in zip(*squared))
    nearest = sum(stride * (a > b) for stride, a, b in zip(strides, after, before))
    position = xp.cast(vertex[lowest + nearest], "float64")
    for axis, *sides in product(range(3), (0, 1), (0, 1)):
        first, second = (other for other in range(3) if other != axis)
        start, end = (place[(*sides[:axis], bit, *sides[axis:])] for bit in (0, 1))
        apart = squared[sides[0]][first] + squared[sides[1]][second]
        nearer = (abs(end - start) == 1) & (apart < least)
        along = start + (end - start) * (xp.cast(after[axis], "float64") / width[axis])
        position = xp.where(nearer, along, position)
        least = xp.where(nearer, apart, least)
    return position, xp.sqrt(xp.cast(least, "float32"))


@lru_cache(maxsize=MAX_ORDER)
def _cells(order: int) -> np.ndarray:
    """(3, 256) int32: for each level its grid cell along an axis, offset in the cell, its size."""
    grid, levels = _grid(order), np.arange(LEVELS + 1, dtype=np.int32)
    cell = np.clip(np.searchsorted(grid, levels, side="right") - 1, 0, len(grid) - 2)
    return np.stack([cell, levels - grid[cell], np.diff(grid)[cell]]).astype(np.int32)


def _fine_index(channels: list[Array], _: int, xp: Arrays) -> tuple[Array, Array]:
    """curve_index at order 8 by two look-ups: the high four bits of each level, then the low."""
    coarse, fine = xp.table(_coarse_table), xp.table(_fine_table)
    red, green, blue = channels
    high = (red & 240) << 4 | green & 240 | blue >> 4
    low = (red & 15) << 8 | (green & 15) << 4 | blue & 15
    index = coarse[0][high] | fine[coarse[1][high] | low]
    return xp.cast(index, "float64"), xp.cast(index & 0, "float32")


@lru_cache(maxsize=1)
def _orientations() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order-8 curve as an order-4 curve of turned order-4 curves.

    Each of the 4096 coarse cells holds the same curve in one of a few orientations, told apart by
    the order in which it visits the cell's octants. Returns, for each cell, the high bits of the
    index (4096,) and its orientation (4096,), and for each orientation a cell that has it.
    """
    octants = 8 * np.indices((2, 2, 2)).reshape(3, -1)  # (3, 8)
    inside = 16 * _nibbles()[:, :, None] + octants[:, None]
    visits = curve_index(inside.reshape(3, -1), MAX_ORDER).reshape(-1, 8)
    _, example, state = np.unique(visits % 4096, axis=0, return_index=True, return_inverse=True)
    return visits[:, 0] & ~4095, state, example


def _nibbles() -> np.ndarray:
    """(3, 4096): four bits of each channel, row-major."""
    return np.indices((16, 16, 16)).reshape(3, -1)


@lru_cache(maxsize=1)
def _coarse_table() -> np.ndarray:
    """(2, 4096) int32: high bits of the index of each coarse cell; where its fine table starts."""
    top, state, _ = _orientations()
    return np.stack([top, state * 4096]).astype(np.int32)


@lru_cache(maxsize=1)
def _fine_table() -> np.ndarray:
    """(orientations * 4096,) int32: low bits of the index, one orientation after the other."""
    example = _orientations()[2]
    within = 16 * _nibbles()[:, example, None] + _nibbles()[:, None]
    return curve_index(within.reshape(3, -1), MAX_ORDER) % 4096
