"""Class ids as colours and back: the legend that a prompt names, and the nearest colour in it.

Source: arXiv 2604.20329 v3, section 3: each pixel belongs to the nearest prompted colour. Colours
are bound to classes by the prompt alone, so a legend can be permuted from one painting to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from teacher.instances import DecodedInstances, decode_instances
from teacher.rgb import LEVELS, as_levels, nearest_color

__all__ = [
    "MAX_DISTINCT",
    "DecodedInstances",
    "DecodedSegments",
    "Palette",
    "decode_instances",
    "decode_segments",
    "distinct_colors",
    "encode_segments",
]

MAX_DISTINCT = 150
"""As many classes as ADE20K has; then the colours still lie 49 levels apart."""

IGNORE_COLOR = (0, 0, 0)
"""Pixels that carry no class are painted black; no colour of `distinct_colors` comes near it."""


@dataclass(frozen=True, eq=False)
class Palette:
    """Class names and their colours; the id of a class is its row."""

    names: tuple[str, ...]
    colors: np.ndarray
    """(n, 3) uint8"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "colors", _as_colors(self.colors))
        if not self.names:
            raise ValueError("a palette needs at least one class, got none")
        if len(self.names) != len(self.colors):
            raise ValueError(
                f"a palette needs one colour a class, got {len(self.names)} names"
                f" and {len(self.colors)} colours"
            )
        _refuse_twins(self.names, self.colors)

    @classmethod
    def distinct(cls, names: Sequence[str]) -> "Palette":
        """The classes with the most distinct colours there are for their number."""
        return cls(tuple(names), distinct_colors(len(names)))

    def permuted(self, seed: int) -> "Palette":
        """The same classes with the same colours dealt out anew; the ids stay as they are."""
        order = np.random.default_rng(seed).permutation(len(self.names))
        return Palette(self.names, self.colors[order])

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ignore_id(self) -> int:
        """The id of a pixel without a class: 255, or 65535 where ids need 16 bits."""
        return int(np.iinfo(self.id_dtype).max)

    @property
    def id_dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest type that holds every id and `ignore_id`."""
        return np.uint8 if len(self) <= np.iinfo(np.uint8).max else np.uint16


def _as_colors(colors: np.ndarray) -> np.ndarray:
    """(n, 3) uint8 from an array or nested lists of whole numbers in 0..255; read-only."""
    found = np.asarray(colors)
    if found.size == 0:
        found = found.reshape(0, 3)
    if found.ndim != 2 or found.shape[1] != 3:
        raise ValueError(f"palette colours need shape (n, 3), got {found.shape}")
    if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() > LEVELS):
        raise ValueError(
            f"palette colours are whole numbers in 0..255, got {found.dtype}"
            f" in {found.min()}..{found.max()}"
        )
    levels = found.astype(np.uint8)
    levels.flags.writeable = False
    return levels


def _refuse_twins(names: tuple[str, ...], colors: np.ndarray) -> None:
    """Raise ValueError if two classes share a name or a colour."""
    seen: dict[object, str] = {}
    for name, color in zip(names, map(tuple, colors.tolist())):
        if name in seen:
            raise ValueError(f"the palette names class {name!r} twice; give every class one row")
        if color in seen:
            raise ValueError(f"classes {seen[color]!r} and {name!r} share the colour {color}")
        seen[name] = seen[color] = name


@dataclass(frozen=True)
class DecodedSegments:
    """What a painting of classes says, and how firmly."""

    ids: np.ndarray
    """(...) uint8 (uint16 from 256 classes on), row of the nearest colour of the palette"""
    margin: np.ndarray
    """(...) float32, distance to the second nearest colour less that to the nearest, in levels"""


def encode_segments(ids: np.ndarray, palette: Palette) -> np.ndarray:
    """Paint class ids in the palette's colours.

    ids:    (...) integer, rows of the palette; palette.ignore_id = no class, painted black.
    Returns (..., 3) uint8.

    Inverse: decode_segments, exactly (but for ignored pixels). Raises ValueError for another id.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise ValueError(f"class ids are integers, got {ids.dtype}")
    ignored = ids == palette.ignore_id
    strange = ids[~ignored & ((ids < 0) | (ids >= len(palette)))]
    if strange.size:
        raise ValueError(
            f"class id {strange[0]} is not in a palette of {len(palette)} classes;"
            f" use 0..{len(palette) - 1}, or {palette.ignore_id} to ignore a pixel"
        )
    rows = np.where(ignored, len(palette), ids).astype(np.intp)
    return np.concatenate([palette.colors, [IGNORE_COLOR]]).astype(np.uint8)[rows]


def decode_segments(rgb: np.ndarray, palette: Palette) -> DecodedSegments:
    """Read class ids from a painting: the nearest colour of the palette.

    rgb: (..., 3) uint8, or floating point in 0..1. Every pixel gets a class; the margin says how
    clear it was. A palette of one class has margin inf.

    Inverse: encode_segments. Raises ValueError as teacher.rgb.as_levels does.
    """
    nearest = nearest_color(as_levels(rgb), palette.colors)
    return DecodedSegments(nearest.index.astype(palette.id_dtype), nearest.margin)


@lru_cache(maxsize=32)
def distinct_colors(count: int) -> np.ndarray:
    """`count` colours as far apart as can be, the same everywhere: (count, 3) uint8, read-only.

    Black and white count as taken: they stand for "no class" and for what a generator leaves
    unpainted. Six or fewer colours are 255 levels or more apart, 20 are 124, 150 are 51. Found by
    farthest-point sampling on the colours whose hex digits come in pairs (#ff8800), from several
    starts; then every colour moves to the freest place until none gains.
    """
    if not 1 <= count <= MAX_DISTINCT:
        raise ValueError(f"distinct_colors makes 1 to {MAX_DISTINCT} colours, got count={count}")
    pairs = np.arange(0, LEVELS + 1, 17)
    grid = np.stack(np.meshgrid(pairs, pairs, pairs, indexing="ij"), axis=-1).reshape(-1, 3)
    starts = np.linspace(0, len(grid) - 1, 1 + SEARCH_EFFORT // count).astype(int)
    found = [_spread_out(_farthest_points(count, grid, start), grid) for start in starts]
    best = max(found, key=_least_distance)
    return _as_colors(best[len(TAKEN) :])


TAKEN = np.array([[0, 0, 0], [255, 255, 255]])

SEARCH_EFFORT = 160
"""Colours placed over all the starts: a fraction of a second, whatever the count."""


def _squared_distances(grid: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Whole numbers, so that the choice is the same on every machine."""
    return ((grid - color) ** 2).sum(axis=1)


def _farthest_points(count: int, grid: np.ndarray, start: int) -> np.ndarray:
    """TAKEN, grid[start], then always the colour that is farthest from all so far."""
    chosen = [*TAKEN, grid[start]]
    nearest = np.min([_squared_distances(grid, color) for color in chosen], axis=0)
    while len(chosen) < len(TAKEN) + count:
        chosen.append(grid[nearest.argmax()])
        nearest = np.minimum(nearest, _squared_distances(grid, chosen[-1]))
    return np.array(chosen)


def _spread_out(colors: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Move each colour but TAKEN to where its nearest neighbour is farthest, until none gains."""
    distances = np.array([_squared_distances(grid, color) for color in colors])
    moved = True
    while moved:
        moved = False
        for row in range(len(TAKEN), len(colors)):
            others = np.delete(distances, row, axis=0).min(axis=0)
            here = _squared_distances(np.delete(colors, row, axis=0), colors[row]).min()
            if others.max() > here:
                colors[row] = grid[others.argmax()]
                distances[row] = _squared_distances(grid, colors[row])
                moved = True
    return colors


def _least_distance(colors: np.ndarray) -> int:
    """Squared distance of the closest pair."""
    rows, columns = np.triu_indices(len(colors), k=1)
    return int(((colors[rows] - colors[columns]) ** 2).sum(axis=1).min())
