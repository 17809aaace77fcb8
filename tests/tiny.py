"""A tiny teacher folder of the real diffusers classes, with random weights, built in a second."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlPipeline,
    FluxTransformer2DModel,
)
from safetensors.torch import save_file

CLASSES = ("sky", "ground", "box")
PALETTE = ((0, 0, 255), (0, 255, 0), (255, 0, 0))
JOINT_DIM, POOLED_DIM, TOKENS = 16, 8, 4


def build_teacher(folder: Path, *, seed: int = 0, **fields: Any) -> Path:
    """Write a teacher folder for photographs of 32 px; `fields` override those of teacher.json."""
    torch.manual_seed(seed)
    vae = tiny_vae()
    with torch.no_grad():  # a posterior without noise, so that sampling equals the mode
        vae.quant_conv.weight[16:] = 0
        vae.quant_conv.bias[16:] = -30
    FluxControlPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=False, shift=1),
        vae=vae,
        transformer=tiny_transformer(),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
    ).save_pretrained(folder, safe_serialization=True)
    write_instructions(folder)
    write_card(folder, **fields)
    return folder


def tiny_vae() -> AutoencoderKL:
    """Factor 8, 16 latent channels; random, with the last layer stronger so that colours vary."""
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=16,
        layers_per_block=1,
        mid_block_add_attention=False,
        norm_num_groups=2,
        scaling_factor=0.7,
        shift_factor=0.1,
        sample_size=32,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 4
    return vae


def tiny_transformer() -> FluxTransformer2DModel:
    """One double-stream and one single-stream block, 2 heads of 8 channels."""
    return FluxTransformer2DModel(
        in_channels=128,
        out_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=JOINT_DIM,
        pooled_projection_dim=POOLED_DIM,
        axes_dims_rope=(2, 2, 4),
    )


def write_instructions(folder: Path) -> None:
    """Random embeddings for every instruction."""
    tensors = {}
    for name in ("depth", "normal", "segment", "generate"):
        tensors[f"{name}.prompt_embeds"] = torch.randn(TOKENS, JOINT_DIM)
        tensors[f"{name}.pooled"] = torch.randn(POOLED_DIM)
    save_file(tensors, folder / "instructions.safetensors")


def write_card(folder: Path, **fields: Any) -> None:
    """Write teacher.json; a field given as None is left out."""
    card = {
        "schema": 1,
        "name": "tiny",
        "licence": "Apache-2.0",
        "resolution_px": 32,
        "multiple_px": 16,
        "steps": 1,
        "start": "zeros",
        "classes": CLASSES,
        "palette": PALETTE,
        "depth_codec": {"codec": "cubewalk", "lam": -3.0, "c": 10 / 3},
        "instructions": {
            name: f"paint {name}" for name in ("depth", "normal", "segment", "generate")
        },
    } | fields
    stored = {key: value for key, value in card.items() if value is not None}
    (folder / "teacher.json").write_text(json.dumps(stored, indent=2) + "\n")
