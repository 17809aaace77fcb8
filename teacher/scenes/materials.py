"""Materials and procedural textures, in metres, so that a brick has the size of a brick."""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

Color = tuple[float, float, float]
"""Linear RGB, 0..1."""


def gray(level: float) -> Color:
    """A colour without hue."""
    return level, level, level


class Pattern(IntEnum):
    """How the two colours of a material alternate."""

    PLAIN = 0
    CHECKER = 1
    BRICK = 2
    WOOD = 3
    NOISE = 4
    GRADIENT = 5
    STRIPES = 6
    TILES = 7


@dataclass(frozen=True)
class Material:
    """Two linear-RGB colours, a pattern of period `period_m`, a share of gloss and of mottling."""

    color: Color
    second: Color
    pattern: Pattern = Pattern.PLAIN
    period_m: float = 0.5
    gloss: float = 0.0
    mottle: float = 0.15
    phase: float = 0.0

    COLUMNS: ClassVar[int] = 11
    PADDING: ClassVar[list[float]] = [0.0] * 11

    def row(self) -> list[float]:
        """The material as numbers, in the order that `albedo` reads."""
        pattern = [float(self.pattern), self.period_m, self.gloss, self.mottle, self.phase]
        return [*self.color, *self.second, *pattern]


NOISE_SIZE = 48


@lru_cache(maxsize=4)
def _noise_volume(device: str) -> Tensor:
    """A periodic volume (1, 1, N+1, N+1, N+1) of cloudy noise in 0..1, always the same."""
    white = torch.randn(NOISE_SIZE, NOISE_SIZE, NOISE_SIZE, generator=_generator(7))
    frequency = torch.fft.fftfreq(NOISE_SIZE) * NOISE_SIZE
    radius = (
        frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + frequency[None, None] ** 2
    ).sqrt()
    amplitude = torch.where(radius > 0, radius.clamp(min=1) ** -1.6, 0.0)
    cloud = torch.fft.ifftn(torch.fft.fftn(white) * amplitude).real
    cloud = torch.sigmoid(1.7 * (cloud - cloud.mean()) / cloud.std())
    wrapped = F.pad(cloud[None, None], (0, 1, 0, 1, 0, 1), mode="circular")
    return wrapped.to(device)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(point: Tensor) -> Tensor:
    """Smooth noise in 0..1 at points (N, 3), period 1 in each axis, finest detail about 0.05."""
    inside = (point - point.floor()) * 2 - 1  # grid_sample's coordinates
    volume = _noise_volume(str(point.device))
    sampled = F.grid_sample(volume, inside[None, None, None], align_corners=True)
    return sampled.view(-1)


def _lines(x: Tensor, width: float) -> Tensor:
    """1 on a thin line at every whole x, 0 elsewhere, with a soft edge."""
    distance = (x - x.round()).abs()
    return ((width - distance) / 0.03 + 0.5).clamp(0, 1)


def _face_coordinates(point_m: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Two coordinates along the face that a local normal points out of (box mapping)."""
    x, y, z = point_m.unbind(1)
    axis = normal.abs().argmax(1)
    u = torch.where(axis == 0, z, x)
    v = torch.where(axis == 1, z, y)
    return u, v


def _brick_mortar(u: Tensor, v: Tensor) -> Tensor:
    """1 on the mortar between bricks three times as long as high."""
    row = v.floor()
    shifted = u / 3 + 0.5 * (row % 2)
    joint = ((0.02 - (shifted - shifted.round()).abs()) / 0.015 + 0.5).clamp(0, 1)
    return torch.maximum(_lines(v, 0.06), joint)


def _mix_share(pattern: Tensor, u: Tensor, v: Tensor, cloud: Tensor, height: Tensor) -> Tensor:
    """Share of the second colour at each point, for every pattern at once."""
    plank = torch.sin((u + 0.25 * cloud) * 6.283) * 0.25 + 0.35 * cloud
    shares = torch.stack(
        [
            torch.zeros_like(u),
            ((u.floor() + v.floor()) % 2),
            _brick_mortar(u, v),
            (plank + 0.6 * _lines(v / 3, 0.03)).clamp(0, 1),
            ((cloud - 0.5) * 3 + 0.5).clamp(0, 1),
            height.clamp(0, 1),
            (u % 1 > 0.5).to(u.dtype),
            torch.maximum(_lines(u, 0.04), _lines(v, 0.04)),
        ]
    )  # in the order of Pattern
    return shares[pattern, torch.arange(len(u), device=u.device)]


def albedo(material: Tensor, point_m: Tensor, normal: Tensor, height: Tensor) -> Tensor:
    """Diffuse colour at surface points.

    material (N, M) rows; point_m (N, 3) metres in the primitive's own axes; normal (N, 3) local;
    height (N,) 0..1 from the primitive's foot to its top. Returns (N, 3) linear RGB.
    """
    color, second = material[:, :3], material[:, 3:6]
    pattern, period_m, _, mottle, phase = material[:, 6:].unbind(1)
    u, v = (c / period_m for c in _face_coordinates(point_m, normal))
    cloud = noise(point_m / (4 * period_m)[:, None] + phase[:, None])
    share = _mix_share(pattern.long(), u, v, cloud, height)[:, None]
    mixed = color + (second - color) * share
    return mixed * (1 + mottle * (2 * cloud - 1))[:, None]
