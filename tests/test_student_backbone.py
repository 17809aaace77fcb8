"""The adapter: which maps it reads from which networks, at which sizes, with which weights."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from exported import bring_to_life
from labelled import TINY_ARGUMENTS, TINY_BACKBONE
from safetensors.torch import load_file, save_file
from small_students import TINY_VIT, images, tiny_student
from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3
from torch import nn
from torch.export import Dim

from export.graph import DeployGraph, trace_student
from student.backbone import Backbone, Level
from student.model import deployable, save_student
from student.rope import AnySizeRope

TINY_DINOV3 = {"embed_dim": 48, "depth": 2, "num_heads": 2}


def test_hybrid_backbones_give_one_map_for_each_stride_from_4_on() -> None:
    backbone = Backbone(TINY_BACKBONE, (64, 32), TINY_ARGUMENTS)
    assert [level.stride for level in backbone.levels] == [4, 8, 16, 32]
    for level, feature in zip(backbone.levels, backbone(images(64, 32)), strict=True):
        assert feature.shape == (2, level.channels, 64 // level.stride, 32 // level.stride)


def test_a_map_at_stride_2_is_left_out() -> None:
    backbone = Backbone("mobilenetv4_conv_small_035", (32, 32))
    assert [level.stride for level in backbone.levels] == [4, 8, 16, 32]


def test_plain_vits_give_four_blocks_for_an_image_size_of_their_own() -> None:
    backbone = Backbone("vit_tiny_patch16_224", (32, 64), TINY_VIT)
    assert backbone.indices == [0, 2, 3, 5]
    assert backbone.levels == (Level(24, 16),) * 4
    assert [f.shape for f in backbone(images())] == [(2, 24, 2, 4)] * 4


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_tiny_patch16_224", (48, 96)),
        ("vit_small_patch14_reg4_dinov2", (84, 56)),
        ("vit_small_patch16_dinov3", (48, 96)),
        ("eva02_tiny_patch14_224", (84, 56)),
        ("convnext_atto", (64, 96)),
    ],
)
def test_a_student_takes_any_size_that_its_patches_divide(name: str, size: tuple) -> None:
    """Class and register tokens are left out, positions follow the grid."""
    small = {"convnext_atto": {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}}
    student = tiny_student(
        backbone=name,
        backbone_arguments=small.get(name, {**TINY_DINOV3, "embed_dim": 32}),
        image_size=(56, 112) if "patch14" in name else (32, 64),
    )
    outputs = student(images(*size))
    assert outputs["segment"].shape == (2, 3, *size)
    assert outputs["confidence"].shape == (2, 3, size[0] // 4, size[1] // 4)


@pytest.mark.parametrize("name", ["efficientformerv2_s0", "levit_128s"])
def test_a_backbone_of_one_size_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' takes images of one size only"):
        Backbone(name, (224, 224))


def test_a_vit_that_is_told_to_take_one_size_is_refused() -> None:
    with pytest.raises(ValueError, match="takes images of one size only"):
        Backbone("vit_tiny_patch16_224", (32, 64), {**TINY_VIT, "dynamic_img_size": False})


def test_positions_are_resampled_once_to_the_size_of_training() -> None:
    backbone = Backbone("vit_tiny_patch16_224", (32, 64), TINY_VIT)
    assert backbone.network.pos_embed.shape == (1, 1 + 2 * 4, 24)


def test_features_of_a_plain_vit_pass_the_last_norm() -> None:
    backbone = Backbone("vit_tiny_patch16_224", (32, 64), TINY_VIT)
    for feature in backbone(100 * images()):
        torch.testing.assert_close(
            feature.std(1, correction=0), torch.ones(2, 2, 4), rtol=0.01, atol=0
        )


def dinov3_rope() -> RotaryEmbeddingDinoV3:
    return timm.create_model("vit_small_patch16_dinov3", **TINY_DINOV3).rope


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (3, 8)])
def test_rotary_positions_are_those_of_timm(grid: tuple[int, int]) -> None:
    rope = dinov3_rope().eval()
    torch.testing.assert_close(AnySizeRope(rope).get_embed(grid), rope.get_embed(grid))


class Positions(nn.Module):
    """Rotary positions of an image's grid."""

    def __init__(self, rope: RotaryEmbeddingDinoV3) -> None:
        super().__init__()
        self.rope = rope

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.rope.get_embed(image.shape[-2:])


def error_after_export(rope: RotaryEmbeddingDinoV3) -> float:
    """Largest error of positions, traced for 5 x 6 patches, on 7 x 9."""
    positions, image = Positions(rope.eval()), torch.zeros(7, 9)
    sizes = {"image": {0: Dim("height", min=2), 1: Dim("width", min=2)}}
    program = torch.export.export(positions, (torch.zeros(5, 6),), dynamic_shapes=sizes)
    return (program.module()(image) - positions(image)).abs().max().item()


def test_rotary_positions_stay_right_at_sizes_never_traced() -> None:
    assert error_after_export(AnySizeRope(dinov3_rope())) < 1e-5


def test_those_of_timm_still_need_it() -> None:
    """When this fails, timm was mended, and student/rope.py can go."""
    with pytest.raises((AssertionError, RuntimeError, torch._dynamo.exc.UserError)):
        assert error_after_export(dinov3_rope()) < 1e-5


def test_a_fresh_layer_scale_lets_every_block_learn() -> None:
    """Its 1e-5 silences the blocks at first, but not their gradient."""
    backbone = Backbone("vit_small_patch16_dinov3", (32, 64), TINY_DINOV3)
    torch.stack([x.sum(1).square().mean() for x in backbone(images())]).sum().backward()
    gammas = [p for name, p in backbone.named_parameters() if "gamma" in name]
    assert len(gammas) == 4
    assert all(p.grad is not None and p.grad.any() for p in backbone.parameters())


@pytest.mark.parametrize("name", ["fastvit_t8", "repvit_m0_9"])
def test_branches_merge_for_deployment(name: str) -> None:
    student = bring_to_life(tiny_student(backbone=name, backbone_arguments={}))
    deployed = deployable(student)
    count = [sum(1 for _ in s.backbone.modules()) for s in (student, deployed)]
    assert count[1] < 0.8 * count[0]
    for task, value in student(images()).items():
        torch.testing.assert_close(deployed(images())[task], value, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_dinov3",
        "vit_small_patch14_reg4_dinov2",
        "eva02_tiny_patch14_224",
        "vit_small_patch16_rope_mixed_224",
        "fastvit_t8",
        "repvit_m0_9",
        "efficientvit_b0",
        "mobilenetv4_conv_small_050",
        "convnext_atto",
        "xcit_nano_12_p16_224",
    ],
)
def test_a_living_backbone_is_exported_for_any_size(name: str) -> None:
    """The file agrees with PyTorch at a size that was not traced; every part of it matters."""
    plain = {"depth": 2} if name.startswith(("vit", "eva")) else {}
    size = (56, 56) if "patch14" in name else (64, 64)
    student = tiny_student(
        backbone=name,
        backbone_arguments=plain,
        image_size=size,
        tasks=("depth", "normal"),
        classes=(),
    )
    bring_to_life(student)
    model = trace_student(student).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 255, (3, 120, 200, 3), dtype=np.uint8)
    found = session.run(["depth_m", "normal"], {"image": photographs})
    with torch.no_grad():
        depth_m, normal, *_ = DeployGraph(student)(torch.from_numpy(photographs))
    assert depth_m.std() > 0.01
    np.testing.assert_allclose(found[0], depth_m.numpy(), rtol=1e-3)
    # Where the vector was short before it was brought to length 1, rounding is magnified.
    difference = np.abs(found[1] - normal.numpy())
    assert np.quantile(difference, 0.999) < 1e-3
    assert difference.max() < 1e-2


def test_an_image_size_that_the_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"48 x 64 px.*multiples of 32 px"):
        tiny_student(image_size=(48, 64))


def test_an_unknown_backbone_is_refused_with_similar_names() -> None:
    with pytest.raises(ValueError, match=r"'swiftformer_xxl' is not a timm model.*swiftformer_xs"):
        Backbone("swiftformer_xxl", (32, 32))


def test_arguments_that_the_backbone_does_not_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"does not take \{'wings': 2\}"):
        Backbone(TINY_BACKBONE, (32, 32), {"wings": 2})


def test_backbone_weights_come_from_a_file(tmp_path: Path) -> None:
    """A classifier's weights fit, its head is passed over."""
    torch.manual_seed(3)
    network = timm.create_model(TINY_BACKBONE, num_classes=10, **TINY_ARGUMENTS)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    backbone = Backbone(TINY_BACKBONE, (32, 32), TINY_ARGUMENTS, str(tmp_path / "w.safetensors"))
    assert backbone.origin == "from the file w.safetensors"
    wanted = network.state_dict()
    found = backbone.network.state_dict()
    assert found
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_student(tiny_student(), tmp_path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"w.safetensors: .* tensors are missing"):
        Backbone(TINY_BACKBONE, (32, 32), TINY_ARGUMENTS, str(path))
    with pytest.raises(FileNotFoundError, match="give a safetensors file"):
        Backbone(TINY_BACKBONE, (32, 32), TINY_ARGUMENTS, str(tmp_path / "none.safetensors"))


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    network = timm.create_model(TINY_BACKBONE, num_classes=0, embed_dims=(16, 16, 16, 16))
    save_file(network.state_dict(), path)
    with pytest.raises(ValueError, match=r"w.safetensors: ") as error:
        Backbone(TINY_BACKBONE, (32, 32), TINY_ARGUMENTS, str(path))
    assert "\n" not in str(error.value)
    assert load_file(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that cannot be reached, and the folder of its cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_weights_come_from_the_hub_when_it_has_them(hub: Path) -> None:
    network = timm.create_model("test_vit", num_classes=0)
    repository = hub / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0")
    (repository / "snapshots" / "0").mkdir(parents=True)
    save_file(network.state_dict(), repository / "snapshots" / "0" / "model.safetensors")
    backbone = Backbone("test_vit", (32, 64), weights="hub")
    assert backbone.origin == "from timm's hub: timm/test_vit.r160_in1k"
    wanted = network.state_dict()["blocks.0.attn.qkv.weight"]
    assert torch.equal(backbone.network.blocks[0].attn.qkv.weight, wanted)


def test_a_hub_that_does_not_answer_is_named(hub: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot get timm/test_vit.* give a safetensors file"):
        Backbone("test_vit", (32, 64), weights="hub")


def test_without_a_hub_auto_starts_from_scratch_and_says_so(
    hub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = Backbone("test_vit", (32, 64), weights="auto")
    assert backbone.origin == "from scratch: timm's hub gave none"
    assert "cannot get timm/test_vit" in caplog.text
