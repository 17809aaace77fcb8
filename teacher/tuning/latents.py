"""Latents of all pictures, computed once: tuning then never touches a pixel."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from teacher.painters.card import legend_of, task_of
from teacher.palette import decode_segments, encode_segments
from teacher.progress import track
from teacher.sample import TASKS
from teacher.tuning.autoencoder import encode_latents
from teacher.tuning.paintings import PICTURES, Paints, Pictures

PHOTOGRAPH = PICTURES[0]
CHUNK = 32


@dataclass(frozen=True)
class LatentSet:
    """A labelled set of pictures of one size, as latents: photographs and what to paint on them."""

    photographs: Tensor
    """(N, 16, h, w) bfloat16"""
    paintings: dict[str, Tensor]
    """Instruction -> (N, 16, h, w) bfloat16"""
    known: dict[str, Tensor]
    """Instruction -> (N, h, w) bool: where the painting is known"""

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, rows: slice) -> "LatentSet":
        return LatentSet(
            self.photographs[rows],
            {name: latents[rows] for name, latents in self.paintings.items()},
            {name: known[rows] for name, known in self.known.items()},
        )


def cache_latents(
    model: AutoencoderKL, pictures: Pictures, paints: Paints, cache: Path
) -> LatentSet:
    """Encode photographs and paintings once into `cache` (.safetensors), and load them.

    Tasks of which nothing is labelled are left out. A cache that is there is used.
    """
    if not cache.exists():
        labelled = [task for task in TASKS if pictures.known[:, TASKS.index(task)].any()]
        names = [name for name in paints.instructions if task_of(name) in labelled]
        encoded: dict[str, list[Tensor]] = {name: [] for name in (PHOTOGRAPH, *names)}
        for start in track(range(0, len(pictures.pixels), CHUNK), "latents"):
            chunk = np.asarray(pictures.pixels[start : start + CHUNK])
            for name, parts in encoded.items():
                parts.append(encode_latents(model, _picture(chunk, name, paints)))
        tensors = {name: torch.cat(parts).contiguous() for name, parts in encoded.items()}
        unfinished = cache.with_suffix(".tmp")
        save_file(tensors, unfinished)
        unfinished.replace(cache)
    tensors = load_file(cache)
    photographs = tensors.pop(PHOTOGRAPH)
    known = {n: torch.from_numpy(pictures.known[:, TASKS.index(task_of(n))]) for n in tensors}
    return LatentSet(photographs, tensors, known)


def _picture(samples: np.ndarray, name: str, paints: Paints) -> np.ndarray:
    """One picture of each sample: (B, 4, H, W, 3) -> (B, H, W, 3); a legend in its own colours."""
    if name == PHOTOGRAPH:
        return samples[:, 0]
    drawn = samples[:, PICTURES.index(task_of(name))]
    legend = legend_of(name)
    if legend == 0:
        return drawn
    palettes = paints.palettes
    return encode_segments(decode_segments(drawn, palettes[0]).ids, palettes[legend])
