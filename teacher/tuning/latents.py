"""Latents of all pictures, computed once: tuning then never touches a pixel."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from teacher.progress import track
from teacher.tuning.autoencoder import encode_latents
from teacher.tuning.paintings import PICTURES

NORMAL = PICTURES.index("normal")
CHUNK = 32


def mirror(pictures: np.ndarray) -> np.ndarray:
    """Samples seen in a mirror: (N, 4, H, W, 3) uint8; red, the normals' x, changes its sign."""
    mirrored = pictures[:, :, :, ::-1].copy()
    mirrored[:, NORMAL, ..., 0] = 255 - mirrored[:, NORMAL, ..., 0]
    return mirrored


def cache_latents(
    model: AutoencoderKL, pictures: np.ndarray, cache: Path, *, mirrored: bool = True
) -> Tensor:
    """Encode all samples, and their mirror images, once into `cache` (.safetensors).

    pictures (N, 4, H, W, 3) uint8 -> (N, views, 4, 16, H/8, W/8) bfloat16, views 2 with mirror.
    A cache that is there is used.
    """
    if not cache.exists():
        parts = []
        starts = range(0, len(pictures), CHUNK)
        for start in track(starts, "latents"):
            chunk = np.asarray(pictures[start : start + CHUNK])
            views = [chunk, mirror(chunk)] if mirrored else [chunk]
            parts.append(torch.stack([_encode(model, view) for view in views], 1))
        unfinished = cache.with_suffix(".tmp")
        save_file({"latents": torch.cat(parts)}, unfinished)
        unfinished.replace(cache)
    return load_file(cache)["latents"]


def _encode(model: AutoencoderKL, samples: np.ndarray) -> Tensor:
    flat = samples.reshape(-1, *samples.shape[2:])
    return encode_latents(model, flat).unflatten(0, samples.shape[:2])
