"""How much noise each depth codec bears: the measurement behind the choice of the default.

Gaussian noise, JPEG and a generator's autoencoder disturb the paintings of known depth; what is
read back is compared with it, as place on the path and in metres.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from teacher.colormaps import COLOR_MAPS
from teacher.depth import (
    CUBE_WALK,
    ColorMap,
    DepthCodec,
    DisparityGray,
    Gray,
    Hilbert,
    decode_depth,
)
from teacher.rgb import LEVELS

ORDERS = (1, 2, 3, 4, 8)
PATHS: Mapping[str, DepthCodec] = {
    "cubewalk": CUBE_WALK,
    **{f"hilbert {order}": Hilbert(order) for order in ORDERS},
    "gray": Gray(),
    **{name: ColorMap(name) for name in COLOR_MAPS},
}
"""Every path through the RGB cube; disparity gray is the gray one, walked the other way."""
RANGES: Mapping[str, DepthCodec] = {**PATHS, "disparity gray": DisparityGray()}
"""Every codec with its own range of depth, 0.1 to 100 m where it has one."""

SIGMAS = (1, 2, 4, 8)
JPEG_QUALITY = 90
NEAREST_M, FARTHEST_M = 1e-3, 1000.0
"""No depth that is read counts as nearer or farther, infinite ones included."""

Noise = Callable[[np.ndarray], np.ndarray]
"""Paintings (B, H, W, 3) uint8 -> the same after noise, uint8."""


@dataclass(frozen=True, kw_only=True)
class CodecErrors:
    """What one codec loses to one noise."""

    codec: str
    noise: str
    pixels: int
    """how many were measured; sky is not"""
    median: float
    """of the error of the place on the path, in percent of the path"""
    p95: float
    p99: float
    absrel: float
    """mean of |read - true| / true, in metres"""
    delta1: float
    """share of the pixels that are read within a factor of 1.25"""


def unchanged(paintings: np.ndarray) -> np.ndarray:
    """No noise: what 8 bits cost."""
    return paintings


def gaussian(sigma: float, seed: int = 0) -> Noise:
    """Independent noise of `sigma` levels on every channel, rounded and clipped to 8 bits."""

    def add(paintings: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(0, sigma, paintings.shape)
        return np.clip(np.rint(paintings + noise), 0, LEVELS).astype(np.uint8)

    return add


def jpeg(paintings: np.ndarray) -> np.ndarray:
    """Through JPEG of quality 90 whose colour has half the resolution (4:2:0)."""

    def through(painting: np.ndarray) -> np.ndarray:
        stored = io.BytesIO()
        Image.fromarray(painting).save(stored, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        return np.asarray(Image.open(stored))

    return np.stack([through(painting) for painting in paintings])


def measure(
    depth_m: np.ndarray,
    noises: Mapping[str, Noise],
    codecs: Mapping[str, DepthCodec] = PATHS,
    scale: DepthCodec | None = CUBE_WALK,
) -> Iterator[CodecErrors]:
    """Errors of every codec under every noise on depth maps (B, H, W) in metres; inf = sky.

    scale: decides where on each path a depth is painted, whatever the codec's own range: so paths
    are compared, and not ranges. None: each codec's own. Sky is painted as the scale's far end.
    """
    for name, codec in codecs.items():
        own = scale or codec
        fraction = own.fraction(depth_m.astype(np.float64))
        painted = codec.paint(fraction)
        for noise, disturb in noises.items():
            read_m = decode_depth(disturb(painted), codec).depth_m
            read = codec.fraction(read_m.astype(np.float64))
            known = np.isfinite(depth_m)
            apart = np.abs(read - fraction)[known]
            yield _errors(name, noise, apart, own.metres(read[known]), depth_m[known])


def _errors(
    codec: str, noise: str, apart: np.ndarray, read_m: np.ndarray, true_m: np.ndarray
) -> CodecErrors:
    median, p95, p99 = np.percentile(100 * apart, (50, 95, 99)).tolist()
    read_m = np.clip(read_m, NEAREST_M, FARTHEST_M)
    ratio = np.maximum(read_m / true_m, true_m / read_m)
    return CodecErrors(
        codec=codec,
        noise=noise,
        pixels=len(apart),
        median=median,
        p95=p95,
        p99=p99,
        absrel=float(np.mean(np.abs(read_m - true_m) / true_m)),
        delta1=float(np.mean(ratio < 1.25)),
    )
