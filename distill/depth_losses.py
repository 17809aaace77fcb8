"""Depth: errors in metres and up to scale and shift, reduced per image.

A mean of log errors or a median that is pooled over a batch forgives a wrong scale of one image by
that of another: all of it is taken image by image.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from distill.losses import image_mean

SMALLEST_SPREAD = 1e-3
"""Lower bound of the spread that normalises affine depth, for maps that are flat."""
SKY_M = 100.0
"""Sky shall be at least this far; where a student says both, it is at infinity."""


def log_ratio(depth_m: Tensor, target_m: Tensor, weight: Tensor) -> Tensor:
    """log(prediction / target) where there is weight, else 0: (B, H, W)."""
    valid = weight > 0
    one = torch.ones((), device=depth_m.device)
    return torch.where(valid, depth_m, one).log() - torch.where(valid, target_m, one).log()


def silog(error: Tensor, weight: Tensor, variance_focus: float) -> Tensor:
    """Scale-invariant log loss of a map of log ratios, per image.

    sqrt(mean(e^2) - variance_focus * mean(e)^2): 0 judges scale and shape alike, 1 shape alone.
    Source: Eigen et al. 2014, equation 4.
    """
    variance = image_mean(error.square(), weight) - variance_focus * image_mean(error, weight) ** 2
    return (variance.clamp_min(0) + 1e-6).sqrt() - 1e-3


def relative_error(error: Tensor) -> Tensor:
    """|prediction - target| / target, from a map of log ratios: (B, H, W)."""
    return error.expm1().abs()


def sky_error(depth_m: Tensor) -> Tensor:
    """How much nearer than 100 m, as a log ratio; 0 beyond: (B, H, W).

    Of the sky nothing is known but that it is far: farther than that costs nothing.
    """
    return (SKY_M / depth_m).log().clamp_min(0)


def affine_error(depth: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Difference after each map's own median and mean deviation are taken out: (B, H, W).

    Both maps are known up to scale and shift only. Source: MiDaS (Ranftl et al. 2020), section 5.
    """
    return _standardised(depth, weight) - _standardised(target, weight)


def _standardised(depth: Tensor, weight: Tensor) -> Tensor:
    valid = weight > 0
    hidden = torch.where(valid, depth, torch.nan).flatten(1)
    median = hidden.nanmedian(dim=1).values.nan_to_num()[:, None, None]
    centred = torch.where(valid, depth - median, torch.zeros_like(depth))
    spread = image_mean(centred.abs(), valid.to(depth.dtype)).clamp_min(SMALLEST_SPREAD)
    return centred / spread[:, None, None]


def hybrid_error(depth: Tensor, target: Tensor, weight: Tensor, groups: Sequence[int]) -> Tensor:
    """|affine_error| in whole images and in slices of their depth, averaged: (B, H, W).

    groups: into how many equal parts the range of the target's depth is cut, such as (1, 2, 4);
    each part has a median and a deviation of its own, so that distant surfaces, which are flat
    beside the range of the whole, keep their relief. (1,) is plain affine_error. Source: hybrid
    normalisation of Distill-Any-Depth (arXiv 2502.19204), after Zhang et al. 2022.
    """
    total = torch.zeros_like(depth)
    for count in groups:
        for part in _depth_parts(target, weight, count):
            total = total + affine_error(depth, target, weight * part).abs()
    return total / len(groups)


def _depth_parts(target: Tensor, weight: Tensor, count: int) -> Iterator[Tensor]:
    """Masks (B, H, W) of `count` equal parts of each image's depth range."""
    valid = weight > 0
    low = target.masked_fill(~valid, torch.inf).flatten(1).amin(1)[:, None, None]
    high = target.masked_fill(~valid, -torch.inf).flatten(1).amax(1)[:, None, None]
    place = ((target - low) / (high - low).clamp_min(SMALLEST_SPREAD)).nan_to_num() * count
    index = place.clamp(0, count - 1).floor()
    for part in range(count):
        yield valid & (index == part)
