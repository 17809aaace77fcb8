"""Students of a few thousand parameters, for the tests of what they compute and what is kept."""

from typing import Any

import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE

from student.model import Student, StudentConfig, build_student

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
