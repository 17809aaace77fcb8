"""Pictures from a generator by a few Euler steps, as painting does it."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from teacher.painters.editor import Editor, Prompt


@torch.no_grad()
def denoise(
    editor: Editor, start: Tensor, source: Tensor | None, prompt: Prompt, steps: int
) -> Tensor:
    """Latents of the finished pictures (B, C, h, w) float32.

    start, source: (B, C, h, w), source None for plain generation; prompt: B rows.
    """
    latents = start.to(editor.device, torch.float32)
    source = None if source is None else source.to(editor.device, editor.dtype)
    prompt = prompt.to(editor.device, editor.dtype)
    for t, following in pairwise(editor.sigmas(steps, *start.shape[-2:]).tolist()):
        times = torch.full((len(latents),), t, device=editor.device)
        velocity = editor.velocity(latents.to(editor.dtype), source, times, prompt)
        latents = latents + (following - t) * velocity.float()
    return latents


@torch.no_grad()
def decode_pictures(editor: Editor, latents: Tensor) -> np.ndarray:
    """Latents (B, C, h, w) -> pictures (B, H, W, 3) uint8."""
    decoded = editor.decode(latents.to(editor.device, editor.dtype)).float().cpu()
    levels = (decoded.clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
