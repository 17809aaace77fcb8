"""Tiny folders of the real UNet classes, with random weights: Marigold, Lotus, InstructPix2Pix."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    MarigoldDepthPipeline,
    MarigoldNormalsPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from tiny import write_card
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

TEXT_WIDTH = 16
SIDE_PX = 32
LAYOUTS = ("marigold-depth", "marigold-normals", "lotus-g", "lotus-d")


def build_predictor(folder: Path, layout: str, *, seed: int = 0, **stated: Any) -> Path:
    """The folder of a predictor, one of LAYOUTS; `stated` is what its teacher.json says."""
    torch.manual_seed(seed)
    if layout.startswith("marigold"):
        _save_marigold(folder, layout)
    else:
        _save_lotus(folder, "LotusGPipeline" if layout == "lotus-g" else "LotusDPipeline")
        stated = {"output": "depth", "resolution_px": SIDE_PX, **stated}
    state(folder, **stated)
    return folder


def state(folder: Path, **stated: Any) -> None:
    """Write teacher.json, or take it away when nothing is stated."""
    path = folder / "teacher.json"
    path.unlink(missing_ok=True)
    if stated:
        path.write_text(json.dumps(stated) + "\n")


def edit_index(folder: Path, **fields: Any) -> None:
    """Change fields of model_index.json."""
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields) + "\n")


def build_pix2pix(folder: Path, *, large: bool = False, seed: int = 0, **fields: Any) -> Path:
    """An InstructPix2Pix folder with text encoders, small or SDXL; `fields` of teacher.json."""
    torch.manual_seed(seed)
    text = {"text_encoder": tiny_clip(), "tokenizer": tiny_tokenizer(folder)}
    parts = {"vae": tiny_vae(), "scheduler": EulerAncestralDiscreteScheduler()}
    if large:
        text |= {"text_encoder_2": tiny_clip(projected=True), "tokenizer_2": text["tokenizer"]}
        unet = tiny_unet(
            in_channels=8,
            cross_attention_dim=2 * TEXT_WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 4,
        )
        pipeline = StableDiffusionXLInstructPix2PixPipeline(
            unet=unet, **parts, **text, add_watermarker=False
        )
    else:
        pipeline = StableDiffusionInstructPix2PixPipeline(
            unet=tiny_unet(in_channels=8),
            **parts,
            **text,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    instructions = {"depth": "a b", "normal": "b a", "segment": "a a"}
    write_card(
        folder, **{"multiple_px": 8, "start": "noise", "instructions": instructions, **fields}
    )
    return folder


def _save_marigold(folder: Path, layout: str) -> None:
    parts: dict[str, Any] = {
        "unet": tiny_unet(in_channels=8),
        "vae": tiny_vae(),
        "scheduler": ddim(),
        "text_encoder": tiny_clip(),
        "tokenizer": tiny_tokenizer(folder),
        "default_denoising_steps": 1,
        "default_processing_resolution": SIDE_PX,
    }
    if layout == "marigold-depth":
        pipeline = MarigoldDepthPipeline(**parts, prediction_type="depth")
    else:
        with torch.no_grad():  # no short vectors, whose direction is a matter of rounding
            parts["vae"].decoder.conv_out.bias[0] = 30
        pipeline = MarigoldNormalsPipeline(**parts, prediction_type="normals")
    pipeline.save_pretrained(folder)


def _save_lotus(folder: Path, layout: str) -> None:
    """Part by part: diffusers has no such pipeline."""
    unet = tiny_unet(
        in_channels=8 if layout == "LotusGPipeline" else 4,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=4,
    )
    parts: dict[str, Any] = {
        "unet": unet,
        "vae": tiny_vae(),
        "scheduler": ddim(),
        "text_encoder": tiny_clip(),
        "tokenizer": tiny_tokenizer(folder),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    libraries = {name: type(part).__module__.partition(".")[0] for name, part in parts.items()}
    index = {name: [libraries[name], type(part).__name__] for name, part in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": layout, **index}) + "\n")


def tiny_unet(**config: Any) -> UNet2DConditionModel:
    """Two levels of 8 and 16 channels, attention in the lower one."""
    return UNet2DConditionModel(
        out_channels=4,
        sample_size=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=2,
        **{"cross_attention_dim": TEXT_WIDTH, **config},
    ).eval()


def tiny_vae() -> AutoencoderKL:
    """Factor 8, 4 latent channels; random, with the last layer stronger so that colours vary."""
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_size=SIDE_PX,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 4
    return vae.eval()


def ddim() -> DDIMScheduler:
    """As Stable Diffusion 2 has it, with the timesteps trailing as Marigold's fast models do."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        set_alpha_to_one=False,
        steps_offset=1,
    )


def use_lcm(folder: Path) -> None:
    """Give a folder the scheduler of Marigold-LCM, which draws noise at every step."""
    LCMScheduler.from_config(ddim().config).save_pretrained(folder / "scheduler")
    edit_index(folder, scheduler=["diffusers", "LCMScheduler"])


def tiny_clip(*, projected: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    """One layer of width TEXT_WIDTH; `projected`: with a vector of the whole text."""
    config = CLIPTextConfig(
        vocab_size=8,
        hidden_size=TEXT_WIDTH,
        intermediate_size=TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary of six."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>", "a", "b"]
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocab), str(merges), model_max_length=8)
    vocab.unlink()
    merges.unlink()
    return tokenizer
