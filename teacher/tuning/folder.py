"""Write a trained teacher as a folder that diffusers' own DiffusionPipeline opens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlPipeline,
    FluxTransformer2DModel,
)
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from teacher.depth import codec_to_json
from teacher.painters.card import TEACHER_SCHEMA, segment_instruction
from teacher.prompts import depth_prompt, normal_prompt, segment_prompt
from teacher.tuning.denoiser import POOLED_WIDTH, DenoiserConfig, Generator
from teacher.tuning.paintings import Paints

GENERATE_PROMPT = "Generate a photograph of a room or of an outdoor place."


def write_teacher(
    folder: Path,
    name: str,
    autoencoder: AutoencoderKL,
    generator: Generator,
    paints: Paints,
    size_px: int,
    licence: str = "Apache-2.0",
) -> Path:
    """Save denoiser and autoencoder in bfloat16, the instructions, and teacher.json."""
    autoencoder.register_to_config(_name_or_path=name)  # else the path of the training run
    pipeline = cast(Any, FluxControlPipeline)(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=False, shift=1.0),
        vae=autoencoder.bfloat16(),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=generator.denoiser.bfloat16(),
    )
    with _without_warnings():  # one for each text encoder that is not there
        pipeline.save_pretrained(folder, safe_serialization=True)
    save_file(generator.instructions.as_tensors(), folder / "instructions.safetensors")
    legends = [segment_prompt(palette) for palette in paints.palettes]
    card = {
        "schema": TEACHER_SCHEMA,
        "name": name,
        "licence": licence,
        "resolution_px": size_px,
        "multiple_px": 16,
        "steps": 1,
        "start": "zeros",
        "classes": list(paints.palette.names),
        "palette": paints.palette.colors.tolist(),
        "legends": [palette.colors.tolist() for palette in paints.palettes[1:]],
        "depth_codec": codec_to_json(paints.depth_codec),
        "instructions": {
            "depth": depth_prompt(),
            "normal": normal_prompt(),
            **{segment_instruction(k): text for k, text in enumerate(legends)},
            "generate": GENERATE_PROMPT,
        },
    }
    (folder / "teacher.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence what diffusers has to say below an error."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def read_teacher(folder: Path, names: tuple[str, ...]) -> tuple[AutoencoderKL, Generator]:
    """Inverse of write_teacher, in float32: autoencoder and denoiser, to be tuned further.

    names: the instructions to learn; one that the teacher lacks begins as its `segment`.
    Raises ValueError for a teacher that `potstill tune` did not make.
    """
    stored = load_file(folder / "instructions.safetensors")
    denoiser = FluxTransformer2DModel.from_pretrained(
        folder / "transformer", torch_dtype=torch.float32
    )
    if stored.get("segment.pooled", torch.empty(0)).shape != (POOLED_WIDTH,):
        raise ValueError(
            f"{folder}: only a teacher that `potstill tune` made can be tuned further here; its "
            f"instructions.safetensors would hold segment.pooled of {POOLED_WIDTH} values"
        )
    tokens = stored["segment.prompt_embeds"].shape[0]
    generator = Generator(DenoiserConfig(text_tokens=tokens), names)
    generator.denoiser = denoiser
    with torch.no_grad():
        for row, name in enumerate(names):
            known = name if f"{name}.pooled" in stored else "segment"
            generator.instructions.prompt[row] = stored[f"{known}.prompt_embeds"]
            generator.instructions.pooled[row] = stored[f"{known}.pooled"]
    autoencoder = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    return autoencoder.eval(), generator
