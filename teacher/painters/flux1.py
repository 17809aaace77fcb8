"""What FLUX.1-Control and FLUX.1-Kontext have in common: autoencoder, text encoders, schedule."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from teacher.painters.editor import Editor, Prompt
from teacher.painters.tokens import unpack

GUIDANCE = 3.5
"""Of guidance-distilled transformers: what diffusers' pipelines and its trainers take."""


class Flux1Editor(Editor):
    """FLUX.1: the same networks, whatever way the photograph enters."""

    patch = 2

    @property
    def latent_factor(self) -> int:
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    @abstractmethod
    def in_channels(self) -> int:
        """Values of a token that the transformer must take."""

    def check(self) -> None:
        config = self.vae.config
        if config["shift_factor"] is None or config["scaling_factor"] is None:
            raise ValueError(
                f"{self.folder}/vae/config.json: shift_factor and scaling_factor must be numbers"
            )
        found = self.transformer.config["in_channels"]
        if found != self.in_channels:
            raise ValueError(
                f"{self.folder}/transformer/config.json: in_channels is {found}, but tokens of "
                f"these latents, in patches of 2 x 2, have {self.in_channels}"
            )

    def encode(self, pictures: Tensor) -> Tensor:
        latents = self.vae.encode(pictures.to(self.dtype), return_dict=False)[0].mode()
        return (latents - self.vae.config["shift_factor"]) * self.vae.config["scaling_factor"]

    def decode(self, latents: Tensor) -> Tensor:
        config = self.vae.config
        latents = latents.to(self.dtype) / config["scaling_factor"] + config["shift_factor"]
        return self.vae.decode(latents, return_dict=False)[0]

    def embed_with(self, pipeline: Any, texts: list[str]) -> Prompt:
        embeds, pooled, _ = pipeline.encode_prompt(prompt=texts, prompt_2=texts)
        return Prompt(embeds=embeds, pooled=pooled)

    def denoise(
        self, tokens: Tensor, places: Tensor, size: tuple[int, int], t: Tensor, prompt: Prompt
    ) -> Tensor:
        """Run the transformer on tokens (B, N, ...) at places (N, 3); those of the noisy latents,
        which are of `size`, come first. Returns the velocity (B, C, h, w)."""
        guided = self.transformer.config["guidance_embeds"]
        velocity = self.transformer(
            hidden_states=tokens.to(self.dtype),
            encoder_hidden_states=prompt.embeds,
            pooled_projections=prompt.pooled,
            timestep=t,
            guidance=torch.full_like(t, GUIDANCE, dtype=torch.float32) if guided else None,
            img_ids=places,
            txt_ids=torch.zeros(prompt.embeds.shape[1], 3, device=tokens.device),
            return_dict=False,
        )[0]
        return unpack(velocity[:, : size[0] * size[1] // 4], *size)


def token_places(size: tuple[int, int], device: torch.device, picture: int = 0) -> Tensor:
    """Places (h/2 w/2, 3) of the tokens of latents h x w: number of the picture, row, column."""
    rows, columns = torch.arange(size[0] // 2), torch.arange(size[1] // 2)
    places = torch.cartesian_prod(torch.tensor([picture]), rows, columns)
    return places.float().to(device)
