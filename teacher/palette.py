"""Class ids as colours and back: the legend that a prompt names, and the nearest colour in it.

Source: arXiv 2604.20329 v3, section 3: each pixel belongs to the nearest prompted colour. Colours
are bound to classes by the prompt alone, so a legend can be permuted from one painting to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teacher.deal import deal_colors
from teacher.distinct import MAX_DISTINCT, distinct_colors
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

    def legends(self, count: int, seed: int = 0) -> tuple["Palette", ...]:
        """Legends to vote over: this palette first, then its colours dealt anew.

        Every class has another colour in each (up to as many legends as classes), and two classes
        with close colours in one legend have distant ones in the others: see teacher.deal. The
        same on every machine. Raises ValueError for fewer than one legend.
        """
        if count < 1:
            raise ValueError(f"a vote needs at least one legend, got count={count}")
        deals = deal_colors(self.colors, count, seed)
        return (self, *(Palette(self.names, self.colors[deal]) for deal in deals[1:]))

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
    try:
        found = np.asarray(colors)
    except ValueError:
        raise ValueError("palette colours need shape (n, 3), got rows of other lengths") from None
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


def decode_segments(
    rgb: np.ndarray, palette: Palette, *, max_distance: float | None = None
) -> DecodedSegments:
    """Read class ids from a painting: the nearest colour of the palette.

    rgb: (..., 3) uint8, or floating point in 0..1. Every pixel gets a class; the margin says how
    clear it was. A palette of one class has margin inf.
    max_distance: in levels; a pixel farther than this from every colour gets ignore_id. The paper
    states no such threshold.

    Inverse: encode_segments. Raises ValueError as teacher.rgb.as_levels does, and for a negative
    max_distance.
    """
    if max_distance is not None and not max_distance >= 0:
        raise ValueError(f"max_distance is 0 levels or more, got {max_distance}")
    nearest = nearest_color(as_levels(np.asarray(rgb)), palette.colors)
    ids = nearest.index.astype(palette.id_dtype)
    if max_distance is not None:
        ids[nearest.distance > max_distance] = palette.ignore_id
    return DecodedSegments(ids, nearest.margin)
