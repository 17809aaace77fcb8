"""Float16 with islands of float32: what is where, and that it says the same."""

import numpy as np
import onnx
import pytest
import torch
from exported import onnx_file, photographs, stored_student
from onnx import TensorProto
from torch import nn

from export.graph import DeployGraph, trace_student
from export.half import halve


def test_norms_and_heads_stay_float32() -> None:
    student = halve(stored_student())
    assert {p.dtype for p in student.heads.parameters()} == {torch.float32}
    assert {p.dtype for p in student.decoder.parameters()} == {torch.float16}
    for name, module in student.backbone.named_modules():
        for parameter in module.parameters(recurse=False):
            expected = torch.float32 if isinstance(module, nn.LayerNorm) else torch.float16
            assert parameter.dtype == expected, name


def test_it_says_nearly_the_same() -> None:
    student = stored_student()
    image = torch.from_numpy(photographs().copy())
    with torch.no_grad():
        exact, half = DeployGraph(student)(image), DeployGraph(halve(stored_student()))(image)
    for one, other in zip(exact, half, strict=True):
        assert one.dtype == other.dtype
    near = torch.isfinite(exact[0]) & torch.isfinite(half[0])
    relative = ((half[0] - exact[0]).abs() / exact[0])[near]
    assert 0 < relative.mean() < 5e-3
    assert near.float().mean() > 0.3
    assert (exact[2] == half[2]).float().mean() > 0.99


@pytest.mark.slow
def test_the_file_carries_its_types() -> None:
    half, full = trace_student(stored_student(), half=True), onnx.load(onnx_file())
    kinds = {t.name: t.data_type for t in half.graph.initializer}
    assert kinds["student.backbone.network.patch_embed.proj.weight"] == TensorProto.FLOAT16
    assert kinds["student.heads.depth.1.bias"] == TensorProto.FLOAT
    assert half.ByteSize() < 0.75 * full.ByteSize()
    assert [o.type for o in half.graph.output] == [o.type for o in full.graph.output]
    assert np.all([o.domain == "" for o in half.opset_import])
