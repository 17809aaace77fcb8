"""The student: what its outputs are, how it is stored, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE
from safetensors.torch import load_file, save_file

from student import Student, StudentConfig, build_student, load_student, save_student
from student.backbone import Backbone, Level

TINY_VIT = {"embed_dim": 24, "depth": 6, "num_heads": 2}


def tiny_config(**fields: Any) -> StudentConfig:
    given = {
        "backbone": TINY_BACKBONE,
        "backbone_arguments": TINY_ARGUMENTS,
        "classes": CLASSES,
        "image_size": (32, 64),
        "decoder_dim": 8,
    }
    return StudentConfig(**{**given, **fields})


def tiny_student(**fields: Any) -> Student:
    torch.manual_seed(0)
    return build_student(tiny_config(**fields)).eval()


def images(height: int = 32, width: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_outputs_are_metres_unit_vectors_and_logits() -> None:
    outputs = tiny_student()(images())
    assert outputs["depth"].shape == (2, 32, 64)
    assert outputs["depth"].min() > 0
    assert outputs["normal"].shape == (2, 3, 32, 64)
    torch.testing.assert_close(outputs["normal"].norm(dim=1), torch.ones(2, 32, 64))
    assert outputs["segment"].shape == (2, len(CLASSES), 32, 64)
    assert all(value.dtype == torch.float32 for value in outputs.values())


def test_another_size_of_image_needs_no_other_student() -> None:
    assert tiny_student()(images(64, 96))["depth"].shape == (2, 64, 96)


def test_wild_features_give_depth_that_is_finite_and_positive() -> None:
    student = tiny_student()
    with torch.no_grad():
        for parameter in student.heads["depth"].parameters():
            parameter.mul_(1e6)
    depth = student(images())["depth"]
    assert depth.isfinite().all()
    assert depth.min() > 0.04
    assert depth.max() < 1100


def test_affine_depth_lies_between_0_and_1() -> None:
    depth = tiny_student(depth_kind="affine")(images())["depth"]
    assert depth.min() > 0
    assert depth.max() < 1


@pytest.mark.parametrize("task", ["depth", "normal", "segment"])
def test_a_student_of_one_task_predicts_just_that(task: str) -> None:
    student = tiny_student(tasks=(task,), classes=CLASSES if task == "segment" else ())
    assert set(student(images())) == {task}


def test_the_image_is_normalised_inside_by_buffers_that_travel_with_it() -> None:
    student = tiny_student()
    assert {"mean", "std"} <= set(student.state_dict())
    before = student(images())["depth"]
    student.mean += 0.1
    assert not torch.equal(before, student(images())["depth"])
    torch.testing.assert_close(before, student(images() + 0.1)["depth"])


def test_neighbouring_pixels_differ_though_the_decoder_is_four_times_coarser() -> None:
    depth = tiny_student()(images())["depth"]
    assert depth.diff(dim=2).abs().min() > 0


def test_a_stored_student_is_rebuilt_exactly_in_eval_mode(tmp_path: Path) -> None:
    student = tiny_student()
    loaded = load_student(save_student(student, tmp_path / "s"))
    assert not loaded.training
    assert loaded.config == student.config
    for task, value in student(images()).items():
        assert torch.equal(value, loaded(images())[task]), task


def test_storing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    student = tiny_student()
    one, two = save_student(student, tmp_path / "1"), save_student(student, tmp_path / "2")
    for name in ("student.safetensors", "student.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def edit_card(folder: Path, **fields: Any) -> Path:
    card = json.loads((folder / "student.json").read_text())
    (folder / "student.json").write_text(json.dumps({**card, **fields}))
    return folder


def test_a_student_of_another_schema_is_refused(tmp_path: Path) -> None:
    folder = edit_card(save_student(tiny_student(), tmp_path), schema=99)
    with pytest.raises(ValueError, match=r"student.json: expected a student of schema 1"):
        load_student(folder)


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    folder = edit_card(save_student(tiny_student(), tmp_path), colour="blue")
    with pytest.raises(ValueError, match=r"unknown fields.*colour"):
        load_student(folder)


def test_missing_fields_are_refused(tmp_path: Path) -> None:
    (tmp_path / "student.json").write_text('{"schema": 1, "backbone": "swiftformer_xs"}')
    with pytest.raises(ValueError, match=r"student.json: lacks the fields.*tasks"):
        load_student(tmp_path)


def test_weights_of_another_student_are_refused(tmp_path: Path) -> None:
    folder = edit_card(save_student(tiny_student(), tmp_path), decoder_dim=16)
    with pytest.raises(ValueError, match=r"student.safetensors: weights do not fit") as error:
        load_student(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["student.json", "student.safetensors"])
def test_an_incomplete_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = save_student(tiny_student(), tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file.*potstill train"):
        load_student(folder)


@pytest.mark.parametrize(("name", "data"), [("student.json", "{"), ("student.safetensors", "xx")])
def test_damaged_files_are_refused(tmp_path: Path, name: str, data: str) -> None:
    folder = save_student(tiny_student(), tmp_path)
    (folder / name).write_text(data)
    with pytest.raises(ValueError, match=name):
        load_student(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": ()}, "tasks"),
        ({"tasks": ("depth", "flow")}, "flow"),
        ({"tasks": ("normal", "depth"), "classes": ()}, "tasks"),
        ({"classes": ()}, "classes"),
        ({"tasks": ("depth",)}, "classes"),
        ({"depth_kind": "disparity"}, "depth_kind.*disparity"),
    ],
)
def test_impossible_configurations_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)


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


def test_a_plain_vit_makes_a_student() -> None:
    student = tiny_student(backbone="vit_tiny_patch16_224", backbone_arguments=TINY_VIT)
    assert student(images())["segment"].shape == (2, 3, 32, 64)


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
