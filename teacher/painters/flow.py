"""Painting with any flow-matching editor: encode once, a few Euler steps, decode.

All families share this loop; what differs between them stands in their editors.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from teacher.painters.batch import check_batch
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt


@torch.no_grad()
def denoise(
    editor: Editor, start: Tensor, source: Tensor | None, prompt: Prompt, steps: int
) -> Tensor:
    """Finished latents (B, C, h, w) float32, by Euler steps over the scheduler's noise levels.

    start: (B, C, h, w) float32; source: latents of the photographs, None for plain generation;
    prompt: B rows; all of them on the editor's device.
    """
    latents = start
    sigmas = editor.sigmas(steps, *start.shape[-2:]).to(editor.device)
    for now, after in pairwise(sigmas):
        velocity = editor.velocity(latents, source, now.expand(len(latents)), prompt)
        latents = latents + (after - now) * velocity.float()
    return latents


class FlowPainter:
    """Paints with an editor and embedded instructions."""

    def __init__(self, editor: Editor, card: TeacherCard, prompts: Mapping[str, Prompt]) -> None:
        """prompts: instruction -> one row each.

        Raises ValueError for a card that does not fit the editor.
        """
        if card.multiple_px % editor.multiple_px:
            raise ValueError(
                f"{editor.folder}/teacher.json: multiple_px is {card.multiple_px}, "
                f"but this VAE and transformer need a multiple of {editor.multiple_px}"
            )
        self.editor = editor
        self.card = card
        self.prompts = {
            name: prompt.to(editor.device, editor.dtype) for name, prompt in prompts.items()
        }

    # Everywhere no_grad and not inference_mode: transformers keep tables (Qwen's of rotations) that
    # could not be trained with any more if they came from there.

    @torch.no_grad()
    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        """See Painter.paint."""
        check_batch(self.card, self.prompts, photographs, tasks, seeds)
        source = self.editor.encode(self._to_device(photographs))
        start = self._start(seeds, tuple(source.shape[1:])).to(self.editor.device)
        return {task: self._paint(task, source, start) for task in tasks}

    @torch.no_grad()
    def round_trip(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 through the VAE and back -> float32, 0 to 1.

        What a perfect painting loses: the ceiling of this teacher.
        """
        return self._to_host(self.editor.decode(self.editor.encode(self._to_device(pictures))))

    def _start(self, seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        """Initial latents (B, *shape): zeros, or noise that depends on the row's seed alone.

        Drawn on the CPU in float32: devices and dtypes would give other numbers for one seed.
        """
        if self.card.start == "zeros":
            return torch.zeros(len(seeds), *shape)
        generators = (torch.Generator("cpu").manual_seed(seed) for seed in seeds)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    def _paint(self, task: str, source: Tensor, start: Tensor) -> np.ndarray:
        """One instruction for all rows -> (B, H, W, 3) float32, 0 to 1."""
        prompt = self.prompts[task].expand(len(source))
        latents = denoise(self.editor, start, source, prompt, self.card.steps)
        return self._to_host(self.editor.decode(latents))

    def _to_device(self, pictures: np.ndarray) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, -1..1."""
        levels = torch.from_numpy(pictures).to(self.editor.device).movedim(-1, 1)
        return levels.to(torch.float32) / 127.5 - 1

    def _to_host(self, pictures: Tensor) -> np.ndarray:
        """(B, 3, H, W), -1..1 -> (B, H, W, 3) float32, 0..1."""
        return (pictures / 2 + 0.5).clamp(0, 1).movedim(1, -1).float().cpu().numpy()
