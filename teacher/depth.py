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

numpy arrays and torch tensors go through the same code. Few colours of eight bits lie on most
paths: those codecs read a colour as a whole number, its place, and look the metres up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from teacher.arrays import Array, arrays_of, dtype_name, is_tensor
from teacher.colormaps import COLOR_MAPS, color_map, nearest_on_map
from teacher.cubewalk import LAST_STEP, cube_path, nearest_on_cube_walk
from teacher.hilbert import MAX_ORDER, curve_colors, nearest_on_curve
from teacher.rgb import LEVELS, as_levels


@dataclass(frozen=True)
class DecodedDepth:
    """What a painting of depth says, and how firmly; numpy or torch, as the painting was."""

    depth_m: Array
    """(...) float32 metres, >= 0; +inf = sky"""
    residual: Array
    """(...) float32, distance of the colour from the codec's path in levels, 0..441"""


class DepthCodec(Protocol):
    """A path of colours, and where on it a depth lies."""

    def fraction(self, depth_m: Array) -> Array:
        """Known depth (> 0, perhaps +inf) -> place on the path, 0 (its start) to 1 (its end)."""
        ...

    def metres(self, fraction: Array) -> Array:
        """Inverse of fraction."""
        ...

    def paint(self, fraction: Array) -> Array:
        """Place on the path (...) -> colour (..., 3) uint8."""
        ...

    def read(self, levels: Array) -> DecodedDepth:
        """Any colour (..., 3) uint8 -> depth at the nearest point of the path."""
        ...


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

    def fraction(self, depth_m: Array) -> Array:
        return 1 - (1 - depth_m / (self.lam * self.c)) ** (self.lam + 1)

    def metres(self, fraction: Array) -> Array:
        with np.errstate(divide="ignore", over="ignore"):  # the end of the walk is at infinity
            return -self.lam * self.c * ((1 - fraction) ** (1 / (self.lam + 1)) - 1)

    def paint(self, fraction: Array) -> Array:
        return _nearest_entry(fraction, cube_path)

    def read(self, levels: Array) -> DecodedDepth:
        return _look_up(self, LAST_STEP + 1, *nearest_on_cube_walk(levels))


def _nearest_entry(fraction: Array, path: Callable[..., np.ndarray], *arguments: str) -> Array:
    """Colour of a path, a cached function's (K, 3) uint8, that is nearest to a place 0..1 on it."""
    xp = arrays_of(fraction)
    colors = xp.table(path, *arguments)
    return colors[xp.cast(xp.rint(fraction * (len(colors) - 1)), "int32")]


def _look_up(codec: DepthCodec, count: int, place: Array, residual: Array) -> DecodedDepth:
    """Decoded depth from the place 0..count - 1 of a colour on the codec's path."""
    return DecodedDepth(arrays_of(place).table(_depths, codec, count)[place], residual)


@lru_cache(maxsize=64)
def _depths(codec: DepthCodec, count: int) -> np.ndarray:
    """(count,) float32: metres at evenly spaced places of the path, from its start to its end."""
    with np.errstate(over="ignore"):
        table = codec.metres(np.linspace(0, 1, count)).astype(np.float32)
    table.flags.writeable = False
    return table


class _Range:
    """What the codecs share that clamp depth to near_m..far_m: depth is linear on the path."""

    near_m: float
    far_m: float

    def __post_init__(self) -> None:
        if not 0 <= self.near_m < self.far_m < np.inf:
            raise ValueError(
                f"{type(self).__name__} needs 0 <= near_m < far_m, both finite,"
                f" got near_m={self.near_m}, far_m={self.far_m}"
            )

    def fraction(self, depth_m: Array) -> Array:
        clamped = arrays_of(depth_m).cast(depth_m, "float64").clip(self.near_m, self.far_m)
        return (clamped - self.near_m) / (self.far_m - self.near_m)

    def metres(self, fraction: Array) -> Array:
        return self.near_m + fraction * (self.far_m - self.near_m)


@lru_cache(maxsize=1)
def _gray_path() -> np.ndarray:
    """(256, 3) uint8 from black to white."""
    return np.repeat(np.arange(LEVELS + 1, dtype=np.uint8)[:, None], 3, axis=1)


def _nearest_gray(levels: Array) -> tuple[Array, Array]:
    """Project colours on the diagonal: thrice the level, 0..765, and the distance in levels."""
    xp = arrays_of(levels)
    red, green, blue = (xp.cast(levels[..., channel], "int32") for channel in range(3))
    place = red + green + blue
    squared = red * red + green * green + blue * blue
    return place, xp.sqrt(xp.cast(3 * squared - place * place, "float32") / 3)


@dataclass(frozen=True)
class Gray(_Range):
    """Depth linear from black (near_m) to white (far_m), 255 steps; 0..1 serves affine depth."""

    near_m: float = 0.1
    far_m: float = 100.0

    def paint(self, fraction: Array) -> Array:
        return _nearest_entry(fraction, _gray_path)

    def read(self, levels: Array) -> DecodedDepth:
        return _look_up(self, 3 * LEVELS + 1, *_nearest_gray(levels))


@dataclass(frozen=True)
class DisparityGray(Gray):
    """Inverse depth linear from white (near_m > 0) to black (far_m), 255 steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.near_m == 0:
            raise ValueError("DisparityGray needs near_m > 0, got 0: its disparity is infinite")

    def fraction(self, depth_m: Array) -> Array:
        clamped = arrays_of(depth_m).cast(depth_m, "float64").clip(self.near_m, self.far_m)
        return (1 / clamped - 1 / self.far_m) / (1 / self.near_m - 1 / self.far_m)

    def metres(self, fraction: Array) -> Array:
        return 1 / (1 / self.far_m + fraction * (1 / self.near_m - 1 / self.far_m))


@dataclass(frozen=True)
class ColorMap(_Range):
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
        super().__post_init__()

    def paint(self, fraction: Array) -> Array:
        return _nearest_entry(fraction, color_map, self.name)

    def read(self, levels: Array) -> DecodedDepth:
        return _look_up(self, LEVELS + 1, *nearest_on_map(levels, self.name))


@dataclass(frozen=True)
class Hilbert(_Range):
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
            raise ValueError(
                f"a Hilbert curve has order 1 to {MAX_ORDER}, got order={self.order!r}"
            )
        if not 0 < self.gamma < np.inf:
            raise ValueError(f"Hilbert needs gamma > 0, got gamma={self.gamma}")
        super().__post_init__()

    def fraction(self, depth_m: Array) -> Array:
        return super().fraction(depth_m) ** self.gamma

    def metres(self, fraction: Array) -> Array:
        return super().metres(fraction ** (1 / self.gamma))

    def paint(self, fraction: Array) -> Array:
        return curve_colors(fraction * (8**self.order - 1), self.order)

    def read(self, levels: Array) -> DecodedDepth:
        place, residual = nearest_on_curve(levels, self.order)
        depth_m = self.metres(place / (8**self.order - 1))
        return DecodedDepth(arrays_of(levels).cast(depth_m, "float32"), residual)


CUBE_WALK = CubeWalk()

CODECS: dict[str, Any] = {
    "cubewalk": CubeWalk,
    "hilbert": Hilbert,
    "gray": Gray,
    "disparity_gray": DisparityGray,
    "colormap": ColorMap,
}
"""Name in label.json and teacher.json -> class."""


def encode_depth(depth_m: Array, codec: DepthCodec = CUBE_WALK) -> Array:
    """Paint depth as colours on the codec's path.

    depth_m: (...) numpy or torch, floating point or integer, metres along the optical axis; NaN,
             zero or negative = unknown, painted black; +inf = sky, painted as the far end (white on
             the cube walk).
    Returns  (..., 3) uint8 RGB, of the same library and on the same device.

    Inverse: decode_depth, within one step of the path. Source: arXiv 2604.20329 v3, section 3.
    Raises ValueError if depth_m does not hold real numbers.
    """
    depth_m = depth_m if is_tensor(depth_m) else np.asarray(depth_m)
    name = dtype_name(depth_m)
    if not name.startswith(("float", "bfloat", "int", "uint")):
        raise ValueError(f"depth needs real numbers (metres), got {name}")
    xp = arrays_of(depth_m)
    depth_m = xp.cast(depth_m, "float64" if name == "float64" else "float32")
    known = depth_m > 0
    rgb = codec.paint(codec.fraction(xp.where(known, depth_m, 1)))
    return rgb * known[..., None]


def decode_depth(rgb: Array, codec: DepthCodec = CUBE_WALK) -> DecodedDepth:
    """Read depth from a painting: the nearest point of the codec's path, and how far it is.

    rgb: (..., 3) numpy or torch, uint8, or floating point in 0..1 (rounded to 8 bits). Every colour
         decodes to a finite depth or, at the far end of the cube walk, to +inf; none to NaN.

    A uint8 tensor on a GPU is read without waiting for it, and torch.compile makes one graph of
    the reading; floats wait once, for the check of their range.
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
