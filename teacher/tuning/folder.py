"""Write a trained teacher as a folder that diffusers' own DiffusionPipeline opens."""

import json
from pathlib import Path
from typing import Any, cast

from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxControlPipeline
from safetensors.torch import save_file

from teacher.depth import codec_to_json
from teacher.prompts import depth_prompt, normal_prompt, segment_prompt
from teacher.tuning.denoiser import Generator
from teacher.tuning.paintings import Paints

TEACHER_SCHEMA = 1
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
    pipeline.save_pretrained(folder, safe_serialization=True)
    save_file(generator.instructions.as_tensors(), folder / "instructions.safetensors")
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
        "depth_codec": codec_to_json(paints.depth_codec),
        "instructions": {
            "depth": depth_prompt(),
            "normal": normal_prompt(),
            "segment": segment_prompt(paints.palette),
            "generate": GENERATE_PROMPT,
        },
    }
    (folder / "teacher.json").write_text(json.dumps(card, indent=2) + "\n")
    return folder
