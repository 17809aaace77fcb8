"""Open a transformers folder: safetensors only, no remote code, no network, whole weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from teacher.painters.opening import find_device
from teacher.painters.runtime import Runtime
from teacher.predictors.image_processor import ImageProcessor


def open_network(network_class: Any, folder: Path, runtime: Runtime) -> Any:
    """A network on its device, frozen.

    network_class: a model of transformers, or one of its AutoModelFor... classes.
    Raises ValueError when transformers cannot open the folder, and when weights of the network are
    missing in it: transformers would fill them at random, with nothing but a warning.
    """
    device = find_device(runtime.device)
    try:
        with _without_progress_bar():
            network, loaded = network_class.from_pretrained(
                folder,
                dtype=getattr(torch, runtime.dtype),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: transformers cannot open it: {reason}") from error
    if missing := sorted(loaded["missing_keys"]):
        raise ValueError(
            f"{folder}: weights and config.json do not belong together: {missing[0]} is missing in "
            f"the files ({len(missing)} such tensors)"
        )
    return network.to(device).eval().requires_grad_(False)


def to_pixel_values(photographs: np.ndarray, processor: ImageProcessor, network: Any) -> Tensor:
    """Photographs (B, H, W, 3) uint8 as the network's input (B, 3, H, W)."""
    pixels = torch.from_numpy(photographs).to(network.device).movedim(-1, 1)
    mean = torch.tensor(processor.mean, device=network.device)[:, None, None]
    std = torch.tensor(processor.std, device=network.device)[:, None, None]
    return ((pixels.float() * processor.scale - mean) / std).to(network.dtype)


def resized(planes: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Planes (B, C, h, w) at another size, in float32; themselves if they have it already."""
    planes = planes.float()
    if planes.shape[-2:] == size:
        return planes
    return torch.nn.functional.interpolate(planes, size, mode=mode, align_corners=False)


def stretched(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (B, 3, H, W) at the one size that a network takes, without their aspect ratio."""
    if pixels.shape[-2:] == size:
        return pixels
    seen = torch.nn.functional.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
    return seen.to(pixels.dtype)


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Silence the bar that transformers shows for every file."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
