"""The small autoencoder of the embedded teacher: photographs and painted labels to latents."""

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from teacher.progress import console, progress_bar
from teacher.tuning.parallel import Replicas

LATENT_CHANNELS = 16
LATENT_FACTOR = 8


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Size and training of the autoencoder."""

    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the four levels; the last one runs at an eighth of the resolution."""
    minutes: float = 9.0
    """Training time."""
    batch_size: int = 4
    """Pictures per step for each worker (core), a quarter of them photographs, else paintings."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule."""
    kl_weight: float = 2e-4
    """Weight of the KL term; it smooths the latents, so that small errors decode to small ones."""


def build_autoencoder(widths: tuple[int, ...]) -> AutoencoderKL:
    """A fresh AutoencoderKL: factor 8, 16 latent channels, one layer a level, no attention."""
    config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": 1,
        "latent_channels": LATENT_CHANNELS,
        "norm_num_groups": min(8, widths[0]),
        "mid_block_add_attention": False,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
    }
    return cast(AutoencoderKL, AutoencoderKL.from_config(config))


def to_input(pictures: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in -1..1."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _draw(pictures: np.ndarray, count: int, rng: np.random.Generator) -> Tensor:
    """Random pictures of random samples: (count, 3, H, W) in -1..1."""
    rows = rng.integers(len(pictures), size=count)
    kinds = rng.integers(pictures.shape[1], size=count)
    return to_input(np.stack([pictures[row, kind] for row, kind in zip(rows, kinds)]))


def _step_loss(kl_weight: float, model: AutoencoderKL, pictures: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(pictures, return_dict=False)[0]
        rebuilt = model.decoder(posterior.sample()).float()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return picture_loss(rebuilt, pictures) + kl_weight * kl


def picture_loss(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    """Mean absolute plus mean squared error: sharp edges, and no lost areas."""
    return F.l1_loss(rebuilt, pictures) + F.mse_loss(rebuilt, pictures)


def train_autoencoder(
    pictures: np.ndarray, config: AutoencoderConfig, folder: Path, seed: int = 0, workers: int = 1
) -> AutoencoderKL:
    """Train on (N, 4, H, W, 3) uint8 (photograph and three paintings each); save to `folder`.

    One replica trains on each of the `workers` cores.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = build_autoencoder(config.widths).train()
    replicas = Replicas(model, workers)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=1e-4, fused=True
    )
    started, smooth, step = time.monotonic(), 0.0, 0
    with progress_bar() as bar:
        task = bar.add_task("autoencoder", total=round(config.minutes * 60))
        while (share := (time.monotonic() - started) / (config.minutes * 60)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * one_cycle(share)
            batch = _draw(pictures, config.batch_size * workers, rng)
            loss = replicas.backward(partial(_step_loss, config.kl_weight), batch.chunk(workers))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            smooth = loss if step == 1 else 0.99 * smooth + 0.01 * loss
            bar.update(task, completed=int(time.monotonic() - started))
            if step % 100 == 0:
                console.log(f"autoencoder step {step}: loss {smooth:.4f}")
    model.eval()
    fit_scaling(model, to_input(pictures[:64].reshape(-1, *pictures.shape[2:])))
    model.save_pretrained(folder)
    return model


def one_cycle(share: float) -> float:
    """Learning-rate factor at a share 0..1 of the run: 5 % linear warm-up, then a cosine to 0."""
    if share < 0.05:
        return share / 0.05
    return 0.5 * (1 + math.cos(math.pi * (share - 0.05) / 0.95))


@torch.inference_mode()
def fit_scaling(model: AutoencoderKL, pictures: Tensor) -> None:
    """Set shift and scale so that latents have mean 0 and standard deviation 1 over all values."""
    latents = model.encode(pictures, return_dict=False)[0].mode()
    shift, scale = latents.mean().item(), 1 / latents.std().item()
    model.register_to_config(shift_factor=shift, scaling_factor=scale)


@torch.inference_mode()
def encode_latents(model: AutoencoderKL, pictures: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> normalised latents (B, 16, H/8, W/8) bfloat16, the posterior's mode."""
    batch = to_input(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(batch, return_dict=False)[0].mode().float()
    latents = (latents - model.config["shift_factor"]) * model.config["scaling_factor"]
    return latents.bfloat16()
