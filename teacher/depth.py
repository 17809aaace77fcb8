"""Metric depth as colours on a path through the RGB cube, and back.

Every codec maps metres to a colour, and any colour to the nearest point of its path:

- unknown depth (NaN, zero, negative) is painted black, which is 0 m on the cube walk: it comes back
  as 0, and every later stage reads 0 as unknown;
- sky (+inf) is painted as the far end: white on the cube walk, which decodes to +inf;
- a codec with a range clamps to it and has no colour to spare for either: sky comes back as far_m,
  unknown as the depth whose colour is nearest to black;
- the residual, the Euclidean distance from a colour to the path in colour levels, is evidence
  of a bad pixel: a clean painting has residual 0.

The default is the cube walk of arXiv 2604.20329 v3, section 3. Decode before any resizing: a blend
of two colours is a third depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from teacher.colormaps import COLOR_MAPS, color_map, nearest_on_map
from teacher.cubewalk import CUBE_PATH, nearest_on_cube_walk
from teacher.hilbert import MAX_ORDER, curve_colors, nearest_on_curve
from teacher.rgb import LEVELS, as_levels


@dataclass(frozen=True)
class DecodedDepth:
    """What a painting of depth says, and how firmly."""

    depth_m: np.ndarray
    """(...) float32 metres, >= 0; +inf = sky"""
    residual: np.ndarray
    """(...) float32, distance of the colour from the codec's path in levels, 0..441"""


class DepthCodec(Protocol):
    """A path of colours. `paint` gets known depth only (> 0, perhaps +inf); `read` any colour."""

    def paint(self, depth_m: np.ndarray) -> np.ndarray: ...

    def read(self, levels: np.ndarray) -> DecodedDepth: ...


@dataclass(frozen=True)
class CubeWalk:
    """Black, red, yellow, green, cyan, blue, magenta, white: seven edges, 1785 steps, 0 m to inf.

    Position on the walk: f = 1 - (1 - depth / (lam c)) ** (lam + 1). With the defaults the corners
    lie at 0, 0.80, 1.83, 3.23, 5.28, 8.71, 16.46 m and infinity, and one step is 0.2 % at 5 m, 1 %
    at 0.3 m, 4 % at 100 m. White begins at 587 m: beyond that, finite depth is painted as sky.
    """

    lam: float = -3.0
    c: float = 10 / 3

    def __post_init__(self) -> None:
        if not (-np.inf < self.lam < -1 and 0 < self.c < np.inf):
            raise ValueError(
                f"the cube walk needs lam < -1 and c > 0, got lam={self.lam}, c={self.c};"
                " the paper uses lam=-3, c=10/3"
            )

    def paint(self, depth_m: np.ndarray) -> np.ndarray:
        fraction = 1 - (1 - depth_m / (self.lam * self.c)) ** (self.lam + 1)
        return CUBE_PATH[np.rint(fraction * (len(CUBE_PATH) - 1)).astype(np.intp)]

    def read(self, levels: np.ndarray) -> DecodedDepth:
        steps, residual = nearest_on_cube_walk(levels)
        return DecodedDepth(_cube_walk_depths(self)[steps], residual)


@lru_cache(maxsize=8)
def _cube_walk_depths(codec: CubeWalk) -> np.ndarray:
    """(1786,) float32: metres at every step of the walk; the last one is inf."""
    remaining = np.linspace(1, 0, len(CUBE_PATH))
    with np.errstate(divide="ignore", over="ignore"):  # the end of the walk is at infinity
        depth_m = codec.lam * codec.c * (1 - remaining ** (1 / (codec.lam + 1)))
        table = np.abs(depth_m).astype(np.float32)  # abs: the walk starts at 0, not -0
    table.flags.writeable = False
    return table


def check_range(codec: Any) -> None:
    """Raise ValueError unless 0 <= near_m < far_m < inf."""
    if not 0 <= codec.near_m < codec.far_m < np.inf:
        raise ValueError(
            f"{type(codec).__name__} needs 0 <= near_m < far_m, both finite,"
            f" got near_m={codec.near_m}, far_m={codec.far_m}"
        )


def _fraction(depth_m: np.ndarray, codec: Any) -> np.ndarray:
    """Metres, clamped to the codec's range -> 0 at near_m, 1 at far_m (float64)."""
    clamped = np.clip(depth_m, codec.near_m, codec.far_m, dtype=np.float64)
    return (clamped - codec.near_m) / (codec.far_m - codec.near_m)


def _metres(fraction: np.ndarray, codec: Any) -> np.ndarray:
    """Inverse of _fraction (float32)."""
    return (codec.near_m + fraction * (codec.far_m - codec.near_m)).astype(np.float32)


@dataclass(frozen=True)
class Gray:
    """Depth linear from black (near_m) to white (far_m), 255 steps; 0..1 serves affine depth."""

    near_m: float = 0.1
    far_m: float = 100.0

    def __post_init__(self) -> None:
        check_range(self)

    def paint(self, depth_m: np.ndarray) -> np.ndarray:
        return _gray(_fraction(depth_m, self))

    def read(self, levels: np.ndarray) -> DecodedDepth:
        fraction, residual = _read_gray(levels)
        return DecodedDepth(_metres(fraction, self), residual)


@dataclass(frozen=True)
class DisparityGray:
    """Inverse depth linear from white (near_m > 0) to black (far_m), 255 steps."""

    near_m: float = 0.1
    far_m: float = 100.0

    def __post_init__(self) -> None:
        check_range(self)
        if self.near_m == 0:
            raise ValueError("DisparityGray needs near_m > 0, got 0: its disparity is infinite")

    def paint(self, depth_m: np.ndarray) -> np.ndarray:
        disparity = 1 / np.clip(depth_m, self.near_m, self.far_m, dtype=np.float64)
        return _gray((disparity - 1 / self.far_m) / (1 / self.near_m - 1 / self.far_m))

    def read(self, levels: np.ndarray) -> DecodedDepth:
        fraction, residual = _read_gray(levels)
        disparity = 1 / self.far_m + fraction * (1 / self.near_m - 1 / self.far_m)
        return DecodedDepth((1 / disparity).astype(np.float32), residual)


def _gray(fraction: np.ndarray) -> np.ndarray:
    """0..1 -> (..., 3) uint8 from black to white."""
    gray = np.rint(fraction * LEVELS).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)


def _read_gray(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project colours on the diagonal from black to white: position 0..1, distance in levels."""
    channels = levels.astype(np.float32)
    mean = channels.mean(axis=-1)
    residual = np.linalg.norm(channels - mean[..., None], axis=-1)
    return mean / LEVELS, residual


@dataclass(frozen=True)
class ColorMap:
    """Depth linear along plasma, inferno or viridis, 255 steps from near_m to far_m.

    Two pairs of viridis share a colour in 8 bits, so that it is one step coarser there.
    """

    name: str
    near_m: float = 0.1
    far_m: float = 100.0

    def __post_init__(self) -> None:
        if self.name not in COLOR_MAPS:
            raise ValueError(
                f"unknown colour map {self.name!r}; choose one of {', '.join(COLOR_MAPS)}"
            )
        check_range(self)

    def paint(self, depth_m: np.ndarray) -> np.ndarray:
        return color_map(self.name)[np.rint(_fraction(depth_m, self) * LEVELS).astype(np.intp)]

    def read(self, levels: np.ndarray) -> DecodedDepth:
        row, residual = nearest_on_map(levels, self.name)
        return DecodedDepth(_metres(row / LEVELS, self), residual)


@dataclass(frozen=True)
class Hilbert:
    """Depth along a 3D Hilbert curve of order 1 to 8; the far end is at the corner (255, 0, 0).

    Position on the curve: ((depth - near_m) / (far_m - near_m)) ** gamma. Order 2 is three times
    finer than the cube walk and still bears noise; order 8 has 2^24 levels, more than float32 tells
    apart at the far end, and bears none.
    """

    order: int
    near_m: float = 0.1
    far_m: float = 100.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.order, int) and 1 <= self.order <= MAX_ORDER):
            raise ValueError(f"a Hilbert curve has order 1 to {MAX_ORDER}, got order={self.order}")
        if not 0 < self.gamma < np.inf:
            raise ValueError(f"Hilbert needs gamma > 0, got gamma={self.gamma}")
        check_range(self)

    def paint(self, depth_m: np.ndarray) -> np.ndarray:
        return curve_colors(_fraction(depth_m, self) ** self.gamma * self._last, self.order)

    def read(self, levels: np.ndarray) -> DecodedDepth:
        position, residual = nearest_on_curve(levels, self.order)
        return DecodedDepth(_metres((position / self._last) ** (1 / self.gamma), self), residual)

    @property
    def _last(self) -> int:
        return 8**self.order - 1


CUBE_WALK = CubeWalk()

CODECS: dict[str, Any] = {
    "cubewalk": CubeWalk,
    "hilbert": Hilbert,
    "gray": Gray,
    "disparity_gray": DisparityGray,
    "colormap": ColorMap,
}
"""Name in label.json and teacher.json -> class."""


def encode_depth(depth_m: np.ndarray, codec: DepthCodec = CUBE_WALK) -> np.ndarray:
    """Paint depth as colours on the codec's path.

    depth_m: (...) floating point or integer, metres along the optical axis; NaN, zero or negative =
             unknown, painted black; +inf = sky, painted as the far end (white on the cube walk).
    Returns  (..., 3) uint8 RGB.

    Inverse: decode_depth, within one step of the path. Source: arXiv 2604.20329 v3, section 3.
    Raises ValueError if depth_m does not hold real numbers.
    """
    depth_m = np.asarray(depth_m)
    if depth_m.dtype.kind not in "fiu":
        raise ValueError(f"depth needs real numbers (metres), got {depth_m.dtype}")
    if depth_m.dtype != np.float64:
        depth_m = depth_m.astype(np.float32)
    known = depth_m > 0
    rgb = codec.paint(np.where(known, depth_m, 1))
    return np.where(known[..., None], rgb, np.uint8(0))


def decode_depth(rgb: np.ndarray, codec: DepthCodec = CUBE_WALK) -> DecodedDepth:
    """Read depth from a painting: the nearest point of the codec's path, and how far it is.

    rgb: (..., 3) uint8, or floating point in 0..1 (rounded to 8 bits). Every colour decodes to a
         finite depth or, at the far end of the cube walk, to +inf; none to NaN.

    Inverse: encode_depth. Raises ValueError as teacher.rgb.as_levels does.
    """
    return codec.read(as_levels(rgb))


def codec_to_json(codec: DepthCodec) -> dict[str, Any]:
    """A codec as plain JSON values: its name under "codec", then its parameters."""
    names = {kind: name for name, kind in CODECS.items()}
    return {"codec": names[type(codec)], **vars(codec)}


def codec_from_json(record: Mapping[str, Any]) -> DepthCodec:
    """Inverse of codec_to_json. Raises ValueError for an unknown codec or a bad parameter."""
    parameters = dict(record)
    name = parameters.pop("codec", None)
    if name not in CODECS:
        raise ValueError(
            f'a depth codec names itself under "codec" as one of {", ".join(CODECS)}; got {name!r}'
        )
    try:
        return CODECS[name](**parameters)
    except TypeError as error:
        raise ValueError(
            f"depth codec {name!r} cannot be read from {dict(record)}: {error}"
        ) from None
