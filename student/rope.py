"""DINOv3's rotary position embedding, for a grid of any size."""

from collections.abc import Sequence

import torch
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from torch import Tensor


class AnySizeRope(RotaryEmbeddingDinoV3):
    """The angles of a timm embedding, without its random rescaling in training.

    timm turns the size of the grid into a float, which fixes the traced size in an exported graph:
    such a file is right at that size and off by up to 2 % of the range at all others, in silence.
    """

    def __init__(self, rope: RotaryEmbeddingDinoV3) -> None:
        super().__init__(
            rope.dim,
            temperature=rope.temperature,
            min_period=rope.min_period,
            max_period=rope.max_period,
            grid_offset=rope.grid_offset,
            grid_indexing=rope.grid_indexing,
            rotate_half=rope.rotate_half,
        )

    def _create_embed(self, feat_shape: Sequence[int], no_aug: bool = False) -> Tensor:
        """Sines and cosines (H * W, 2 * head channels) for a grid of H x W patches."""
        axes = [(torch.arange(size) + (0.5 + self.grid_offset)) / size for size in feat_shape]
        grid = torch.stack(torch.meshgrid(axes, indexing=self.grid_indexing), dim=-1)
        return torch.cat(self._get_pos_embed_from_coords(2 * grid.flatten(0, 1) - 1), dim=-1)
