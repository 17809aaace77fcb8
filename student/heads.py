"""From a decoder's vectors to pixels: a small head for each task, and one for its confidence."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

CONFIDENCE_STRIDE = 4
"""Labels store confidence at a quarter of the resolution, and so it is predicted."""


class ConvNormAct(nn.Sequential):
    """A convolution that keeps the size, batch norm, and an activation."""

    def __init__(self, channels_in: int, channels: int, kernel: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(
                channels_in, channels, kernel, padding=kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )


class PatchHead(nn.Sequential):
    """(B, dim, H/p, W/p) -> (B, channels, H, W): each vector becomes a patch of p x p pixels."""

    def __init__(self, dim: int, channels: int, patch_px: int, kernel: int = 1) -> None:
        super().__init__(
            ConvNormAct(dim, dim, kernel),
            nn.Conv2d(dim, channels * patch_px**2, 1),
            nn.PixelShuffle(patch_px),
        )


class ConfidenceHead(nn.Sequential):
    """(B, dim, H/s, W/s) -> (B, 1, H/4, W/4), 0..1: how far a prediction may be trusted; s <= 4."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__(
            nn.AvgPool2d(CONFIDENCE_STRIDE // stride),
            nn.Conv2d(dim, dim // 2, 1),
            nn.ReLU(),
            nn.Conv2d(dim // 2, 1, 1),
            nn.Sigmoid(),
        )


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bilinear."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
