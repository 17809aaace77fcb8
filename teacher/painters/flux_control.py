"""FLUX.1-Control: the photograph enters as extra latent channels, so its pixels stay in place.

What has to be known about diffusers' FluxControlPipeline (0.42): given an image, it *samples* the
photograph's latents from the VAE's posterior. Labels must not depend on that noise, so the mode is
taken here. Trained from scratch, this layout also generates: from a source of zeros.
"""

import torch
from diffusers.pipelines.flux.pipeline_flux_control import FluxControlPipeline
from torch import Tensor

from teacher.painters.editor import Prompt
from teacher.painters.flux1 import Flux1Editor, token_places
from teacher.painters.tokens import pack


class FluxControlEditor(Flux1Editor):
    """Every token holds a patch of the noisy latents and the same patch of the photograph's."""

    pipeline_class = FluxControlPipeline

    @property
    def in_channels(self) -> int:
        return 8 * self.vae.config["latent_channels"]

    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        size = noisy.shape[2], noisy.shape[3]
        source = torch.zeros_like(noisy) if source is None else source
        tokens = torch.cat([pack(noisy), pack(source)], dim=2)  # (B, h/2 w/2, 8 C)
        return self.denoise(tokens, token_places(size, noisy.device), size, t, prompt)
