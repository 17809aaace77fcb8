"""Generators of production size with random weights, made on the device: for timing, not painting.

How long a network takes does not depend on its weights, so that a machine can be measured without
24 GB of them. Sizes are as published, in each network's config.json; no weights of them have been
loaded here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
)

from teacher.depth import CUBE_WALK, codec_to_json
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt
from teacher.painters.flow import FlowPainter
from teacher.painters.flux2_klein import Flux2KleinEditor
from teacher.painters.flux_kontext import FluxKontextEditor
from teacher.painters.opening import find_device
from teacher.painters.runtime import Runtime
from teacher.sample import TASKS

CLASSES = ("sky", "ground", "thing")
PALETTE = ((0, 0, 255), (0, 255, 0), (255, 0, 0))

BLOCKS: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
"""Both autoencoders: widths 128 x (1, 2, 4, 4), two residual blocks each."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One published generator."""

    editor: type[Editor]
    transformer: tuple[Any, Mapping[str, Any]]
    """Class and configuration."""
    vae: tuple[Any, Mapping[str, Any]]
    tokens: int
    """Of an instruction, as the pipeline pads it."""


KONTEXT = Size(
    editor=FluxKontextEditor,
    transformer=(
        FluxTransformer2DModel,
        {
            "in_channels": 64,
            "num_layers": 19,
            "num_single_layers": 38,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
            "guidance_embeds": True,
            "axes_dims_rope": (16, 56, 56),
        },
    ),
    vae=(
        AutoencoderKL,
        {
            **BLOCKS,
            "latent_channels": 16,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        },
    ),
    tokens=512,
)

KLEIN = Size(
    editor=Flux2KleinEditor,
    transformer=(
        Flux2Transformer2DModel,
        {
            "in_channels": 128,
            "num_layers": 5,
            "num_single_layers": 20,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
            "guidance_embeds": False,
        },
    ),
    vae=(AutoencoderKLFlux2, {**BLOCKS, "latent_channels": 32}),
    tokens=512,
)

TINY = Size(  # Kontext's layout in small, for a processor
    editor=FluxKontextEditor,
    transformer=(
        FluxTransformer2DModel,
        {
            "in_channels": 64,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "guidance_embeds": True,
            "axes_dims_rope": (8, 12, 12),
        },
    ),
    vae=(AutoencoderKL, {**KONTEXT.vae[1], "block_out_channels": (32, 32, 32, 32)}),
    tokens=16,
)

SIZES = {"klein-4b": KLEIN, "kontext-12b": KONTEXT, "tiny": TINY}


def random_painter(name: str, *, resolution_px: int, steps: int, runtime: Runtime) -> FlowPainter:
    """A painter of a published size with random weights.

    name: of SIZES. Raises ValueError for a name, a device or a resolution that is not there.
    """
    if name not in SIZES:
        raise ValueError(f"no generator of random weights is called {name!r}: {', '.join(SIZES)}")
    size = SIZES[name]
    editor = _random_editor(name, size, runtime)
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(1, size.tokens, editor.text_width, generator=generator)
    width = editor.pooled_width
    pooled = None if width is None else torch.randn(1, width, generator=generator)
    prompts: dict[str, Prompt] = dict.fromkeys(TASKS, Prompt(embeds=embeds, pooled=pooled))
    return FlowPainter(editor, _card(name, editor, resolution_px, steps), prompts)


def _random_editor(name: str, size: Size, runtime: Runtime) -> Editor:
    torch.manual_seed(0)
    with _made_on(find_device(runtime.device), getattr(torch, runtime.dtype)):
        vae, transformer = (
            network_class(**config).eval().requires_grad_(False)
            for network_class, config in (size.vae, size.transformer)
        )
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    parts = SimpleNamespace(vae=vae, transformer=transformer, scheduler=scheduler)
    return size.editor(parts, Path(name), runtime)  # there is no folder: a name for messages


@contextmanager
def _made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Make weights where and as they are needed, without a copy in host memory."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def _card(name: str, editor: Editor, resolution_px: int, steps: int) -> TeacherCard:
    multiple_px = editor.multiple_px
    if resolution_px < 1 or resolution_px % multiple_px:
        raise ValueError(
            f"{name} paints at multiples of {multiple_px} px, found --resolution_px {resolution_px}"
        )
    return TeacherCard(
        name=f"{name} (random weights)",
        licence=None,
        resolution_px=resolution_px,
        multiple_px=multiple_px,
        steps=steps,
        start="noise",
        classes=CLASSES,
        palette=PALETTE,
        legends=(PALETTE,),
        depth_codec=codec_to_json(CUBE_WALK),
        instructions={task: f"paint {task}" for task in TASKS},
        path_or_hub_id=name,
        revision=None,
        layout=editor.pipeline_class.__name__,
        weights_sha256="",
        config_sha256="",
    )
