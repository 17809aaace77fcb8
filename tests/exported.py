"""A tiny living student, and its export, made once in a test run."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.graph import DeployGraph, Traced, trace_graph
from export.ship import ship
from export.ship_config import ExportConfig
from student.model import Student, StudentConfig, build_student, load_student, save_student
from teacher.scenes.objects import CLASSES
from teacher.scenes.render import render_scenes

TINY_VIT = {
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 2,
    "init_values": 1.0,
    "dynamic_img_size": True,
}


def bring_to_life(student: Student, seed: int = 0) -> Student:
    """Weights with which every part matters: a fresh LayerScale of 1e-5, attention that is all but
    even, positions and biases of almost zero and neutral batch statistics would make any comparison
    of two networks pass."""
    torch.manual_seed(seed)
    for name, parameter in student.named_parameters():
        if "gamma" in name:  # LayerScale, as ls1.gamma or gamma_1
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif "pos_embed" in name:
            nn.init.normal_(parameter, std=0.5)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    for module in student.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return student.eval()


def make_student(seed: int = 0, **fields: object) -> Student:
    """A student of 16 px patches for photographs of 32 px; `fields` override its configuration."""
    torch.manual_seed(seed)
    given = {
        "backbone": "vit_tiny_patch16_224",
        "backbone_arguments": TINY_VIT,
        "image_size": (32, 32),
        "classes": CLASSES,
        "decoder_dim": 16,
    }
    config = StudentConfig(**{**given, **fields})  # type: ignore[arg-type]
    return bring_to_life(build_student(config), seed)


@cache
def folder() -> Path:
    """Where the shared files lie; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="potstill-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def student_folder() -> Path:
    """The tiny student as `potstill train` stores it."""
    return save_student(make_student(), folder() / "student")


@cache
def onnx_file() -> Path:
    """The tiny student as `potstill export` writes it."""
    config = ExportConfig(student=student_folder(), out=folder() / "export")
    return ship(config).files["onnx_fp32"]


@cache
def traced() -> Traced:
    """The tiny student, traced once more."""
    return trace_graph(DeployGraph(stored_student()))


def stored_student() -> Student:
    """The tiny student, read back."""
    return load_student(student_folder())


@cache
def photographs(count: int = 4, size_px: int = 48) -> np.ndarray:
    """Rendered scenes, (count, size_px, size_px, 3) uint8."""
    return render_scenes(range(count), size_px).rgb
