"""The reference decoder: a DPT head for each task (Ranftl et al., arXiv 2103.13413)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from student.backbone import Level
from student.heads import resize

TOKEN_SCALES = (4.0, 2.0, 1.0, 0.5)
"""Tokens of a plain ViT are brought to four resolutions, from early blocks to late ones."""
LAST_CHANNELS = 32


class DPT(nn.Module):
    """(features, image) -> {task: (B, 32, H, W)}: a decoder for each task, at full resolution."""

    stride = 1
    dim = LAST_CHANNELS

    def __init__(self, levels: Sequence[Level], dim: int, tasks: Sequence[str]) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict({task: _TaskDecoder(levels, dim) for task in tasks})

    def forward(self, features: Sequence[Tensor], image: Tensor) -> dict[str, Tensor]:
        return {task: decode(features, image) for task, decode in self.decoders.items()}

    def head(self, channels: int) -> nn.Module:
        """Of one task: the last 1 x 1 convolution."""
        return nn.Conv2d(LAST_CHANNELS, channels, 1)


class _TaskDecoder(nn.Module):
    """Reassemble, fuse from coarse to fine, paint."""

    def __init__(self, levels: Sequence[Level], dim: int) -> None:
        super().__init__()
        plain = len({level.stride for level in levels}) == 1
        scales = TOKEN_SCALES[: len(levels)] if plain else (1.0,) * len(levels)
        self.reassemble = nn.ModuleList(
            _reassemble(level.channels, dim, scale)
            for level, scale in zip(levels, scales, strict=True)
        )
        self.fusions = nn.ModuleList(_FusionBlock(dim) for _ in levels)
        self.before = nn.Conv2d(dim, dim // 2, 3, padding=1)
        self.after = nn.Sequential(
            nn.Conv2d(dim // 2, LAST_CHANNELS, 3, padding=1), nn.ReLU(inplace=True)
        )

    def forward(self, features: Sequence[Tensor], image: Tensor) -> Tensor:
        maps = [part(feature) for part, feature in zip(self.reassemble, features, strict=True)]
        x = self.fusions[-1](maps[-1], None)
        for fuse, skip in zip(reversed(self.fusions[:-1]), reversed(maps[:-1]), strict=True):
            x = fuse(skip, x)
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        return self.after(resize(self.before(x), image.shape[-2:]))


def _reassemble(channels: int, dim: int, scale: float) -> nn.Module:
    """Project a level, and bring it to another resolution."""
    resample = {
        4.0: nn.ConvTranspose2d(dim, dim, 4, 4),
        2.0: nn.ConvTranspose2d(dim, dim, 2, 2),
        1.0: nn.Identity(),
        0.5: nn.Conv2d(dim, dim, 3, 2, padding=1),
    }[scale]
    return nn.Sequential(
        nn.Conv2d(channels, dim, 1), resample, nn.Conv2d(dim, dim, 3, padding=1, bias=False)
    )


class _ResidualUnit(nn.Sequential):
    """x + convolutions(x), activation first."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 3, padding=1),
        )

    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


class _FusionBlock(nn.Module):
    """RefineNet's: a level, and the sum of all coarser ones at its size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.skip = _ResidualUnit(dim)
        self.merge = _ResidualUnit(dim)
        self.project = nn.Conv2d(dim, dim, 1)

    def forward(self, level: Tensor, coarser: Tensor | None) -> Tensor:
        x = level if coarser is None else self.skip(level) + resize(coarser, level.shape[-2:])
        return self.project(self.merge(x))
