"""What one family of flow-matching generators has to know, and nothing that all have in common.

An editor turns pictures into normalised latents and back, and predicts the velocity noise - x0 at
noisy latents, given the latents of a source photograph and an instruction. Painting (flow.py) and
instruction tuning run on the same methods, so that what is trained is what paints.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from torch.nn import functional as F
from transformers.utils import logging as transformers_logging

from teacher.painters.lora import fuse_adapter
from teacher.painters.opening import find_device, open_encoders, open_pipeline
from teacher.painters.placing import place
from teacher.painters.runtime import ON_CPU, Runtime

TEXTS_A_PASS = 16
"""Instructions that go through the text encoders at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """Embedded instructions, one in each row."""

    embeds: Tensor
    """(B, T, D) states of the text encoder"""
    pooled: Tensor | None = None
    """(B, P) the whole text as one vector, for families that take it"""
    mask: Tensor | None = None
    """(B, T) bool, False = padding, for families that must not see it; None = no padding"""

    def rows(self, index: Tensor) -> "Prompt":
        """The instructions of a batch: row index[i] of this prompt in row i; index (B,) int64."""
        return self._each(lambda tensor: tensor[index])

    def expand(self, rows: int) -> "Prompt":
        """One instruction in every row of a batch, without copying it."""
        return self._each(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))

    def to(self, device: torch.device, dtype: torch.dtype) -> "Prompt":
        """On a device, floating-point tensors in a dtype."""
        return self._each(lambda t: t.to(device, dtype if t.is_floating_point() else t.dtype))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Prompt":
        return Prompt(**{name: change(tensor) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that are there, by the names of the fields."""
        found = {"embeds": self.embeds, "pooled": self.pooled, "mask": self.mask}
        return {name: tensor for name, tensor in found.items() if tensor is not None}


def joined(prompts: Sequence[Prompt]) -> Prompt:
    """The rows of all prompts, one after the other; shorter ones are padded and masked."""
    longest = max(prompt.embeds.shape[1] for prompt in prompts)
    pooled = [prompt.pooled for prompt in prompts if prompt.pooled is not None]
    mask = torch.cat([F.pad(_mask(p), (0, longest - p.embeds.shape[1])) for p in prompts])
    return Prompt(
        embeds=torch.cat(
            [F.pad(p.embeds, (0, 0, 0, longest - p.embeds.shape[1])) for p in prompts]
        ),
        pooled=torch.cat(pooled) if pooled else None,
        mask=None if mask.all() else mask,
    )


def _mask(prompt: Prompt) -> Tensor:
    """Its mask (B, T), also where nothing is padded."""
    embeds = prompt.embeds
    everything = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
    return everything if prompt.mask is None else prompt.mask


class Editor(ABC):
    """One generator, loaded: its autoencoder, its transformer, and how the two are put together."""

    pipeline_class: ClassVar[Any]
    """The class of diffusers that the folder was saved with."""
    patch: ClassVar[int]
    """Latent pixels to a side of one token of the transformer."""

    vae: Any
    """The autoencoder, frozen, in eval mode."""
    transformer: Any
    """The network that predicts the velocity: what LoRA and tuning train; frozen, in eval mode."""

    def __init__(self, pipeline: Any, folder: Path, runtime: Runtime = ON_CPU) -> None:
        """Take vae, transformer and scheduler of a pipeline, and move them to their device.

        folder: where they come from. Raises ValueError for parts that do not fit together, and for
        a device that is not there.
        """
        self.folder, self.runtime = folder, runtime
        self.device, self.dtype = find_device(runtime.device), getattr(torch, runtime.dtype)
        self.vae, self.transformer = pipeline.vae, pipeline.transformer
        self.scheduler = pipeline.scheduler
        self.check()
        place(self.vae, self.transformer, self.device, runtime)

    @classmethod
    def load(cls, folder: Path, runtime: Runtime = ON_CPU, adapter: Path | None = None) -> Self:
        """Load a folder, and fuse the LoRA adapter of a safetensors file into the transformer.

        Raises ValueError as __init__ does, and for files that are damaged or not the network's.
        """
        pipeline = open_pipeline(cls.pipeline_class, folder, runtime)
        if adapter is not None:
            fuse_adapter(pipeline, adapter)
        return cls(pipeline, folder, runtime)

    @property
    @abstractmethod
    def latent_factor(self) -> int:
        """Pixels to a side of one latent pixel, as `encode` returns them."""

    @property
    def multiple_px(self) -> int:
        """Height and width of a picture must be multiples of this: whole tokens."""
        return self.patch * self.latent_factor

    @property
    def text_width(self) -> int:
        """Width of Prompt.embeds."""
        return self.transformer.config["joint_attention_dim"]

    @property
    def pooled_width(self) -> int | None:
        """Width of Prompt.pooled; None for a family without it."""
        return self.transformer.config.get("pooled_projection_dim")

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError, naming the file, for parts that do not fit together."""

    @abstractmethod
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), -1..1 -> normalised latents (B, C, h, w): the posterior's mode."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Inverse of encode, as far as the autoencoder goes: (B, 3, H, W), about -1..1."""

    @abstractmethod
    def velocity(self, noisy: Tensor, source: Tensor | None, t: Tensor, prompt: Prompt) -> Tensor:
        """The velocity noise - x0 at noisy latents: (B, C, h, w).

        noisy: (B, C, h, w); source: latents of the photographs, or None for plain generation;
        t: (B,) share of noise, 1 = nothing else; prompt: B rows.
        """

    def embed(self, texts: Sequence[str]) -> Prompt:
        """Embed instructions with the folder's own text encoders, loaded for this call only.

        Raises ValueError for a folder that has none.
        """
        with _quiet(), torch.no_grad():  # not inference_mode: tuning trains on these tensors
            encoders = open_encoders(self.pipeline_class, self.folder, self.runtime)
            starts = range(0, len(texts), TEXTS_A_PASS)
            parts = (list(texts[start : start + TEXTS_A_PASS]) for start in starts)
            return joined([self.embed_with(encoders, part) for part in parts])

    @abstractmethod
    def embed_with(self, pipeline: Any, texts: list[str]) -> Prompt:
        """Embed instructions with a pipeline of text encoders and tokenizers alone."""

    def shift(self, steps: int, tokens: int) -> float:
        """How far the scheduler shifts its noise levels, `mu`, for a picture of so many tokens."""
        config = self.scheduler.config
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        return calculate_shift(tokens, *(config[name] for name in names))

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        """Noise levels of a painting whose latents are height x width: (steps + 1,), 1 to 0.

        One step always goes from 1 to 0. Every schedule agrees but those with a terminal shift
        (Qwen-Image), where diffusers divides zero by zero.
        """
        if steps == 1:
            return torch.tensor([1.0, 0.0])
        even = np.linspace(1, 1 / steps, steps)
        mu = self.shift(steps, height * width // self.patch**2)
        self.scheduler.set_timesteps(sigmas=even, mu=mu)
        return self.scheduler.sigmas


@contextmanager
def _quiet() -> Iterator[None]:
    """CLIP reads the first 77 tokens of an instruction, and two libraries say so for each."""
    libraries = (diffusers_logging, transformers_logging)
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, verbosity in zip(libraries, before):
            library.set_verbosity(verbosity)
