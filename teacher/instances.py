"""Instances of one class from a painting in which every instance has a colour of its own.

Source: arXiv 2604.20329 v3, appendix A: colours near the background are dropped, the rest is flood
filled from seeds, small and thin regions are dropped, and the parts of an object that something in
front cuts in two are joined again. The paper does not say where seeds lie; here the most frequent
colour comes first, because a seed on a blurred edge would start a region of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from teacher.rgb import as_levels

KNIGHT_MOVES = ((1, 2), (2, 1), (2, -1), (1, -2))
"""With their opposites and the eight neighbours, the 16-connectivity of the paper."""

CODE = np.array([1 << 16, 1 << 8, 1])
"""Makes one whole number of a colour, and back."""

BIN_BITS = 4
BIN_SHIFT = 8 - BIN_BITS
"""Seeds come from a histogram with bins of 16 levels a channel."""

SEED_STEPS = 2
"""Times that a seed moves to the mean of what it reaches; a histogram's bin can cut a colour."""


@dataclass(frozen=True)
class DecodedInstances:
    """Instances in order of falling area."""

    ids: np.ndarray
    """(H, W) uint16: 1..n, 0 = no instance"""
    colors: np.ndarray
    """(n, 3) float32, mean colour of each, in levels"""


@dataclass(frozen=True)
class _Part:
    """Pixels of one colour that hang together, or several such that were joined."""

    pixels: np.ndarray  # (N,) flat indices into the image
    box: np.ndarray  # (4,) -top, -left, bottom, right: the box around two is the maximum
    color: np.ndarray  # (3,) float64 mean

    def joined(self, other: "_Part") -> "_Part":
        pixels = np.concatenate([self.pixels, other.pixels])
        weighted = self.color * len(self.pixels) + other.color * len(other.pixels)
        return _Part(pixels, np.maximum(self.box, other.box), weighted / len(pixels))


def decode_instances(
    rgb: np.ndarray,
    background: Sequence[int] = (0, 0, 0),
    *,
    tau: float = 14.0,
    min_area: float = 2e-4,
    min_core: float = 0.1,
    max_spread: float = 5.0,
) -> DecodedInstances:
    """Read instances from a painting of one class.

    rgb:        (H, W, 3) uint8, or floating point in 0..1.
    background: colour of what is no instance, in levels.
    tau:        largest distance in levels, to a seed's colour or between the colours of two parts.
    min_area:   share of the image below which a region is dropped.
    min_core:   share of a region that must survive a 3 x 3 erosion, or it is dropped as a line.
    max_spread: parts of one colour are one instance if the box around both holds at most this
                many times their pixels.

    Raises ValueError for another shape or background, and as teacher.rgb.as_levels does.
    """
    levels = as_levels(np.asarray(rgb))
    if levels.ndim != 3 or not levels.size:
        raise ValueError(f"instances are read from one painting (H, W, 3), got {levels.shape}")
    if len(background) != 3:
        raise ValueError(f"a background colour has three levels, got {background}")
    min_pixels = max(1, int(np.ceil(min_area * levels.shape[0] * levels.shape[1])))
    area = _areas_of_one_color(levels, background, tau, min_pixels, min_core)
    core = _extreme(area, cv2.erode) == _extreme(area, cv2.dilate)
    parts: list[_Part] = []
    for pixels in _pixels_by_number(area):
        parts.extend(_solid_parts(pixels, core, levels, min_pixels, min_core))
    instances = _join_parts(parts, tau, max_spread)
    ids = np.zeros(levels.shape[:2], np.uint16)
    for number, instance in enumerate(instances, start=1):
        ids.flat[instance.pixels] = number
    colors = np.array([instance.color for instance in instances], np.float32).reshape(-1, 3)
    return DecodedInstances(ids, colors)


def _areas_of_one_color(
    levels: np.ndarray, background: Sequence[int], tau: float, min_pixels: int, min_core: float
) -> np.ndarray:
    """Number the pixels within tau of each seed: (H, W) float32 from 1, 0 = in no such area.

    Works on the colours that occur and how often, which are fewer than pixels.
    """
    codes, color_of = np.unique(levels.reshape(-1, 3) @ CODE, return_inverse=True)
    colors = (codes[:, None] // CODE % 256).astype(np.float32)
    bins = (colors.astype(np.intp) >> BIN_SHIFT) @ (1, 1 << BIN_BITS, 1 << 2 * BIN_BITS)
    flat = _flat(levels, tau) if min_core > 0 else np.ones(levels.shape[:2], bool)
    counts, flats = np.bincount(color_of), np.bincount(color_of, flat.ravel(), len(codes))
    free = _squared_distance(colors, np.asarray(background)) >= tau**2
    area = np.zeros(len(codes), np.float32)
    while (seeds := free * flats).sum() >= max(1, min_core * min_pixels):
        weight, reached = seeds * (bins == np.bincount(bins, seeds).argmax()), free
        # The mean of colours in a ball of radius tau, or in a bin, is within tau of one of them:
        # a seed always reaches something, so the loop ends.
        for _ in range(1 + SEED_STEPS):
            reached = free & (_squared_distance(colors, weight @ colors / weight.sum()) <= tau**2)
            weight = reached * counts
        area[reached] = area.max() + 1
        free &= ~reached
    return area[color_of].reshape(levels.shape[:2])


def _flat(levels: np.ndarray, tau: float) -> np.ndarray:
    """(H, W) bool: pixels whose 3 x 3 neighbourhood could lie within tau of one colour.

    Only these survive an erosion, so no other pixel needs to be tried as a seed.
    """
    spread = _extreme(levels, cv2.dilate) - _extreme(levels, cv2.erode)
    return spread.max(axis=-1) <= 2 * tau


def _extreme(plane: np.ndarray, erode_or_dilate: Callable[..., np.ndarray]) -> np.ndarray:
    """Least or largest value of the 3 x 3 neighbours; what lies beyond the image never counts."""
    return np.asarray(erode_or_dilate(plane, np.ones((3, 3), np.uint8)))


def _squared_distance(colors: np.ndarray, color: np.ndarray) -> np.ndarray:
    """(..., 3) float32, (3,) -> (...) float32"""
    apart = colors - color.astype(np.float32)
    return np.einsum("...i,...i->...", apart, apart)


def _pixels_by_number(area: np.ndarray) -> list[np.ndarray]:
    """Flat indices of the pixels of area 1, of area 2, and so on."""
    numbers = area.ravel().astype(np.intp)
    return np.split(numbers.argsort(kind="stable"), np.bincount(numbers).cumsum()[:-1])[1:]


def _solid_parts(
    pixels: np.ndarray, core: np.ndarray, levels: np.ndarray, min_pixels: int, min_core: float
) -> Iterator[_Part]:
    """The connected regions of an area that are large enough and not mere lines.

    pixels: (N,) flat indices; core: (H, W) bool, what a 3 x 3 erosion of its own area leaves.
    """
    rows, columns = np.divmod(pixels, levels.shape[1])
    place = rows - rows.min(), columns - columns.min()
    mask = np.zeros([1 + axis.max() for axis in place], np.uint8)
    mask[place] = 1
    region = _connected_regions(mask)[place]
    areas = np.bincount(region)
    cores = np.bincount(region, weights=core.ravel()[pixels])
    for number in np.flatnonzero((areas >= min_pixels) & (cores >= min_core * areas)):
        yield _part(pixels[region == number], levels)


def _part(pixels: np.ndarray, levels: np.ndarray) -> _Part:
    """Box and mean colour of some pixels."""
    rows, columns = np.divmod(pixels, levels.shape[1])
    box = np.array([-rows.min(), -columns.min(), rows.max() + 1, columns.max() + 1])
    return _Part(pixels, box, levels.reshape(-1, 3)[pixels].mean(axis=0))


def _connected_regions(mask: np.ndarray) -> np.ndarray:
    """Number the 16-connected regions of a mask, perhaps with gaps: (H, W) int32, 0 = outside."""
    count, found = cv2.connectedComponents(mask, connectivity=8)
    region = np.asarray(found, np.int32)
    pairs = np.concatenate([_touching(region, down, right) for down, right in KNIGHT_MOVES])
    if not len(pairs):
        return region
    first, second = np.unique(pairs, axis=0).T
    root, before = np.arange(count, dtype=np.int32), None
    while before is None or (root != before).any():  # the smallest number spreads along the pairs
        before = root.copy()
        smaller = np.minimum(root[first], root[second])
        np.minimum.at(root, first, smaller)
        np.minimum.at(root, second, smaller)
        root = root[root]
    return root[region]


def _touching(region: np.ndarray, down: int, right: int) -> np.ndarray:
    """(N, 2) pairs of different regions that lie one such move apart."""
    height, width = region.shape
    rows, other_rows = slice(0, height - down), slice(down, height)
    columns = slice(max(0, -right), width - max(0, right))
    other_columns = slice(max(0, right), width + min(0, right))
    here, there = region[rows, columns], region[other_rows, other_columns]
    return np.stack([here, there], axis=-1)[(here != there) & (here > 0) & (there > 0)]


def _join_parts(parts: list[_Part], tau: float, max_spread: float) -> list[_Part]:
    """Join parts of one colour that lie close together, until none fit; largest first."""
    before = len(parts) + 1
    while len(parts) < before:
        before = len(parts)
        parts = _joined_once(sorted(parts, key=lambda part: -len(part.pixels)), tau, max_spread)
    return parts


def _joined_once(parts: list[_Part], tau: float, max_spread: float) -> list[_Part]:
    """Give each part to the first larger one that it fits."""
    joined: list[_Part] = []
    for part in parts:
        fitting = (i for i, other in enumerate(joined) if _fit(part, other, tau, max_spread))
        place = next(fitting, None)
        if place is None:
            joined.append(part)
        else:
            joined[place] = joined[place].joined(part)
    return joined


def _fit(part: _Part, other: _Part, tau: float, max_spread: float) -> bool:
    """Whether two parts are one instance."""
    top, left, bottom, right = np.maximum(part.box, other.box)
    near = (top + bottom) * (left + right) <= max_spread * (len(part.pixels) + len(other.pixels))
    return bool(near and ((part.color - other.color) ** 2).sum() <= tau**2)
