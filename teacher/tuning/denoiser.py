"""The denoiser of the embedded teacher, in the layout of FLUX.1-Control.

The photograph's latents lie beside the noisy ones in extra input channels, so that every token
already sees the place it paints. Painting takes one step: from zero latents at t = 1 the model
predicts the velocity noise - x0 = -x0. Generation is flow matching at random t without a source.
"""

import math
from dataclasses import dataclass, fields

import torch
from diffusers import FluxControlPipeline, FluxTransformer2DModel
from torch import Tensor, nn

from teacher.tuning.autoencoder import LATENT_CHANNELS

PACKED = LATENT_CHANNELS * 4
"""Values of a token: 2 x 2 latent pixels."""
TEXT_WIDTH, POOLED_WIDTH = 128, 64


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """Size of the denoiser: a FluxTransformer2DModel."""

    double_blocks: int = 2
    """Blocks with separate weights for text and picture."""
    single_blocks: int = 6
    """Blocks with shared weights."""
    heads: int = 4
    """Attention heads."""
    head_width: int = 48
    """Width of a head; the model is heads x head_width wide."""
    text_tokens: int = 4
    """Tokens of an instruction."""


def build_denoiser(config: DenoiserConfig) -> FluxTransformer2DModel:
    """A fresh transformer that takes noisy and source latents and predicts a velocity."""
    axis = config.head_width // 8 * 3
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=2 * PACKED,
        out_channels=PACKED,
        num_layers=config.double_blocks,
        num_single_layers=config.single_blocks,
        attention_head_dim=config.head_width,
        num_attention_heads=config.heads,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(config.head_width - 2 * axis, axis, axis),
    )


class Instructions(nn.Module):
    """Learned embeddings of a closed set of instructions; they take the text encoders' place."""

    def __init__(self, names: tuple[str, ...], tokens: int) -> None:
        super().__init__()
        self.names = names
        self.prompt = nn.Parameter(0.5 * torch.randn(len(names), tokens, TEXT_WIDTH))
        self.pooled = nn.Parameter(0.5 * torch.randn(len(names), POOLED_WIDTH))

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Prompt embeddings (B, T, 128) and pooled ones (B, 64) of instructions (B,)."""
        return self.prompt[index], self.pooled[index]

    def as_tensors(self) -> dict[str, Tensor]:
        """The embeddings by the names under which a teacher folder keeps them."""
        tensors = {}
        for row, name in enumerate(self.names):
            tensors[f"{name}.prompt_embeds"] = self.prompt[row].detach().clone()
            tensors[f"{name}.pooled"] = self.pooled[row].detach().clone()
        return tensors


class Generator(nn.Module):
    """Denoiser and instructions: all that is trained after the autoencoder."""

    def __init__(self, config: DenoiserConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.denoiser = build_denoiser(config)
        self.instructions = Instructions(names, config.text_tokens)

    def forward(self, noisy: Tensor, source: Tensor, t: Tensor, instruction: Tensor) -> Tensor:
        """Velocity (B, 16, h, w) at latents `noisy`, given source latents, time and instruction.

        noisy, source (B, 16, h, w); t (B,) in 0..1, 1 = pure noise; instruction (B,) int64.
        """
        prompt, pooled = self.instructions(instruction)
        height, width = noisy.shape[2:]
        tokens = torch.cat([pack_latents(noisy), pack_latents(source)], 2)
        places = FluxControlPipeline._prepare_latent_image_ids(
            1, height // 2, width // 2, noisy.device, torch.float32
        )
        velocity = self.denoiser(
            hidden_states=tokens,
            encoder_hidden_states=prompt,
            pooled_projections=pooled,
            timestep=t,
            img_ids=places,
            txt_ids=torch.zeros(prompt.shape[1], 3, device=noisy.device),
        ).sample
        return unpack_latents(velocity, height, width)


def pack_latents(latents: Tensor) -> Tensor:
    """(B, C, h, w) -> tokens (B, h/2 * w/2, 4C), in the order of the FLUX pipelines."""
    batch, channels, height, width = latents.shape
    blocks = latents.view(batch, channels, height // 2, 2, width // 2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def unpack_latents(tokens: Tensor, height: int, width: int) -> Tensor:
    """Inverse of pack_latents, for latents of a given height and width."""
    batch, _, packed = tokens.shape
    blocks = tokens.view(batch, height // 2, width // 2, packed // 4, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(batch, packed // 4, height, width)


@dataclass(frozen=True)
class Batch:
    """Rows of mixed instructions, ready for one pass; all (B, ...), latents (B, 16, h, w)."""

    noisy: Tensor
    source: Tensor
    t: Tensor
    instruction: Tensor
    target: Tensor
    """The velocity: noise - x0."""
    weight: Tensor
    known: Tensor
    """(B, h, w) float32: 1 where the target is known, else 0"""


GENERATION_WEIGHT = 0.5
"""Of a generated row in the loss: its velocity has about twice the variance of a painting's."""


def painting_rows(photo: Tensor, painting: Tensor, known: Tensor, instruction: Tensor) -> Batch:
    """One step from zero latents at t = 1 to the painting of a photograph."""
    ones = torch.ones(len(photo))
    noisy = torch.zeros_like(photo)
    return Batch(noisy, photo, ones, instruction, -painting, ones, known.float())


def generation_rows(photo: Tensor, instruction: Tensor, chance: torch.Generator) -> Batch:
    """Flow matching of the photographs themselves at random t; the source is left empty (zeros)."""
    t = torch.sigmoid(torch.randn(len(photo), generator=chance))
    noise = torch.randn(photo.shape, generator=chance)
    noisy = photo.lerp(noise, t[:, None, None, None])
    weight = torch.full_like(t, GENERATION_WEIGHT)
    known = torch.ones_like(photo[:, 0])
    return Batch(noisy, torch.zeros_like(photo), t, instruction, noise - photo, weight, known)


def join(first: Batch, second: Batch) -> Batch:
    """The rows of both batches."""
    return Batch(
        *(torch.cat([getattr(first, f.name), getattr(second, f.name)]) for f in fields(first))
    )


def velocity_loss(model: "Generator", batch: Batch) -> Tensor:
    """Weighted squared error of each row's velocity, mean over its known values: (B,)."""
    velocity = model(batch.noisy, batch.source, batch.t, batch.instruction).float()
    error = (velocity - batch.target).square().mean(1) * batch.known
    return batch.weight * error.sum((1, 2)) / batch.known.sum((1, 2)).clamp(min=1)


class Ema:
    """Exponential moving average of a module's parameters, with a warm-up of its horizon."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.module, self.decay, self.steps = module, decay, 0
        self.average = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the parameters."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.module.named_parameters():
            self.average[name].lerp_(value, 1 - decay)

    def load_into(self, module: nn.Module) -> None:
        """Copy the average into a module of the same shape."""
        module.load_state_dict({**module.state_dict(), **self.average})


def build_optimizers(
    model: Generator, weight_decay: float, parts: int = 1
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all the rest.

    Muon (arXiv 2502.16982) with its step scaled to AdamW's root mean square takes the same
    learning rate. The rate is set at each step. Muon comes in `parts` of disjoint matrices.
    """
    blocks = {
        name: p
        for name, p in model.named_parameters()
        if p.ndim == 2 and "transformer_blocks" in name
    }
    rest = [p for name, p in model.named_parameters() if name not in blocks]
    matrices = sorted(blocks.values(), key=torch.numel)
    muons = [
        torch.optim.Muon(
            matrices[part::parts], lr=1.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        for part in range(parts)
    ]
    adam = torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return [*muons, adam]


def cosine(share: float, floor: float = 0.02) -> float:
    """Learning-rate factor at a share 0..1 of the run: 2 % warm-up, then a cosine to the floor."""
    if share < 0.02:
        return share / 0.02
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - 0.02) / 0.98)))
