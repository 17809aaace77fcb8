"""Tiny folders of the real transformers classes, with random weights: depth, classes, SAM 3.

Each is what `save_pretrained` of a model and of its processor leaves, as a folder from the hub is.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BeitConfig,
    CLIPTokenizer,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    DepthProImageProcessor,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    EomtConfig,
    EomtForUniversalSegmentation,
    EomtImageProcessor,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessor,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    PreTrainedModel,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3Model,
    Sam3Processor,
    Sam3TrackerVideoConfig,
    Sam3VideoConfig,
    Sam3VideoModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    SwinConfig,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)

NAMES = {0: "sky", 1: "ground", 2: "box"}
"""Class names as a config has them (id2label)."""


def save(folder: Path, model: PreTrainedModel, processor: Any, seed: int = 0, **card: Any) -> Path:
    """Write a model with weights of its own, and a teacher.json if the card has fields."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # transformers' own initialisation is too faint to tell pictures apart
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.normal_(0, weight[0].numel() ** -0.5, generator=generator)
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    if card:
        write_card(folder, **card)
    return folder


def write_card(folder: Path, **fields: Any) -> None:
    card = {"schema": 1, **fields}
    (folder / "teacher.json").write_text(json.dumps(card, indent=2) + "\n")


def tiny_dinov2() -> Dinov2Config:
    return Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )


def build_depth_anything(
    folder: Path, kind: str = "metric", max_depth: int = 20, **card: Any
) -> Path:
    """Depth Anything V2 for photographs of 28 px; kind: depth_estimation_type."""
    torch.manual_seed(0)
    config = DepthAnythingConfig(
        backbone_config=tiny_dinov2(),
        patch_size=14,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=max_depth if kind == "metric" else 1,
    )
    processor = DPTImageProcessor(
        size={"height": 28, "width": 28},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    model = DepthAnythingForDepthEstimation(config)
    with torch.no_grad():
        model.head.conv3.bias.fill_(0 if kind == "metric" else 2)  # away from the ReLU's zero
    return save(folder, model, processor, **card)


def build_dpt(folder: Path, **card: Any) -> Path:
    """DPT with a plain ViT, as MiDaS 3.0 has it, for photographs of 32 px."""
    torch.manual_seed(0)
    config = DPTConfig(
        is_hybrid=False,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[4, 8, 8, 8],
        fusion_hidden_size=8,
    )
    processor = DPTImageProcessor(size={"height": 32, "width": 32}, ensure_multiple_of=16)
    model = DPTForDepthEstimation(config)
    with torch.no_grad():
        model.head.head[4].bias.fill_(2)  # away from the ReLU's zero
    return save(folder, model, processor, **card)


def build_zoedepth(folder: Path) -> Path:
    """ZoeDepth for photographs of 32 px."""
    torch.manual_seed(0)
    backbone = BeitConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[4, 8, 8, 8],
        fusion_hidden_size=8,
        bottleneck_features=8,
        num_relative_features=4,
        bin_embedding_dim=8,
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
        num_attractors=[4, 2, 2, 1],
    )
    processor = ZoeDepthImageProcessor(
        size={"height": 32, "width": 48}, ensure_multiple_of=32, keep_aspect_ratio=True
    )
    return save(folder, ZoeDepthForDepthEstimation(config), processor)


def build_glpn(folder: Path) -> Path:
    """GLPN, whose processor names no size."""
    torch.manual_seed(0)
    config = GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        sr_ratios=[4, 2, 1, 1],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=8,
        max_depth=10,
    )
    processor = GLPNImageProcessor(size_divisor=32)
    return save(folder, GLPNForDepthEstimation(config), processor, resolution_px=32)


def build_depth_pro(folder: Path) -> Path:
    """Depth Pro that sees squares of 64 px."""
    torch.manual_seed(0)
    vit = {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 16,
        "patch_size": 4,
        "use_swiglu_ffn": False,
    }
    config = DepthProConfig(
        patch_size=16,
        fusion_hidden_size=8,
        scaled_images_ratios=[0.25, 0.5, 1],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[8, 8, 8],
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        merge_padding_value=3,
        use_fov_model=True,
        num_fov_head_layers=0,
        image_model_config=vit,
        patch_model_config=vit,
        fov_model_config=vit,
    )
    model = DepthProForDepthEstimation(config)
    with torch.no_grad():
        model.fov_model.head.layers[0].bias.fill_(60)  # a field of view of about 60 degrees
        model.head.layers[4].bias.fill_(1)  # depth of some metres
    return save(folder, model, DepthProImageProcessor(size={"height": 64, "width": 64}))


def build_segformer(folder: Path, names: dict[int, str] = NAMES, **card: Any) -> Path:
    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=8,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    processor = SegformerImageProcessor(size={"height": 32, "width": 32})
    return save(folder, SegformerForSemanticSegmentation(config), processor, **card)


def build_mask2former(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,  # normalised in 32 groups
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        dim_feedforward=16,
        num_attention_heads=2,
        num_queries=5,
        id2label=NAMES,
        label2id={name: index for index, name in NAMES.items()},
    )
    processor = Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}, size_divisor=32, ignore_index=255
    )
    return save(folder, Mask2FormerForUniversalSegmentation(config), processor)


def build_eomt(folder: Path) -> Path:
    torch.manual_seed(0)
    config = EomtConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=32,
        patch_size=8,
        num_upscale_blocks=1,
        num_blocks=1,
        num_queries=6,
        num_register_tokens=1,
        id2label=NAMES,
        label2id={name: index for index, name in NAMES.items()},
    )
    processor = EomtImageProcessor(
        size={"shortest_edge": 32, "longest_edge": None}, do_split_image=True
    )
    return save(folder, EomtForUniversalSegmentation(config), processor)


def build_sam3(folder: Path, **card: Any) -> Path:
    """SAM 3 that sees squares of 56 px; its tokenizer spells everything in single letters."""
    torch.manual_seed(0)
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 56,
                "patch_size": 14,
                "window_size": 2,
                "global_attn_indexes": [1],
                "pretrain_image_size": 28,
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": 300,
            "hidden_size": 16,
            "intermediate_size": 32,
            "projection_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        geometry_encoder_config=_detr(),
        detr_encoder_config=_detr(),
        detr_decoder_config=_detr(num_queries=5),
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    processor = Sam3Processor(
        Sam3ImageProcessor(size={"height": 56, "width": 56}), tiny_clip_tokenizer()
    )
    return save(folder, Sam3Model(config), processor, **card)


def as_video_model(folder: Path, target: Path) -> Path:
    """The folder of build_sam3 as the hub has it: the detector within the class that tracks."""
    shutil.copytree(folder, target)
    detector = Sam3Model.from_pretrained(folder)
    tracker = Sam3TrackerVideoConfig(
        vision_config=detector.config.vision_config.to_dict(),
        image_size=56,
        memory_attention_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
        prompt_encoder_config={"hidden_size": 32, "image_size": 56, "patch_size": 14},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2, "mlp_dim": 32},
    )
    video = Sam3VideoModel(
        Sam3VideoConfig(detector_config=detector.config.to_dict(), tracker_config=tracker.to_dict())
    )
    video.detector_model.load_state_dict(detector.state_dict())
    video.save_pretrained(target)
    return target


def _detr(**fields: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return {**sizes, **fields}


def tiny_clip_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level tokenizer without merges: one token for each letter."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=32
    )
