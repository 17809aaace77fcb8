"""Segmentation: cross-entropy pixel by pixel, and Dice class by class."""

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses import IGNORE_INDEX


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Logits (B, C, H, W), target (B, H, W) int64 -> (B, H, W); 0 where it is IGNORE_INDEX."""
    return F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")


def dice(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - 2 |p t| / (|p| + |t|) of the classes that an image's target has, averaged: (B,).

    Each class counts alike, so that small ones are not drowned by large ones. Pixels without weight
    count on neither side. Source: Milletari et al. 2016, with |p| instead of its square.
    """
    probability = logits.float().softmax(1).flatten(2)  # (B, C, H * W)
    weight, target = weight.flatten(1), target.clamp_min(0).flatten(1)
    of_truth = probability.gather(1, target[:, None])[:, 0]
    zeros = probability.new_zeros(logits.shape[:2])
    both = zeros.scatter_add(1, target, of_truth * weight)  # (B, C)
    wanted = zeros.scatter_add(1, target, weight)
    predicted = (probability @ weight[:, :, None])[:, :, 0]
    seen = wanted > 0
    loss = torch.where(seen, 1 - 2 * both / (predicted + wanted).clamp_min(1e-6), 0.0)
    return loss.sum(1) / seen.sum(1).clamp_min(1)
