"""A student in float16, but for what float16 cannot hold: a graph that carries its own types.

Converters that work on the finished ONNX graph write files that no runtime loads, so the islands of
float32 are made in PyTorch: normalisation layers sum in float32, and the heads, whose outputs are
metres and unit vectors, are float32 from their input on.
"""

from typing import Any

import torch
from timm.layers import RmsNorm, SimpleNorm
from torch import Tensor, nn

from student.model import Student

NORMS = (nn.LayerNorm, nn.GroupNorm, RmsNorm, SimpleNorm)
"""Layers that sum squares over many values; a batch norm only scales by constants."""


def halve(student: Student) -> Student:
    """Turn a student, in place, into float16 with islands of float32; returns it.

    It takes and gives float32, as before.
    """
    for part in (student.backbone, student.decoder):
        _cast_input(part.half(), torch.float16)
        for module in part.modules():
            if isinstance(module, NORMS):
                _cast_input(module.float(), torch.float32)
                module.register_forward_hook(_to_half)
    for head in (*student.heads.values(), *student.confidence.values()):
        _cast_input(head, torch.float32)
    return student


def _cast_input(module: nn.Module, dtype: torch.dtype) -> None:
    """Let a module take floating-point tensors of any type, and lists of them."""

    def cast(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [cast(item) for item in value]
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(dtype) if is_float else value

    module.register_forward_pre_hook(lambda _, inputs: tuple(cast(value) for value in inputs))


def _to_half(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.half()
