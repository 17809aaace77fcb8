"""Small generators of the real classes, with random transformers, that can be tuned in minutes.

Their instructions are embedded already (random, but fixed). Their autoencoders are trained on the
very paintings of the test, so that they can carry the colours of labels.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
)
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from teacher.depth import CUBE_WALK, codec_to_json
from teacher.painters import EMBEDDED
from teacher.prompts import depth_prompt
from teacher.tuning.autoencoder import one_cycle, picture_loss

TEXT_WIDTH, POOLED_WIDTH, TOKENS = 64, 32, 4


def save_generator(folder: Path, pipeline: Any, vae: Any, transformer: Any, **parts: Any) -> Path:
    """A teacher folder that is asked for depth and for pictures of its own."""
    torch.manual_seed(0)
    pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=False, shift=1),
        vae=vae,
        transformer=transformer,
        **dict.fromkeys(parts.pop("encoders")),
        **parts,
    ).save_pretrained(folder, safe_serialization=True)
    embedded = {}
    for name in ("depth", "generate"):
        embedded[f"{name}.prompt_embeds"] = torch.randn(TOKENS, TEXT_WIDTH)
        embedded[f"{name}.pooled"] = torch.randn(POOLED_WIDTH)
    save_file(embedded, folder / "instructions.safetensors")
    card = {
        "schema": 1,
        "name": pipeline.__name__,
        "licence": "Apache-2.0",
        "resolution_px": 64,
        "multiple_px": 16,
        "steps": 1,
        "start": "zeros",
        "classes": ["sky", "ground"],
        "palette": [[0, 0, 255], [255, 255, 0]],
        "depth_codec": codec_to_json(CUBE_WALK),
        "instructions": {"depth": depth_prompt(), "generate": "Generate a photograph of a place."},
    }
    (folder / "teacher.json").write_text(json.dumps(card))
    return folder


def build_kontext(folder: Path, paintings: np.ndarray) -> Path:
    """FLUX.1-Kontext with the autoencoder of the embedded teacher, which needs no `paintings`."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        axes_dims_rope=(8, 12, 12),
    )
    vae = AutoencoderKL.from_pretrained(EMBEDDED / "vae", torch_dtype=torch.float32)
    encoders = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    optional = ("image_encoder", "feature_extractor")
    return save_generator(
        folder, FluxKontextPipeline, vae, transformer, encoders=(*encoders, *optional)
    )


def build_klein(folder: Path, paintings: np.ndarray) -> Path:
    """FLUX.2-klein; latents of 8 px with 64 channels."""
    torch.manual_seed(0)
    vae = AutoencoderKLFlux2(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )
    train_autoencoder(
        vae, paintings, lambda x: vae.encode(x).latent_dist.mode(), lambda z: vae.decode(z).sample
    )
    with torch.no_grad():
        latents = pixel_unshuffle(vae.encode(to_input(paintings)).latent_dist.mode(), 2)
        vae.bn.running_mean.copy_(latents.mean((0, 2, 3)))
        vae.bn.running_var.copy_(latents.var((0, 2, 3)))
    transformer = Flux2Transformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH,
        timestep_guidance_channels=32,
        mlp_ratio=2.0,
        axes_dims_rope=(8, 8, 8, 8),
        guidance_embeds=False,
    )
    return save_generator(
        folder, Flux2KleinPipeline, vae, transformer, encoders=("text_encoder", "tokenizer")
    )


def build_qwen(folder: Path, paintings: np.ndarray) -> Path:
    """Qwen-Image-Edit; latents of 4 px with 16 channels."""
    torch.manual_seed(0)
    vae = AutoencoderKLQwenImage(
        base_dim=12,
        z_dim=16,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    )
    train_autoencoder(
        vae,
        paintings,
        lambda x: vae.encode(x[:, :, None]).latent_dist.mode(),
        lambda z: vae.decode(z).sample[:, :, 0],
    )
    with torch.no_grad():
        latents = vae.encode(to_input(paintings)[:, :, None]).latent_dist.mode()
        vae.register_to_config(
            latents_mean=latents.mean((0, 2, 3, 4)).tolist(),
            latents_std=latents.std((0, 2, 3, 4)).tolist(),
        )
    transformer = QwenImageTransformer2DModel(
        in_channels=64,
        out_channels=16,
        num_layers=3,
        attention_head_dim=32,
        num_attention_heads=4,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(8, 12, 12),
    )
    return save_generator(
        folder,
        QwenImageEditPipeline,
        vae,
        transformer,
        encoders=("text_encoder", "tokenizer", "processor"),
    )


BUILDERS = {"kontext": build_kontext, "klein": build_klein, "qwen": build_qwen}


def to_input(pictures: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W), -1..1."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_autoencoder(
    vae: Any,
    pictures: np.ndarray,
    encode: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
    steps: int = 500,
) -> None:
    """Overfit an autoencoder to pictures; a little noise on the latents keeps them smooth."""
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3)
    batches, chance = to_input(pictures), torch.Generator().manual_seed(0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * one_cycle(step / steps)
        batch = batches[torch.randint(len(batches), (4,), generator=chance)]
        latents = encode(batch)
        noise = 0.05 * latents.std().detach() * torch.randn(latents.shape, generator=chance)
        loss = picture_loss(decode(latents + noise), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
    vae.eval()
