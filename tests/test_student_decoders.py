"""Decoders: what they give the heads, and what tells the reference from the default."""

import pytest
import torch
from small_students import TINY_VIT, images, tiny_student
from torch import nn

from student.decoders import DECODERS
from student.model import Student

PLAIN = {"backbone": "vit_tiny_patch16_224", "backbone_arguments": TINY_VIT}


def decode(student: Student, height: int = 32, width: int = 64) -> dict[str, torch.Tensor]:
    image = images(height, width)
    return student.decoder(student.backbone(image), image)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("backbone", [{}, PLAIN], ids=["hybrid", "plain"])
@pytest.mark.parametrize("size", [(32, 64), (64, 32)])
def test_every_task_is_given_features_at_the_decoder_s_stride(
    name: str, backbone: dict, size: tuple[int, int]
) -> None:
    student = tiny_student(decoder=name, **backbone)
    stride = student.decoder.stride
    expected = (2, student.decoder.dim, size[0] // stride, size[1] // stride)
    shapes = {task: tuple(x.shape) for task, x in decode(student, *size).items()}
    assert shapes == dict.fromkeys(("depth", "normal", "segment"), expected)


@pytest.mark.parametrize("name", DECODERS)
def test_a_shallow_vit_has_fewer_levels(name: str) -> None:
    student = tiny_student(
        decoder=name, **{**PLAIN, "backbone_arguments": {**TINY_VIT, "depth": 2}}
    )
    assert student(images())["depth"].shape == (2, 32, 64)


@pytest.mark.parametrize("name", DECODERS)
def test_every_level_matters(name: str) -> None:
    student = tiny_student(decoder=name)
    image = images()
    features = [feature.detach().requires_grad_() for feature in student.backbone(image)]
    decoded = student.decoder(features, image)
    torch.stack([x.square().sum() for x in decoded.values()]).sum().backward()
    assert all(feature.grad is not None and feature.grad.any() for feature in features)


def test_the_default_is_shared_by_the_tasks() -> None:
    decoded = decode(tiny_student())
    assert decoded["depth"] is decoded["normal"] is decoded["segment"]


def test_the_reference_has_a_decoder_for_each_task() -> None:
    student = tiny_student(decoder="dpt")
    decode(student)["depth"].sum().backward()
    moved = {
        name.split(".")[1] for name, p in student.decoder.named_parameters() if p.grad is not None
    }
    assert moved == {"depth"}


def test_the_reference_brings_tokens_to_four_resolutions() -> None:
    student = tiny_student(decoder="dpt", **PLAIN)
    assert isinstance(student.decoder, nn.Module)
    parts = student.decoder.decoders["depth"].reassemble
    shapes = [part(x).shape[-2:] for part, x in zip(parts, student.backbone(images()), strict=True)]
    assert shapes == [(8, 16), (4, 8), (2, 4), (1, 2)]
