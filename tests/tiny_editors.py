"""Tiny generators of the real classes, as their authors publish them: with text encoders."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from tiny import tiny_vae
from tiny_tokenizers import clip_tokenizer, qwen_tokenizer, t5_tokenizer
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

FAMILIES = ("kontext", "klein", "qwen", "qwen-plus")
DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 0.9}


def build_stock(folder: Path, family: str, *, seed: int = 0) -> Path:
    """Write a folder for pictures of multiples of 16 px, with random weights."""
    torch.manual_seed(seed)
    pipeline = {
        "kontext": _kontext,
        "klein": _klein,
        "qwen": lambda: _qwen(QwenImageEditPipeline),
        "qwen-plus": lambda: _qwen(QwenImageEditPlusPipeline),
    }[family]()
    with torch.no_grad():  # random networks hardly listen to their instructions
        for name, layer in pipeline.transformer.named_modules():
            if name in ("txt_in", "context_embedder", "proj_out"):
                layer.weight *= 3
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _kontext() -> FluxKontextPipeline:
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=8,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )
    clip = CLIPTextConfig(
        vocab_size=514,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=512,
        eos_token_id=513,
    )
    t5 = T5Config(vocab_size=100, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, **DYNAMIC),
        vae=tiny_vae(),
        transformer=transformer,
        text_encoder=CLIPTextModel(clip),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=t5_tokenizer(),
    )


def _klein() -> Flux2KleinPipeline:
    vae = AutoencoderKLFlux2(
        block_out_channels=(4, 4, 8, 8),
        latent_channels=8,
        layers_per_block=1,
        mid_block_add_attention=False,
        norm_num_groups=2,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 2
        vae.bn.running_mean.normal_()
        vae.bn.running_var.uniform_(0.5, 2)
    transformer = Flux2Transformer2DModel(
        in_channels=32,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=3 * 8,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=False,
    )
    qwen3 = Qwen3Config(
        vocab_size=260,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=28,  # the states after 9, 18 and 27 are the embedding
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
    )
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, **DYNAMIC),
        vae=vae,
        transformer=transformer,
        text_encoder=Qwen3ForCausalLM(qwen3),
        tokenizer=qwen_tokenizer(),
        is_distilled=True,
    )


def _qwen(pipeline_class: Any) -> Any:
    vae = AutoencoderKLQwenImage(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 8
    transformer = QwenImageTransformer2DModel(
        in_channels=64,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
        zero_cond_t=pipeline_class is QwenImageEditPlusPipeline,  # as in 2511
    )
    sizes = {
        "vocab_size": 260,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
    }
    vision = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1}
    config = Qwen2_5_VLConfig(text_config=sizes, vision_config={**vision, "out_hidden_size": 16})
    return pipeline_class(
        scheduler=FlowMatchEulerDiscreteScheduler(**DYNAMIC, shift_terminal=0.02),
        vae=vae,
        transformer=transformer,
        text_encoder=Qwen2_5_VLForConditionalGeneration(config),
        tokenizer=qwen_tokenizer(),
        processor=None,
    )
