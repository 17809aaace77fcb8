"""FLUX.1-Kontext: the photograph enters as further tokens, with 1 in the first of their places.

What has to be known about diffusers' FluxKontextPipeline (0.42), and does not happen here: it
rescales every picture to about one megapixel, and a list of pictures of several sizes is squashed
to the size of the first.
"""

import torch
from diffusers.pipelines.flux.pipeline_flux_kontext import FluxKontextPipeline
from torch import Tensor

from teacher.painters.editor import Prompt
from teacher.painters.flux1 import Flux1Editor, token_places
from teacher.painters.tokens import pack


class FluxKontextEditor(Flux1Editor):
    """The tokens of the noisy latents, then those of the photograph."""

    pipeline_class = FluxKontextPipeline

    @property
    def in_channels(self) -> int:
        return 4 * self.vae.config["latent_channels"]

    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        size = noisy.shape[2], noisy.shape[3]
        pictures = [noisy] if source is None else [noisy, source.to(noisy.dtype)]
        places = [token_places(size, noisy.device, number) for number in range(len(pictures))]
        tokens = torch.cat([pack(picture) for picture in pictures], dim=1)
        return self.denoise(tokens, torch.cat(places), size, t, prompt)
