"""The UNet, autoencoder and scheduler of a diffusers folder, opened one by one.

Stable Diffusion's relatives differ in how they put these together, and some have a pipeline class
that diffusers does not know; the parts are always its own. What has to be known about them:

- The photograph's latents are the mode of the VAE's posterior: labels must not depend on noise.
- `encode` does not scale the latents, as InstructPix2Pix was trained; Marigold and Lotus multiply
  them by the scaling_factor. Latents that are decoded are always scaled.
- Schedulers keep the state of a run, so one object serves one thread.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from teacher.model_folder import read_json
from teacher.painters.opening import find_device
from teacher.painters.placing import place
from teacher.painters.runtime import Runtime


@dataclass(frozen=True, kw_only=True, eq=False)
class UNetParts:
    """What denoises, what encodes, and where they are."""

    unet: Any
    vae: Any
    scheduler: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def scaling_factor(self) -> float:
        """Latents of the denoiser = latents of the VAE times this."""
        return self.vae.config["scaling_factor"]

    def encode(self, photographs: np.ndarray) -> Tensor:
        """Photographs (B, H, W, 3) uint8 -> latents of the VAE (B, 4, H/8, W/8), not scaled."""
        images = torch.from_numpy(photographs).to(self.device).movedim(-1, 1)
        images = (images.to(torch.float32) / 127.5 - 1).to(self.vae.dtype)
        return self.vae.encode(images, return_dict=False)[0].mode().to(self.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> pictures (B, 3, H, W) float32, about -1..1."""
        unscaled = (latents / self.scaling_factor).to(self.vae.dtype)
        return self.vae.decode(unscaled, return_dict=False)[0].float()

    def noise(self, seeds: Sequence[int], like: Tensor) -> tuple[Tensor, list[torch.Generator]]:
        """Noise (B, C, h, w) that depends on the row's seed alone, and the rows' generators.

        Drawn on the CPU in float32: devices and dtypes would give other numbers for one seed. The
        generators go to schedulers that add noise at every step.
        """
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        shape = like.shape[1:]
        rows = [torch.randn(shape, generator=generator) for generator in generators]
        return torch.stack(rows).to(self.device, self.dtype), generators

    def step(
        self, output: Tensor, t: Tensor, latents: Tensor, generators: list[torch.Generator]
    ) -> Tensor:
        """The latents after one step of the scheduler, which may draw noise for each row."""
        draws = "generator" in inspect.signature(self.scheduler.step).parameters
        noise = {"generator": generators} if draws else {}
        return self.scheduler.step(output, t, latents, return_dict=False, **noise)[0].to(self.dtype)


def open_unet_parts(
    folder: Path,
    runtime: Runtime,
    *,
    upcast_vae: bool = False,
    adapt: Callable[[Any], None] | None = None,
) -> UNetParts:
    """Load through diffusers: safetensors only, no remote code, nothing from the network.

    upcast_vae: run the autoencoder in float32 where the rest is float16, if its configuration asks
    for it: that of SDXL overflows. adapt: changes the UNet's weights before it is placed.
    Raises ValueError for parts that are damaged, unknown or do not belong together.
    """
    device, dtype = find_device(runtime.device), getattr(torch, runtime.dtype)
    if runtime.quantize is not None:
        raise ValueError(f"{folder}: quantize is for large transformers, not for a UNet")
    unet = _open(UNet2DConditionModel, folder / "unet", dtype)
    vae = _open(AutoencoderKL, folder / "vae", dtype)
    if upcast_vae and dtype == torch.float16 and vae.config["force_upcast"]:
        vae = vae.float()
    if adapt is not None:
        adapt(unet)
    place(vae, unet, device, runtime)
    return UNetParts(
        unet=unet, vae=vae, scheduler=_open_scheduler(folder), device=device, dtype=dtype
    )


def _open(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """One network in eval mode, with exactly the weights of the folder.

    Names are compared by diffusers itself: it knows those that published autoencoders still have.
    """
    read_json(folder / "config.json")
    try:
        network, loaded = kind.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: diffusers cannot open it: {reason}") from error
    for keys, where in (("missing_keys", "missing in"), ("unexpected_keys", "only in")):
        if loaded[keys]:
            raise ValueError(
                f"{folder}: weights and config.json do not belong together: {loaded[keys][0]} is "
                f"{where} the file ({len(loaded[keys])} such tensors)"
            )
    return network.eval().requires_grad_(False)


def _open_scheduler(folder: Path) -> Any:
    """The scheduler that model_index.json names, if it is one of diffusers itself."""
    named = read_json(folder / "model_index.json").get("scheduler")
    library, name = named if isinstance(named, list) and len(named) == 2 else (None, None)
    scheduler: Any = getattr(diffusers, name, None) if isinstance(name, str) else None
    if library != "diffusers" or not hasattr(scheduler, "set_timesteps"):
        raise ValueError(
            f"{folder}/model_index.json: the scheduler must be one of diffusers, found {named!r}"
        )
    return scheduler.from_pretrained(folder / "scheduler", local_files_only=True)
