"""Decoders that all tasks share: a feature pyramid, and one with deeper blocks.

Measured against a DPT head for each task (dpt.py) on the backbone of the preset `edge`: delta1,
mIoU and normals on rendered scenes, one seed, the best run of each decoder. 400 steps are of 16,
from 2,000 labelled photographs (`residual` at 128 px: 4,000); 1,200 are of 32, from 4,000. Learning
rates were tried unevenly, so that small differences mean nothing. Time is that of decoder and heads
in ONNX Runtime, one thread, at 256 px, as a share of DPT's.

| decoder  | 64 px, 400 steps       | 128 px, 400 steps      | 128 px, 1,200 steps    | time |
|----------|------------------------|------------------------|------------------------|------|
| pyramid  | 0.746, 0.697, 17.9 deg | 0.800, 0.764, 15.5 deg | 0.887, 0.867, 11.3 deg | 0.11 |
| residual | 0.771, 0.719, 17.2 deg | 0.805, 0.762, 15.4 deg | 0.893, 0.875, 10.7 deg | 0.22 |
| dpt      | 0.797, 0.733, 16.2 deg | 0.830, 0.793, 13.4 deg | 0.903, 0.873, 9.7 deg  | 1    |

So the gap to DPT closes with training, in depth and classes sooner than in normals. At equal
processor time of training (64 px) `residual` does 840 steps and reaches 0.824, 0.783 and 14.7 deg.

Tried and dropped: matrix products alone (SegFormer), depthwise convolutions, a last step at
stride 2, convolutions at full resolution, a pyramid for each task (400 steps: 0.805, 0.771,
14.6 deg), and a residual block of each task's own (1,200 steps: 0.891, 0.872, 10.6 deg).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from student.backbone import Level
from student.heads import ConvNormAct, PatchHead, resize


class Pyramid(nn.Module):
    """From coarse to fine: (features, image) -> (B, dim, H/4, W/4), the same for each task.

    The image itself joins at the end, 4 x 4 pixels to a vector: edges are sharper for it, and it
    costs one small matrix product.
    """

    stride = 4

    def __init__(self, levels: Sequence[Level], dim: int, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.dim = dim
        self.laterals = nn.ModuleList(nn.Conv2d(level.channels, dim, 1) for level in levels)
        self.blocks = nn.ModuleList(self._block(dim) for _ in levels)
        self.pixels = nn.Conv2d(3 * self.stride**2, dim, 1)
        self.fuse = self._block(dim)

    def forward(self, features: Sequence[Tensor], image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2] // self.stride, image.shape[-1] // self.stride
        x = torch.zeros(())
        for index in range(len(features) - 1, -1, -1):
            lateral = self.laterals[index](features[index])
            x = lateral if index == len(features) - 1 else lateral + resize(x, lateral.shape[-2:])
            x = self.blocks[index](x)
        pixels = self.pixels(F.pixel_unshuffle(image, self.stride))
        decoded: Tensor = self.fuse(resize(x, (height, width)) + pixels)
        return dict.fromkeys(self.tasks, decoded)

    def head(self, channels: int) -> nn.Module:
        """Of one task: vectors become patches of pixels."""
        return PatchHead(self.dim, channels, self.stride)

    def _block(self, dim: int) -> nn.Module:
        return ConvNormAct(dim, dim, 3)


class ResidualPyramid(Pyramid):
    """A pyramid of residual blocks, whose heads look at their neighbours too."""

    def head(self, channels: int) -> nn.Module:
        """Of one task: vectors and their neighbours become patches of pixels."""
        return PatchHead(self.dim, channels, self.stride, kernel=3)

    def _block(self, dim: int) -> nn.Module:
        return _ResidualBlock(dim)


class _ResidualBlock(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = ConvNormAct(dim, dim, 3)
        self.second = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))
