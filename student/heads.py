"""From feature maps to pixels: one decoder that the tasks share, and one small head for each."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from student.backbone import Level

PATCH_PX = 4
"""The decoder's stride: each of its vectors is painted as a patch of this size by the heads."""


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


class Decoder(nn.Module):
    """A feature pyramid from coarse to fine: (features, image) -> (B, dim, H/4, W/4).

    The image itself joins at the end, 4 x 4 pixels to a vector: edges are sharper for it, and it
    costs one small matrix product.
    """

    def __init__(self, levels: Sequence[Level], dim: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(level.channels, dim, 1) for level in levels)
        self.blocks = nn.ModuleList(ConvNormAct(dim, dim, 3) for _ in levels)
        self.pixels = nn.Conv2d(3 * PATCH_PX**2, dim, 1)
        self.fuse = ConvNormAct(dim, dim, 3)

    def forward(self, features: Sequence[Tensor], image: Tensor) -> Tensor:
        height, width = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
        x = torch.zeros(())
        for index in range(len(features) - 1, -1, -1):
            lateral = self.laterals[index](features[index])
            x = lateral if index == len(features) - 1 else lateral + _resize(x, lateral.shape[-2:])
            x = self.blocks[index](x)
        return self.fuse(
            _resize(x, (height, width)) + self.pixels(F.pixel_unshuffle(image, PATCH_PX))
        )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class PatchHead(nn.Sequential):
    """(B, dim, H/4, W/4) -> (B, channels, H, W): each vector becomes a patch of pixels."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__(
            ConvNormAct(dim, dim, 1),
            nn.Conv2d(dim, channels * PATCH_PX**2, 1),
            nn.PixelShuffle(PATCH_PX),
        )
