"""The student: what its outputs are, how it is stored, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from labelled import CLASSES
from small_students import images, tiny_config, tiny_student

from student.model import StudentConfig, build_student, load_student, save_student
from student.presets import PRESETS


def test_outputs_are_metres_unit_vectors_and_logits() -> None:
    outputs = tiny_student()(images())
    assert outputs["depth"].shape == (2, 32, 64)
    assert outputs["depth"].min() > 0
    assert outputs["normal"].shape == (2, 3, 32, 64)
    torch.testing.assert_close(outputs["normal"].norm(dim=1), torch.ones(2, 32, 64))
    assert outputs["segment"].shape == (2, len(CLASSES), 32, 64)
    assert all(value.dtype == torch.float32 for value in outputs.values())


def test_confidence_is_one_map_for_each_task_at_a_quarter_of_the_resolution() -> None:
    confidence = tiny_student()(images())["confidence"]
    assert confidence.shape == (2, 3, 8, 16)
    assert confidence.min() > 0
    assert confidence.max() < 1


def test_learning_confidence_moves_nothing_else() -> None:
    student = tiny_student()
    student(images())["confidence"].sum().backward()
    moved = {name for name, p in student.named_parameters() if p.grad is not None}
    assert moved == {name for name, _ in student.named_parameters() if "confidence" in name}


def test_learning_the_tasks_reaches_every_other_part() -> None:
    student = tiny_student().train()
    outputs = student(images())
    sum(outputs[task].square().sum() for task in student.config.tasks).backward()
    still = {name for name, p in student.named_parameters() if p.grad is None}
    assert still == {name for name, _ in student.named_parameters() if "confidence" in name}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_configurations(name: str) -> None:
    config = StudentConfig(**PRESETS[name], classes=CLASSES)
    assert timm.is_model(config.backbone)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_students(name: str) -> None:
    student = build_student(StudentConfig(**PRESETS[name], classes=CLASSES)).eval()
    assert student(images(64, 128))["normal"].shape == (2, 3, 64, 128)


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
    outputs = student(images())
    assert set(outputs) == {task, "confidence"}
    assert outputs["confidence"].shape == (2, 1, 8, 16)


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
    with pytest.raises(ValueError, match=r"student.json: expected a student of schema 2"):
        load_student(folder)


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    folder = edit_card(save_student(tiny_student(), tmp_path), colour="blue")
    with pytest.raises(ValueError, match=r"unknown fields.*colour"):
        load_student(folder)


def test_missing_fields_are_refused(tmp_path: Path) -> None:
    (tmp_path / "student.json").write_text('{"schema": 2, "backbone": "swiftformer_xs"}')
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
        ({"decoder": "unet"}, "decoder.*pyramid.*unet"),
    ],
)
def test_impossible_configurations_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(**fields)
