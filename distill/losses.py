"""How maps of errors become numbers: per image first, then over the batch.

An image counts once, however many of its pixels are valid. Every map (B, H, W) goes with a
`weight` (B, H, W) >= 0, which joins validity (0 = no label there) and confidence. A loss of images
is (B,) float32, and 0 for an image without a valid pixel; `batch_mean` averages over the images
that have one. The maps themselves are in depth_losses.py, normal_losses.py and segment_losses.py.
"""

import torch
from torch import Tensor

IGNORE_INDEX = -1
"""Class id of a pixel that the segmentation loss passes over."""
SMALLEST_PROBABILITY = 1e-6


def image_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the pixels of each image: (B, H, W) twice -> (B,); 0 without weight."""
    total = weight.flatten(1).sum(1)
    return (values * weight).flatten(1).sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)


def batch_mean(per_image: Tensor, weight: Tensor) -> Tensor:
    """Mean over the images that have a valid pixel; 0 when none has."""
    counts = (weight.flatten(1).amax(1) > 0).to(per_image.dtype)
    return (per_image * counts).sum() / counts.sum().clamp_min(1)


def drop_largest(values: Tensor, weight: Tensor, share: float) -> Tensor:
    """The weight without the pixels whose values are the largest `share` of each image: (B, H, W).

    Only pixels with weight are counted. Of equal values at the limit none is dropped, so that less
    than the share may go. Source: Depth Anything V2 (arXiv 2406.09414), section 7, leaves out the
    largest tenth of the losses, as "potentially noisy pseudo labels"; per pixel and per image, as
    its authors answered in issue 108 of their repository.
    """
    if share <= 0:
        return weight
    values, valid = values.detach(), weight > 0
    rows = values.masked_fill(~valid, torch.inf).flatten(1)
    kept = ((1 - share) * valid.flatten(1).sum(1)).ceil().clamp_min(1)
    # one image after the other: four times as fast on a CPU as sorting them
    limits = [row.kthvalue(int(count)).values for row, count in zip(rows, kept.tolist())]
    return weight * (values <= torch.stack(limits)[:, None, None])


def gradient_matching(error: Tensor, weight: Tensor, scales: int = 4) -> Tensor:
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
                total = total + image_mean(e.diff(dim=axis).abs(), _lesser(w, axis))
    return total / scales


def _lesser(weight: Tensor, axis: int) -> Tensor:
    """The lesser weight of each pair of neighbours along an axis."""
    pairs = weight.shape[axis] - 1
    return torch.minimum(weight.narrow(axis, 0, pairs), weight.narrow(axis, 1, pairs))


def binary_cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    """-t log p - (1 - t) log(1 - p) of numbers in 0..1, target ones included, element by element.

    By hand, as torch's refuses to run under autocast on a GPU.
    """
    p = probability.float().clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -(target * p.log() + (1 - target) * (1 - p).log())
