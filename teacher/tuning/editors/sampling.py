"""Pictures from a generator by a few Euler steps, as painting does it."""

import numpy as np
import torch
from torch import Tensor

from teacher.painters.editor import Editor, Prompt
from teacher.painters.flow import denoise


def draw_latents(
    editor: Editor, start: Tensor, source: Tensor | None, prompt: Prompt, steps: int
) -> Tensor:
    """Finished latents from tensors wherever they are; see teacher.painters.flow.denoise."""
    here = editor.device
    source = None if source is None else source.to(here)
    return denoise(editor, start.to(here), source, prompt.to(here, editor.dtype), steps)


@torch.no_grad()
def decode_pictures(editor: Editor, latents: Tensor) -> np.ndarray:
    """Latents (B, C, h, w) -> pictures (B, H, W, 3) uint8."""
    decoded = editor.decode(latents.to(editor.device, editor.dtype)).float().cpu()
    levels = (decoded.clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
