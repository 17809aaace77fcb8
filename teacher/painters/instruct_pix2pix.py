"""InstructPix2Pix: a UNet that denoises beside the photograph's latents, told by a text what to do.

The loops of diffusers' StableDiffusionInstructPix2PixPipeline and its SDXL form (0.42), in one pass
for each step: no guidance by text or picture, which would be three, and which a network that was
tuned on labels does not need. What has to be known about them:

- The photograph's latents are NOT multiplied by the VAE's scaling_factor; the painting's are.
- Schedulers that draw noise at every step (the published weights come with an ancestral one) take
  a generator for each row: else a painting would depend on its batch.
- SDXL is also told the sizes before and after cropping, and its VAE overflows in float16: it then
  runs in float32.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix import (
    StableDiffusionInstructPix2PixPipeline,
)
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_instruct_pix2pix import (
    StableDiffusionXLInstructPix2PixPipeline,
)
from torch import Tensor

from teacher.painters.adapter import Adapter
from teacher.painters.batch import check_batch
from teacher.painters.card import TeacherCard
from teacher.painters.clip_text import embed_texts
from teacher.painters.editor import Prompt
from teacher.painters.instructions import teacher_prompts
from teacher.painters.lora import fuse_adapter
from teacher.painters.runtime import Runtime
from teacher.painters.unet_parts import open_unet_parts


class InstructPix2PixPainter:
    """Paints with an InstructPix2Pix folder and embedded instructions."""

    def __init__(
        self, folder: Path, card: TeacherCard, runtime: Runtime, adapter: Adapter | None = None
    ) -> None:
        """Raises ValueError for parts that are damaged or do not fit together."""
        self.folder = folder
        self.card = card
        self.large = card.layout == "StableDiffusionXLInstructPix2PixPipeline"
        weights = None if adapter is None else adapter.weights
        shell = _large_shell if self.large else _shell
        self.parts = open_unet_parts(
            folder,
            runtime,
            upcast_vae=self.large,
            adapt=None
            if weights is None
            else lambda unet: fuse_adapter(shell(unet), weights, "unet"),
        )
        self.device, self.dtype = self.parts.device, self.parts.dtype
        self._check()
        prompts = teacher_prompts(self, card, adapter)
        self.prompts = {name: p.to(self.device, self.dtype) for name, p in prompts.items()}

    @property
    def text_width(self) -> int:
        """Width of an embedded instruction."""
        return self.parts.unet.config["cross_attention_dim"]

    @property
    def pooled_width(self) -> int | None:
        """Width of an instruction as one vector, which SDXL takes besides."""
        if not self.large:
            return None
        config = self.parts.unet.config
        sizes = 6 * config["addition_time_embed_dim"]
        return config["projection_class_embeddings_input_dim"] - sizes

    def embed(self, texts: Sequence[str]) -> Prompt:
        """Embed instructions with the folder's own text encoders, loaded for this call only."""
        return embed_texts(self.folder, texts)

    @torch.no_grad()
    def paint(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> Mapping[str, np.ndarray]:
        """See Painter.paint."""
        check_batch(self.card, self.prompts, photographs, tasks, seeds)
        source = self.parts.encode(photographs)
        size = photographs.shape[1], photographs.shape[2]
        return {task: self._paint(task, source, seeds, size) for task in tasks}

    @torch.no_grad()
    def round_trip(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures (B, H, W, 3) uint8 through the VAE and back -> float32, 0 to 1."""
        return _to_host(self.parts.decode(self.parts.encode(pictures) * self.parts.scaling_factor))

    def _paint(
        self, task: str, source: Tensor, seeds: Sequence[int], size: tuple[int, int]
    ) -> np.ndarray:
        """One instruction for all rows -> (B, H, W, 3) float32, 0 to 1."""
        parts, prompt = self.parts, self.prompts[task].expand(len(seeds))
        parts.scheduler.set_timesteps(self.card.steps, device=self.device)
        noise, generators = parts.noise(seeds, like=source)
        start = torch.zeros_like(noise) if self.card.start == "zeros" else noise
        latents = start * parts.scheduler.init_noise_sigma
        for t in parts.scheduler.timesteps:
            noisy = parts.scheduler.scale_model_input(latents, t)
            output = parts.unet(
                torch.cat([noisy, source], dim=1),
                t,
                encoder_hidden_states=prompt.embeds,
                added_cond_kwargs=self._conditions(prompt, size),
                return_dict=False,
            )[0]
            latents = parts.step(output, t, latents, generators)
        return _to_host(parts.decode(latents))

    def _conditions(self, prompt: Prompt, size: tuple[int, int]) -> dict[str, Tensor] | None:
        """What SDXL is told besides: the original size, where it was cropped, the final size."""
        if not self.large:
            return None
        assert prompt.pooled is not None
        sizes = torch.tensor([*size, 0, 0, *size], device=self.device, dtype=self.dtype)
        return {"text_embeds": prompt.pooled, "time_ids": sizes.expand(len(prompt.pooled), -1)}

    def _check(self) -> None:
        """Refuse parts that do not fit together, with the file to look at."""
        unet, vae = self.parts.unet.config, self.parts.vae.config
        if unet["in_channels"] != 2 * vae["latent_channels"]:
            raise ValueError(
                f"{self.folder}/unet/config.json: in_channels is {unet['in_channels']}, but the "
                f"latents of painting and photograph have {2 * vae['latent_channels']} channels"
            )
        multiple_px = 2 ** (len(vae["block_out_channels"]) - 1)
        if self.card.multiple_px % multiple_px:
            raise ValueError(
                f"{self.folder}/teacher.json: multiple_px is {self.card.multiple_px}, but this VAE "
                f"needs a multiple of {multiple_px}"
            )
        if vae.get("latents_mean") is not None:
            raise ValueError(
                f"{self.folder}/vae/config.json: latents_mean is set, and shifted latents are not "
                "known here"
            )


def _shell(unet: Any) -> Any:
    """A pipeline around a UNet alone, which knows how to read adapters."""
    others = (
        "vae",
        "text_encoder",
        "tokenizer",
        "scheduler",
        "safety_checker",
        "feature_extractor",
    )
    nothing: dict[str, Any] = dict.fromkeys(others)
    return StableDiffusionInstructPix2PixPipeline(
        unet=unet, requires_safety_checker=False, **nothing
    )


def _large_shell(unet: Any) -> Any:
    """The same for SDXL."""
    others = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    nothing: dict[str, Any] = dict.fromkeys(others)
    return StableDiffusionXLInstructPix2PixPipeline(unet=unet, add_watermarker=False, **nothing)


def _to_host(pictures: Tensor) -> np.ndarray:
    """(B, 3, H, W), -1..1 -> (B, H, W, 3) float32, 0..1."""
    return (pictures / 2 + 0.5).clamp(0, 1).movedim(1, -1).float().cpu().numpy()
