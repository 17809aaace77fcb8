"""Depth edges: blends of two surfaces that decode to a third depth.

A generator blurs the border between two surfaces. The blend of two colours of a path lies on the
straight line between them, and where the path bends away from that line it decodes to a depth that
neither surface has: on the cube walk one blend in six even decodes to a place beyond both, by more
than 1 % of the path.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from teacher.depth import CUBE_WALK, DecodedDepth, DepthCodec
from teacher.rgb import as_levels
from teacher.vectors import dot, length

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""A pixel between two surfaces has one on each side: along a row, a column or a diagonal."""
DETOUR_LEVELS = 60.0
"""How much longer than the straight line the path is, at least, before a blend is looked for: a
surface that slopes across a bend of the path makes a smaller detour within three pixels."""
DETOUR_RATIO = 1.2
"""The same, in proportion."""
OFF_LINE_LEVELS = 16.0
"""A colour this near to the straight line between its neighbours' may be their blend."""
FAR_SHARE = 0.6
"""A blend belongs to the farther surface from this share on: too near is wrong by at most the depth
itself, too far by any multiple."""


def sharpen_edges(
    decoded: DecodedDepth, rgb: np.ndarray, codec: DepthCodec = CUBE_WALK
) -> DecodedDepth:
    """Give each pixel that blends two surfaces the depth of the one whose colour it has most of.

    A pixel is a blend where two neighbours opposite each other lie on both sides of a detour of the
    path, and the pixel's colour on the straight line between theirs. It takes the depth of one of
    the two: no new depth appears, nothing moves farther than a pixel, and paintings in gray, which
    make no detour, stay as they are. Bounded work: four pairs of neighbours for each pixel.

    decoded: what decode_depth gave for rgb; rgb: (H, W, 3) uint8, or float in 0..1; numpy.
    Returns the depths (H, W), changed at blends, with the residual as it was.
    Raises ValueError when the sizes do not match, and as teacher.rgb.as_levels does.
    """
    levels = as_levels(rgb)
    if levels.ndim != 3 or not levels.size or decoded.depth_m.shape != levels.shape[:2]:
        raise ValueError(
            f"expected a painting (H, W, 3) and its depth (H, W), found {levels.shape} and"
            f" {decoded.depth_m.shape}; pass one painting at a time"
        )
    place = path_length(codec) * codec.fraction(decoded.depth_m)
    depth_m = decoded.depth_m.copy()
    longest = np.zeros(depth_m.shape)
    for blends in _blends(levels, place):
        at = blends.rows, blends.columns
        longer = blends.line > longest[at]  # the pair that differs most crosses the edge best
        longest[at] = np.where(longer, blends.line, longest[at])
        depth_m[at] = np.where(longer, blends.nearest_side(decoded.depth_m), depth_m[at])
    return replace(decoded, depth_m=depth_m)


@dataclass(frozen=True, kw_only=True)
class _Blends:
    """N pixels that blend the colours of two neighbours."""

    rows: np.ndarray
    columns: np.ndarray
    first: tuple[np.ndarray, np.ndarray]
    """rows and columns of one neighbour"""
    second: tuple[np.ndarray, np.ndarray]
    share: np.ndarray
    """how much of the second neighbour's colour, 0..1"""
    line: np.ndarray
    """distance between the neighbours' colours in levels"""

    def nearest_side(self, depth_m: np.ndarray) -> np.ndarray:
        """(N,) the depth of one of the two neighbours; in doubt the smaller one."""
        first_m, second_m = depth_m[self.first], depth_m[self.second]
        far_share = np.where(second_m > first_m, self.share, 1 - self.share)
        pair = np.minimum(first_m, second_m), np.maximum(first_m, second_m)
        return np.where(far_share >= FAR_SHARE, pair[1], pair[0])


def _blends(levels: np.ndarray, place: np.ndarray) -> Iterator[_Blends]:
    """For each step the pixels that blend the neighbours one step before and one step after."""
    height, width = place.shape
    padded = np.pad(place, 1, mode="edge")
    for down, right in STEPS:
        before = padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]
        after = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        rows, columns = true_pixels(np.abs(after - before) > DETOUR_LEVELS)
        first = (rows - down).clip(0), (columns - right).clip(0, width - 1)
        second = (rows + down).clip(max=height - 1), (columns + right).clip(0, width - 1)
        start, end, color = (levels[at].astype(float) for at in (first, second, (rows, columns)))
        share, off, line = blend_share(color, start, end)
        detour = np.abs(place[second] - place[first])
        blend = (detour > DETOUR_RATIO * line) & (detour > line + DETOUR_LEVELS)
        blend &= (off < OFF_LINE_LEVELS) & (share > 0) & (share < 1)
        yield _Blends(
            rows=rows[blend],
            columns=columns[blend],
            first=(first[0][blend], first[1][blend]),
            second=(second[0][blend], second[1][blend]),
            share=share[blend],
            line=line[blend],
        )


def true_pixels(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """np.nonzero of a plane (H, W), ten times as fast where few pixels are true."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


def blend_share(
    color: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (N, 3) as blends of a start and an end: share of the end, distance off the straight
    line between them, and its length, both in levels."""
    start, end = start.astype(color.dtype), end.astype(color.dtype)
    along = end - start
    squared = dot(along, along)
    share = dot(color - start, along) / np.maximum(squared, 1)
    off = length(color - start - share[:, None] * along)
    return share, off, np.sqrt(squared)


@lru_cache(maxsize=64)
def path_length(codec: DepthCodec) -> float:
    """Length of a codec's path in levels; of a very fine Hilbert curve, which bends everywhere,
    that of a coarser one through points of it."""
    colors = codec.paint(np.linspace(0, 1, 1 << 16)).astype(float)
    return float(np.linalg.norm(np.diff(colors, axis=0), axis=1).sum())
