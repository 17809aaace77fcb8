"""Teach the decoder to read the painter's own latents, with the encoder left as it is.

A painter in one step predicts the mean of what it is unsure of, and its latents are softer than
those of true paintings. Half of each batch decodes such predictions, half true latents, so that
the autoencoder stays one. (Marigold V2 tunes its decoder too.)
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from teacher.progress import console, progress_bar
from teacher.sample import TASKS
from teacher.tuning.autoencoder import one_cycle, picture_loss, to_input
from teacher.tuning.denoiser import Generator, predict_paintings
from teacher.tuning.parallel import Replicas


@dataclass(frozen=True, kw_only=True)
class PolishConfig:
    """Training of the decoder on the finished painter."""

    minutes: float = 9.0
    """Training time."""
    batch_size: int = 4
    """Pictures per step for each worker (core): half predicted paintings, half true pictures."""
    learning_rate: float = 5e-4
    """Peak of the one-cycle schedule."""


def polish_decoder(
    autoencoder: AutoencoderKL,
    generator: Generator,
    latents: Tensor,
    pictures: np.ndarray,
    config: PolishConfig,
    folder: Path,
    seed: int = 0,
    workers: int = 1,
) -> AutoencoderKL:
    """Train the decoder in place and save the autoencoder to `folder`.

    latents (N, views, 4, 16, h, w) and pictures (N, 4, H, W, 3) uint8 of the same samples.
    """
    rng = np.random.default_rng([seed, 1])
    decoder = autoencoder.decoder.train()
    replicas = Replicas(decoder, workers)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=0.0, weight_decay=1e-4, fused=True)
    started, smooth, step = time.monotonic(), 0.0, 0
    with progress_bar() as bar:
        task = bar.add_task("decoder", total=round(config.minutes * 60))
        while (share := (time.monotonic() - started) / (config.minutes * 60)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * one_cycle(share)
            given, wanted = _draw(generator, latents, pictures, config.batch_size * workers, rng)
            given = _unscaled(autoencoder, given)
            loss = replicas.backward(_loss, list(zip(given.chunk(workers), wanted.chunk(workers))))
            torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
            optimizer.step()
            step += 1
            smooth = loss if step == 1 else 0.99 * smooth + 0.01 * loss
            bar.update(task, completed=int(time.monotonic() - started))
            if step % 200 == 0:
                console.log(f"decoder step {step}: loss {smooth:.4f}")
    autoencoder.eval().save_pretrained(folder)
    return autoencoder


def _loss(decoder: nn.Module, share: tuple[Tensor, Tensor]) -> Tensor:
    given, wanted = share
    with torch.autocast("cpu", torch.bfloat16):
        redrawn = decoder(given).float()
    return picture_loss(redrawn, wanted)


def _unscaled(autoencoder: AutoencoderKL, latents: Tensor) -> Tensor:
    config = autoencoder.config
    return latents / config["scaling_factor"] + config["shift_factor"]


@torch.no_grad()
def _draw(
    generator: Generator,
    latents: Tensor,
    pictures: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Latents to decode (B, 16, h, w) and the pictures (B, 3, H, W) in -1..1 they should give."""
    rows = np.sort(rng.integers(len(latents), size=batch_size))
    half = batch_size // 2
    tasks = rng.integers(len(TASKS), size=half)
    kinds = np.concatenate([tasks + 1, rng.integers(pictures.shape[1], size=batch_size - half)])
    photo = latents[rows[:half], 0, 0].float()
    with torch.autocast("cpu", torch.bfloat16):
        predicted = predict_paintings(generator, photo, torch.from_numpy(tasks)).float()
    true = latents[rows[half:], 0, kinds[half:]].float()
    wanted = to_input(np.stack([pictures[row, kind] for row, kind in zip(rows, kinds)]))
    return torch.cat([predicted, true]), wanted
