"""Losses, each reduced per image: an image counts once, however many of its pixels are valid.

Every function takes `weight` (B, H, W) >= 0, which joins validity (0 = no label there) and
confidence, and returns one value for each image, (B,) float32; it is 0 for an image without a
valid pixel. `batch_mean` then averages over the images that have one.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORE_INDEX = -1
"""Class id of a pixel that the segmentation loss passes over."""
GRADIENT_SCALES = 4
SMALLEST_SPREAD = 1e-3
"""Lower bound of the spread that normalises affine depth, for maps that are flat."""


def image_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the pixels of each image: (B, H, W) twice -> (B,); 0 without weight."""
    total = weight.flatten(1).sum(1)
    return (values * weight).flatten(1).sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)


def batch_mean(per_image: Tensor, weight: Tensor) -> Tensor:
    """Mean over the images that have a valid pixel; 0 when none has."""
    counts = (weight.flatten(1).amax(1) > 0).to(per_image.dtype)
    return (per_image * counts).sum() / counts.sum().clamp_min(1)


def log_ratio(depth_m: Tensor, target_m: Tensor, weight: Tensor) -> Tensor:
    """log(prediction / target) where there is weight, else 0: (B, H, W)."""
    valid = weight > 0
    one = torch.ones((), device=depth_m.device)
    return torch.where(valid, depth_m, one).log() - torch.where(valid, target_m, one).log()


def silog(error: Tensor, weight: Tensor, variance_focus: float) -> Tensor:
    """Scale-invariant log loss of a map of log ratios, per image.

    sqrt(mean(e^2) - variance_focus * mean(e)^2): 0 judges scale and shape alike, 1 shape alone.
    The mean is that of the image: pooled over the batch, it would forgive a wrong scale of one
    image by that of another. Source: Eigen et al. 2014, equation 4.
    """
    variance = image_mean(error.square(), weight) - variance_focus * image_mean(error, weight) ** 2
    return (variance + 1e-6).sqrt() - 1e-3


def absolute_error(error: Tensor, weight: Tensor) -> Tensor:
    """Mean |e| per image: unlike squares, it lets a few impossible pixels be impossible."""
    return image_mean(error.abs(), weight)


def gradient_matching(error: Tensor, weight: Tensor, scales: int = GRADIENT_SCALES) -> Tensor:
    """Mean |gradient of the error| over several scales, per image: keeps edges where labels do.

    Scale k takes every 2^k-th pixel. A difference counts as much as the lesser weight of its two
    pixels. Source: MegaDepth (Li and Snavely 2018), equation 6.
    """
    total = torch.zeros(error.shape[0], device=error.device)
    for scale in range(scales):
        step = 2**scale
        e, w = error[:, ::step, ::step], weight[:, ::step, ::step]
        for axis in (1, 2):
            if e.shape[axis] > 1:
                total = total + image_mean(e.diff(dim=axis).abs(), _joint(w, axis))
    return total / scales


def _joint(weight: Tensor, axis: int) -> Tensor:
    """The lesser weight of each pair of neighbours along an axis."""
    pairs = weight.shape[axis] - 1
    return torch.minimum(weight.narrow(axis, 0, pairs), weight.narrow(axis, 1, pairs))


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


def normal_error(normal: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean distance between the tips of unit vectors (B, 3, H, W), per image.

    2 sin(angle / 2) grows like the angle itself, so that it seeks the median and edges stay sharp;
    1 - cos seeks the mean. Trained on scenes it was better by 1.7 of 19 degrees. The constant under
    the root keeps the gradient finite where the vectors agree.
    """
    gap = 2 - 2 * (normal * target).sum(1)
    return image_mean((gap.clamp_min(0) + 1e-4).sqrt() - 1e-2, weight)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean cross-entropy per image: logits (B, C, H, W), target (B, H, W) int64 or IGNORE_INDEX."""
    values = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    return image_mean(values, weight)
