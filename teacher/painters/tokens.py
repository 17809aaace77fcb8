"""Latents as the tokens of a transformer, and back: patches of 2 x 2 latent pixels."""

from torch import Tensor


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h/2 w/2, 4 C), row by row."""
    rows, channels, height, width = latents.shape
    patches = latents.reshape(rows, channels, height // 2, 2, width // 2, 2)
    patches = patches.permute(0, 2, 4, 1, 3, 5)  # (B, h/2, w/2, C, 2, 2)
    return patches.reshape(rows, (height // 2) * (width // 2), 4 * channels)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """Inverse of pack, for latents of height x width."""
    rows, _, packed = tokens.shape
    patches = tokens.reshape(rows, height // 2, width // 2, packed // 4, 2, 2)
    patches = patches.permute(0, 3, 1, 4, 2, 5)  # (B, C, h/2, 2, w/2, 2)
    return patches.reshape(rows, packed // 4, height, width)
