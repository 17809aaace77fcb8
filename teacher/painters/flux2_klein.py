"""FLUX.2-klein: the photograph enters as further tokens, at time 10 of their four places.

What has to be known about diffusers' Flux2KleinPipeline (0.42): a list of pictures means several
references that all rows share. Here every row has the photograph of its own. The autoencoder's
latents are patches of 2 x 2 that are normalised with the running statistics of a batch norm.
"""

from typing import Any

import torch
from diffusers.pipelines.flux2.pipeline_flux2_klein import (
    Flux2KleinPipeline,
    compute_empirical_mu,
)
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from teacher.painters.editor import Editor, Prompt

SOURCE_TIME = 10
"""The first place of the photograph's tokens; a second picture would have 20."""


class Flux2KleinEditor(Editor):
    """The tokens of the noisy latents, then those of the photograph; one latent pixel each."""

    pipeline_class = Flux2KleinPipeline
    patch = 1

    @property
    def latent_factor(self) -> int:
        return 2 ** len(self.vae.config["block_out_channels"])  # the last factor 2: the patches

    def check(self) -> None:
        found, needed = self.transformer.config["in_channels"], self.vae.bn.num_features
        if found != needed:
            raise ValueError(
                f"{self.folder}/transformer/config.json: in_channels is {found}, but latents of "
                f"this autoencoder have {needed} channels in patches of 2 x 2"
            )

    def encode(self, pictures: Tensor) -> Tensor:
        latents = self.vae.encode(pictures.to(self.dtype), return_dict=False)[0].mode()
        mean, deviation = self._statistics(latents)
        return (pixel_unshuffle(latents, 2) - mean) / deviation

    def decode(self, latents: Tensor) -> Tensor:
        latents = latents.to(self.dtype)
        mean, deviation = self._statistics(latents)
        return self.vae.decode(pixel_shuffle(latents * deviation + mean, 2), return_dict=False)[0]

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the channels, (1, C, 1, 1) each, as the pipeline does."""
        norm = self.vae.bn
        variance = norm.running_var.view(1, -1, 1, 1)
        deviation = torch.sqrt(variance + self.vae.config["batch_norm_eps"])
        return norm.running_mean.view(1, -1, 1, 1).to(latents), deviation.to(latents)

    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        height, width = noisy.shape[2:]
        pictures = [noisy] if source is None else [noisy, source.to(noisy.dtype)]
        places = [_places(SOURCE_TIME * number, height, width) for number in range(len(pictures))]
        velocity = self.transformer(
            hidden_states=torch.cat([p.flatten(2).mT for p in pictures], 1).to(self.dtype),
            encoder_hidden_states=prompt.embeds,
            timestep=t,
            img_ids=torch.cat(places).to(noisy.device),
            txt_ids=_text_places(prompt.embeds.shape[1]).to(noisy.device),
            guidance=None,
            return_dict=False,
        )[0]
        return velocity[:, : height * width].mT.unflatten(2, (height, width))

    def embed_with(self, pipeline: Any, texts: list[str]) -> Prompt:
        return Prompt(embeds=pipeline.encode_prompt(prompt=texts)[0])

    def shift(self, steps: int, tokens: int) -> float:
        return compute_empirical_mu(tokens, steps)


def _places(time: int, height: int, width: int) -> Tensor:
    """Places (h w, 4) of a picture's tokens: time, row, column, 0."""
    rows, columns = torch.arange(height), torch.arange(width)
    return torch.cartesian_prod(torch.tensor([time]), rows, columns, torch.tensor([0]))


def _text_places(tokens: int) -> Tensor:
    """Places (T, 4) of the instruction's tokens: 0, 0, 0, number."""
    places = torch.zeros(tokens, 4, dtype=torch.int64)
    places[:, 3] = torch.arange(tokens)
    return places
