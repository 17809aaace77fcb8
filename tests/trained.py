"""A tiny student and settings to train it in a second, for the tests of training."""

from pathlib import Path
from typing import Any

import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE

from distill.train import TrainConfig
from student.model import Student, StudentConfig, build_student, load_student


def config(root: Path, out: str = "run", **fields: Any) -> TrainConfig:
    """Four steps on ROOT/images and ROOT/labels, with two validations."""
    given: dict[str, Any] = {
        "images": root,
        "labels": root / "labels",
        "out": root / out,
        "steps": 4,
        "backbone": TINY_BACKBONE,
        "backbone_arguments": TINY_ARGUMENTS,
        "decoder_dim": 16,
        "batch_size": 4,
        "precision": "32-true",
        "device": "cpu",
        "validation_fraction": 0.3,
        "validate_every": 2,
        "log_every": 1,
        "logger": (),
    }
    return TrainConfig(**{**given, **fields})


def tiny_student(**fields: Any) -> Student:
    """A student with random weights, the same each time."""
    given = {"backbone": TINY_BACKBONE, "backbone_arguments": TINY_ARGUMENTS, "decoder_dim": 16}
    torch.manual_seed(0)
    return build_student(
        StudentConfig(**{**given, "classes": CLASSES, "image_size": (32, 32), **fields})
    )


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and buffers of a stored student."""
    return load_student(folder).state_dict()


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    """Whether all tensors are the same to the last bit."""
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
